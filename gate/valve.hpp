/// When QEMU's main channel may be read, and how much of it: what a gate is for.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <mutex>

#include "umbra/v1/gate.pb.h"

namespace umbra::gate {

/// A migration thread that is blocked in its write holds locks of QEMU's: for longer than this a gate that was not told
/// otherwise never stays shut.
constexpr std::chrono::milliseconds kLongestShut{250};

/// Pulsed, it is open until QEMU ends the pass over what is dirty in which it was held, and then shut for a pause. The
/// end of a pass shows in the stream: what was read ends with the mark that QEMU puts at the end of each round, and
/// nothing is left. QEMU goes on to look what was dirtied meanwhile, and is held again as soon as its socket is full of
/// that. Should no end ever show (another QEMU), it is shut all the same when it was open for long enough.
///
/// Thread-safe: the channel asks, the control socket sets.
class Valve {
 public:
  using Time = std::chrono::steady_clock::time_point;

  Valve();
  ~Valve();
  Valve(const Valve&) = delete;
  Valve& operator=(const Valve&) = delete;

  /// In force at once: whoever waits is woken. @param setting its times are brought within their bounds
  void set(v1::GateSetting setting, Time now);
  /// Nobody is left who would set anything: no state may last.
  void leave_alone(Time now);
  v1::GateSetting setting() const;

  struct Leave {
    std::size_t bytes = 0;  ///< that may be read now
    Time until{};           ///< of no leave: when to ask again, unless woken before
  };
  Leave ask(Time now);
  /// @param bytes that were read @param pass_ended nothing is left to read, and the last of it was QEMU's mark
  void passed(std::size_t bytes, bool pass_ended, Time now);

  /// Readable when a setting has changed since the last drain().
  int wake_descriptor() const { return wake_; }
  void drain();

  std::uint64_t passes() const { return passes_; }
  std::uint64_t pulses() const { return pulses_; }

 private:
  void shut(std::chrono::microseconds pause, Time now);
  void end_pulse(Time now);

  mutable std::mutex mutex_;
  int wake_;
  v1::GateSetting setting_;
  bool open_ = true;
  Time opened_{};      // of a pulse
  Time shut_until_{};  // of a pause
  Time paced_at_{};    // when `allowance_` was reckoned
  double allowance_ = 0;
  std::atomic<std::uint64_t> passes_{0}, pulses_{0};
};

}  // namespace umbra::gate
