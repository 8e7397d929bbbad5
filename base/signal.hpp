/// Waiting for something to change, with a deadline, on one strand.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <list>
#include <memory>

#include "base/clock.hpp"
#include "base/task.hpp"

namespace umbra {

/// Wakes the coroutines that wait on it; a condition variable for coroutines.
/// Owner's strand only; the clock must outlive it. A wait that is destroyed later than its Signal is harmless.
/// Wake-ups may be spurious: callers look at their condition again.
class Signal {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  Signal(asio::any_io_executor executor, Clock& clock);
  ~Signal();
  Signal(const Signal&) = delete;
  Signal& operator=(const Signal&) = delete;

  /// Wakes all that wait now.
  void notify();
  /// Ends at the next notify(), or when the clock reaches `deadline`.
  asio::awaitable<void> wait_until(TimePoint deadline);

  /// Waits until `condition()` holds.
  /// @error kTimeout naming `what`
  template <class Condition>
  Task<void> until(Condition condition, Deadline deadline, std::string_view what) {
    const auto end = clock_.steady() + deadline;
    while (!condition()) {
      if (clock_.steady() >= end)
        co_return fail(Errc::kTimeout, "{} did not happen within {} ms", what, deadline.count());
      co_await wait_until(end);
    }
    co_return Result<void>{};
  }

 private:
  struct Waiter {
    asio::steady_timer timer;
    TimePoint deadline;
  };
  void wake_due();

  asio::any_io_executor executor_;
  Clock& clock_;
  std::shared_ptr<std::list<Waiter>> waiters_ = std::make_shared<std::list<Waiter>>();  // with the waits themselves
  Clock::Watch watch_;
};

}  // namespace umbra
