#include "agentd/image_watch.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>

namespace umbra::agent {
namespace {

using namespace std::chrono_literals;

constexpr Deadline kLook = 2s;

}  // namespace

asio::awaitable<void> ImageWatch::look(std::vector<virt::Domain> running) {
  std::map<std::string, std::vector<std::string>> told;
  for (const auto& domain : running) {
    const auto uuid = domain.uuid;
    auto found = co_await hypervisor_.tend(uuid, kLook);
    if (!found) {
      if (found.error().code != Errc::kNotFound) spdlog::debug("{}: its images: {}", domain.name, found.error());
      told[uuid] = std::move(told_[uuid]);
      continue;
    }
    const auto& before = told_[uuid];
    for (const auto& text : *found)
      if (std::find(before.begin(), before.end(), text) == before.end()) note_(domain.name, text);
    if (!found->empty()) told[uuid] = std::move(*found);
  }
  told_ = std::move(told);
}

}  // namespace umbra::agent
