/// Time as an interface, so that unit tests decide when it passes.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <set>

namespace umbra {

using Milliseconds = std::chrono::milliseconds;
using UnixMillis = std::int64_t;  ///< wall-clock time, milliseconds since the Unix epoch

/// Reads time.
class Clock {
 public:
  /// Keeps a callback registered for as long as it lives; must not outlive the clock.
  using Watch = std::shared_ptr<void>;

  virtual ~Clock() = default;
  /// Monotonic; for durations and deadlines. Thread-safe.
  virtual std::chrono::steady_clock::time_point steady() const = 0;
  /// Wall clock since the Unix epoch; for what people and other hosts read, and to compare with time stamps of this
  /// host's other programs. Never for durations. Thread-safe.
  virtual std::chrono::microseconds wall() const = 0;
  UnixMillis unix_ms() const { return std::chrono::duration_cast<Milliseconds>(wall()).count(); }
  /// Does it run by itself? If not, timers must watch it.
  virtual bool runs() const { return true; }
  /// Somebody waits for this time; a clock that does not run by itself may be moved there at once, and calls those who
  /// watch it when it has come.
  virtual void expect(std::chrono::steady_clock::time_point due) { static_cast<void>(due); }
  /// Calls `moved` when a clock that does not run by itself was moved to a time that was expected, or past it.
  virtual Watch watch(std::function<void()> moved) {
    static_cast<void>(moved);
    return {};
  }
};

class SystemClock final : public Clock {
 public:
  std::chrono::steady_clock::time_point steady() const override { return std::chrono::steady_clock::now(); }
  std::chrono::microseconds wall() const override {
    return std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::system_clock::now().time_since_epoch());
  }
};

/// A clock that stands still until it is told to move. Single thread.
class FakeClock final : public Clock {
 public:
  std::chrono::steady_clock::time_point steady() const override {
    return std::chrono::steady_clock::time_point{} + at_;
  }
  std::chrono::microseconds wall() const override { return start_ + at_; }
  bool runs() const override { return false; }
  Watch watch(std::function<void()> moved) override {
    const auto self = watchers_.insert(watchers_.end(), std::move(moved));
    return {nullptr, [this, self](void*) { watchers_.erase(self); }};
  }
  void expect(std::chrono::steady_clock::time_point due) override {
    if (due != std::chrono::steady_clock::time_point::max()) due_.insert(due);
  }
  /// The next time that somebody waits for, or waited for until something else woke him.
  std::chrono::steady_clock::time_point next_due() const {
    return due_.empty() ? std::chrono::steady_clock::time_point::max() : *due_.begin();
  }
  /// Sets the wall clock, forwards or back; what is steady goes on.
  void step_wall(Milliseconds by) { start_ += by; }
  void advance(Milliseconds by) {
    at_ += by;
    if (next_due() > steady()) return;
    due_.erase(due_.begin(), due_.upper_bound(steady()));
    for (const auto& moved : watchers_) moved();
  }

 private:
  Milliseconds start_{1'700'000'000'000};
  Milliseconds at_{0};
  std::list<std::function<void()>> watchers_;
  std::set<std::chrono::steady_clock::time_point> due_;
};

}  // namespace umbra
