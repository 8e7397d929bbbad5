/// A certificate that was got by a token is renewed before it ends.
#pragma once

#include <functional>

#include "base/signal.hpp"
#include "rpc/tls.hpp"
#include "rpc/transport.hpp"

namespace umbra::agent {

/// Asks the controller for another certificate of the same key when half of its time is over, and again until it has
/// one. Agent strand only.
class Renewal {
 public:
  struct Hooks {
    std::function<Result<std::shared_ptr<rpc::Session>>()> controller;
    std::function<void()> renewed;             ///< the files are new
    std::function<void(const Error&)> failed;  ///< the same failure once a day
  };
  Renewal(asio::any_io_executor executor, Clock& clock, rpc::Tls tls, Hooks hooks)
      : clock_(clock), tls_(std::move(tls)), hooks_(std::move(hooks)), beat_(executor, clock) {}

  asio::awaitable<void> run();
  void stop();
  /// One look. @error what the controller said, or cannot be written
  Task<void> renew();
  bool due() const;

 private:
  Clock& clock_;
  rpc::Tls tls_;
  Hooks hooks_;
  Signal beat_;
  bool stopping_ = false;
  std::string told_;
  UnixMillis told_at_ = 0;
};

}  // namespace umbra::agent
