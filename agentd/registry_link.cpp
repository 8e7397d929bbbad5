#include "agentd/registry_link.hpp"

#include <spdlog/spdlog.h>

namespace umbra::agent {
namespace {

using namespace std::chrono_literals;

constexpr Deadline kCall = 5s;
constexpr auto kRetry = 1s;
constexpr auto kLeastGap = 100ms;  // between two reports, however much there is to tell

}  // namespace

RegistryLink::RegistryLink(asio::any_io_executor executor, Clock& clock, rpc::Transport& transport,
                           std::string endpoint, std::string controller, rpc::Services services, Hooks hooks)
    : clock_(clock),
      changed_(executor, clock),
      hooks_(std::move(hooks)),
      link_(transport.dial(std::move(endpoint), rpc::Expect{std::move(controller), v1::ROLE_CONTROLLER},
                           std::move(services),
                           rpc::DialerHooks{.on_connected = [this](auto) { changed_.notify(); },
                                            .on_disconnected = [this](const Error&) { changed_.notify(); }})) {}

void RegistryLink::stop() {
  stopping_ = true;
  link_->stop();
  changed_.notify();
}

void RegistryLink::nudge() {
  nudged_ = true;
  changed_.notify();
}

asio::awaitable<void> RegistryLink::run() {
  while (!stopping_) {
    const auto session = link_->session();
    if (!session) {
      co_await changed_.wait_until(clock_.steady() + 10s);
      continue;
    }
    const auto served = co_await serve(*session);
    registered_ = false;
    if (stopping_) break;
    spdlog::warn("controller: {}", served.error());
    co_await changed_.wait_until(clock_.steady() + kRetry);
  }
}

Task<void> RegistryLink::serve(std::shared_ptr<rpc::Session> session) {
  v1::RegistryClient controller(session);
  auto introduction = hooks_.introduce();
  UMBRA_CO_TRY(const auto reply, co_await controller.register_(std::move(introduction), kCall));
  const auto interval = std::chrono::milliseconds(std::clamp<std::int64_t>(reply.heartbeat_interval_ms(), 100, 60'000));
  registered_ = true;
  hooks_.introduced(reply);
  if (auto question = hooks_.question(); !question.vm_uuids().empty()) {
    UMBRA_CO_TRY(const auto answer, co_await controller.whose_vms(std::move(question), kCall));
    hooks_.answered(answer);
  }
  spdlog::info("registered with controller {}", session->peer().name);
  while (!stopping_) {
    nudged_ = false;
    const auto report = hooks_.report();
    UMBRA_CO_TRY(const auto answer, co_await controller.report(report, kCall));
    hooks_.delivered(report, answer);
    const auto sent = clock_.steady();
    while (!stopping_ && session->is_open() &&
           clock_.steady() < sent + (nudged_ ? std::chrono::milliseconds(kLeastGap) : interval))
      co_await changed_.wait_until(sent + (nudged_ ? std::chrono::milliseconds(kLeastGap) : interval));
    if (!session->is_open()) co_return fail(Errc::kUnavailable, "the session has ended");
  }
  co_return fail(Errc::kCancelled, "stopping");
}

}  // namespace umbra::agent
