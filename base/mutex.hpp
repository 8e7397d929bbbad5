/// Mutual exclusion between coroutines of one strand, across their suspensions.
#pragma once

#include <memory>

#include "base/signal.hpp"

namespace umbra {

/// First come, not first served: a waiter that wakes may find the lock taken again.
/// Owner's strand only. Must outlive its guards.
class Mutex {
 public:
  struct Unlock {
    void operator()(Mutex* mutex) const {
      mutex->locked_ = false;
      mutex->freed_.notify();
    }
  };
  /// Unlocks when it goes.
  using Guard = std::unique_ptr<Mutex, Unlock>;

  Mutex(asio::any_io_executor executor, Clock& clock) : freed_(std::move(executor), clock) {}

  /// @error kTimeout naming `what` holds it
  Task<Guard> lock(Deadline deadline, std::string_view what) {
    UMBRA_CO_CHECK(co_await freed_.until([this] { return !locked_; }, deadline, what));
    locked_ = true;
    co_return Guard(this);
  }

 private:
  Signal freed_;
  bool locked_ = false;
};

}  // namespace umbra
