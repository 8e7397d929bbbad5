#include "rpc/tls_keeper.hpp"

#include <spdlog/spdlog.h>

namespace umbra::rpc {
namespace {

constexpr std::chrono::minutes kEvery{1};

}  // namespace

asio::awaitable<void> TlsKeeper::run() {
  for (const auto& warning : tls_.warnings()) spdlog::warn("{}", warning);
  while (!stopping_) {
    const auto next = clock_.steady() + kEvery;
    while (!stopping_ && !pending_ && clock_.steady() < next) co_await asked_.wait_until(next);
    if (!stopping_) look(std::exchange(pending_, false));
  }
}

void TlsKeeper::stop() {
  stopping_ = true;
  asked_.notify();
}

void TlsKeeper::ask() {
  pending_ = true;
  asked_.notify();
}

void TlsKeeper::look(bool asked) {
  const auto changed = tls_.reload();
  if (!changed) {
    auto failure = changed.error().text();
    const bool lasting = failure == seen_;
    seen_ = failure;
    if (!asked && (!lasting || told_ == failure)) return;
    told_ = std::move(failure);
    if (hooks_.failed) hooks_.failed(changed.error());
    return;
  }
  seen_.clear();
  told_.reset();
  if (!*changed && asked) spdlog::info("the certificates were read again, and are what they were: {}", text());
  if (*changed && hooks_.renewed) hooks_.renewed(text());
}

std::vector<std::string> TlsKeeper::warnings() const {
  auto found = tls_.warnings();
  if (told_) found.push_back("certificates that changed cannot be used: " + *told_);
  return found;
}

std::string TlsKeeper::text() const {
  const auto self = tls_.self();
  auto text = fmt::format("{} {}, valid until {}", role_name(self.role), self.name, x509::time_text(self.not_after));
  if (const auto until = tls_.crl_next_update())
    text += fmt::format("; revocation list good until {}", x509::time_text(*until));
  return text;
}

}  // namespace umbra::rpc
