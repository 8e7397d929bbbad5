/// One of QEMU's connections, and the line that carries it to the other host: a thread of its own, nothing shared.
#pragma once

#include <atomic>
#include <functional>
#include <thread>

#include "gate/line.hpp"
#include "gate/valve.hpp"

namespace umbra::gate {

/// What a channel counts, for whoever asks meanwhile.
struct Counters {
  std::atomic<std::uint64_t> bytes{0};   ///< in both directions
  std::atomic<std::uint64_t> stalls{0};  ///< times that the other side did not take what was there
  std::atomic<std::int64_t> round_trip_us{0};
  std::atomic<bool> kernel_tls{false};
};

/// Relays until both sides have ended, or one is lost; then both are closed. A lost line is seen within some five
/// seconds even if nothing says so.
class Channel {
 public:
  /// @param valve null: what comes from QEMU is always let through
  Channel(Descriptor qemu, Line line, Valve* valve, Counters& counters);

  /// Blocks. @return how it ended: nothing, both sides have said all they had to say
  /// @error kUnavailable why it was lost; kCancelled by stop()
  Result<void> run();
  /// From any thread.
  void stop();
  /// From any thread: bytes taken from QEMU that the other host has not acknowledged.
  std::uint64_t queued() const;

 private:
  struct Flow {
    std::vector<std::byte> buffer;
    std::size_t begin = 0, end = 0;
    bool ended = false;   // no more comes in
    bool closed = false;  // and the other side knows
    bool empty() const { return begin == end; }
  };

  bool take_from_qemu(Valve::Time now);
  bool give_to_line();
  bool take_from_line();
  bool give_to_qemu();
  bool look_at_line(Valve::Time now);
  void wait(Valve::Time now);
  bool lose(std::string why);

  Descriptor qemu_;
  Line line_;
  Valve* valve_;
  Counters& counters_;
  Descriptor stop_;
  Flow out_, in_;                        // from QEMU, and to it
  std::atomic<std::uint64_t> taken_{0};  // from QEMU, and not yet given to the line
  std::uint64_t last_bytes_ = 0;
  Valve::Leave leave_;
  bool qemu_full_ = false, line_full_ = false;
  Valve::Time look_at_{};
  std::string lost_;
};

}  // namespace umbra::gate
