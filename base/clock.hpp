/// Time as an interface, so that unit tests decide when it passes.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>

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
  /// Calls `moved` whenever a clock that does not run by itself was moved.
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
  std::chrono::microseconds wall() const override { return kStart + at_; }
  bool runs() const override { return false; }
  Watch watch(std::function<void()> moved) override {
    const auto self = watchers_.insert(watchers_.end(), std::move(moved));
    return {nullptr, [this, self](void*) { watchers_.erase(self); }};
  }
  void advance(Milliseconds by) {
    at_ += by;
    for (const auto& moved : watchers_) moved();
  }

 private:
  static constexpr Milliseconds kStart{1'700'000'000'000};
  Milliseconds at_{0};
  std::list<std::function<void()>> watchers_;
};

}  // namespace umbra
