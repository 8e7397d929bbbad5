#include "base/fault_point.hpp"

#include <spdlog/spdlog.h>

#include <boost/asio/steady_timer.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace umbra {
namespace {

using namespace std::chrono_literals;

constexpr auto kLongest = 60s;
constexpr auto kLook = 2ms;

/// Empty: this is no test of faults.
const std::filesystem::path& directory() {
  static const std::filesystem::path from_environment = [] {
    const auto* named = std::getenv("UMBRA_FAULT_POINTS");  // NOLINT(concurrency-mt-unsafe): nobody sets it
    return named != nullptr ? named : "";
  }();
  return from_environment;
}

}  // namespace

asio::awaitable<void> fault_point(std::string_view name) {
  if (directory().empty()) co_return;
  const auto file = directory() / name;
  std::error_code none;
  if (!std::filesystem::exists(file, none)) co_return;
  spdlog::warn("held at the fault point '{}'", name);
  auto reached = file;
  reached += ".reached";
  std::ofstream{reached};
  asio::steady_timer timer(co_await asio::this_coro::executor);
  const auto end = std::chrono::steady_clock::now() + kLongest;
  while (std::filesystem::exists(file, none) && std::chrono::steady_clock::now() < end) {
    timer.expires_after(kLook);
    co_await timer.async_wait(asio::use_awaitable);
  }
  std::filesystem::remove(reached, none);
}

}  // namespace umbra
