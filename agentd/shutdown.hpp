/// This machine's shutdown waits until its guests are elsewhere.
#pragma once

#include <functional>
#include <string>

#include "base/signal.hpp"
#include "rpc/session.hpp"
#include "systemd/logind.hpp"
#include "umbra/v1/controller.pb.h"

namespace umbra::agent {

/// Holds logind's delay lock. When a shutdown begins: has the controller move the guests away, then lets go of the
/// shadows that are left, then of the lock. When logind's patience is over before that, the shutdown goes on as without
/// Umbra. A shutdown that is planned for later is announced, as maintenance of this host.
/// Without a system bus, or logind, it does nothing but say so. Agent strand only.
class Shutdown {
 public:
  struct Hooks {
    std::function<Result<std::shared_ptr<rpc::Session>>()> controller;
    std::function<Task<void>(Deadline)> release;  ///< of all shadows here and of this host's VMs elsewhere
    std::function<void()> resume;                 ///< shadows are welcome again
    std::function<void(v1::Severity, const std::string&)> tell;
  };
  Shutdown(asio::any_io_executor executor, Clock& clock, Hooks hooks)
      : executor_(executor), clock_(clock), hooks_(std::move(hooks)), changed_(executor, clock) {}

  asio::awaitable<void> run();
  void stop();
  /// How far it is, for whoever looks at the service; empty: no shutdown is under way.
  const std::string& text() const { return text_; }

 private:
  using TimePoint = Signal::TimePoint;
  Task<void> watch(std::shared_ptr<systemd::Bus> bus);
  Task<void> look_ahead(systemd::Logind* logind);
  asio::awaitable<void> leave(TimePoint end);
  Task<void> move_away(TimePoint end);
  void say(std::string text);

  asio::any_io_executor executor_;
  Clock& clock_;
  Hooks hooks_;
  Signal changed_;
  std::shared_ptr<systemd::Bus> bus_;
  std::chrono::microseconds most_delay_{0};
  std::chrono::microseconds announced_{0};
  std::string text_, told_;
  bool begins_ = false, stopping_ = false;
};

}  // namespace umbra::agent
