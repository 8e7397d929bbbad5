/// Time as an interface, so that unit tests decide when it passes.
#pragma once

#include <chrono>
#include <cstdint>

namespace umbra {

using Milliseconds = std::chrono::milliseconds;
using UnixMillis = std::int64_t;  ///< wall-clock time, milliseconds since the Unix epoch

/// Reads time. Thread-safe.
class Clock {
 public:
  virtual ~Clock() = default;
  /// Monotonic; for durations and deadlines.
  virtual std::chrono::steady_clock::time_point steady() const = 0;
  /// Wall clock; for what people and other hosts read, never for durations.
  virtual UnixMillis unix_ms() const = 0;
};

class SystemClock final : public Clock {
 public:
  std::chrono::steady_clock::time_point steady() const override { return std::chrono::steady_clock::now(); }
  UnixMillis unix_ms() const override {
    return std::chrono::duration_cast<Milliseconds>(std::chrono::system_clock::now().time_since_epoch()).count();
  }
};

/// A clock that stands still until it is told to move.
class FakeClock final : public Clock {
 public:
  std::chrono::steady_clock::time_point steady() const override { return std::chrono::steady_clock::time_point{} + at_; }
  UnixMillis unix_ms() const override { return kStart + at_.count(); }
  void advance(Milliseconds by) { at_ += by; }

 private:
  static constexpr UnixMillis kStart = 1'700'000'000'000;
  Milliseconds at_{0};
};

}  // namespace umbra
