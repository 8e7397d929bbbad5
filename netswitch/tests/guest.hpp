// Plays a guest that can be moved from one tap to another.
#pragma once

#include <atomic>
#include <future>
#include <mutex>
#include <thread>

#include "base/clock.hpp"
#include "netswitch/address.hpp"

namespace umbra::netswitch::test {

/// Answers every UDP datagram, over IPv4 and IPv6, to the gateway MAC that it learned once, like a real guest whose
/// neighbour entry stays as it was while it moves.
class Guest {
 public:
  Guest(IpAddress address, MacAddress mac, int tap);
  ~Guest();
  Guest(const Guest&) = delete;
  Guest& operator=(const Guest&) = delete;

  /// Asks by ARP who has the gateway. @return its MAC; zero if nobody answered
  MacAddress resolve(const IpAddress& gateway);
  /// Pauses, and resumes on another tap. Before the pause it serves what still arrives, as a guest does between the
  /// flip and QEMU's `stop`.
  void move(int tap, Milliseconds blackout);
  std::uint64_t answered() const { return answered_; }

 private:
  class Held;  // while it lives, the guest does nothing by itself
  void live();
  bool serve(int tap, Milliseconds patience);
  bool answer(std::span<std::uint8_t> frame);

  const IpAddress address_;
  const MacAddress mac_;
  MacAddress gateway_;
  int tap_;
  std::mutex busy_;
  std::atomic<int> waiting_ = 0;  // who wants the guest to stop what it does; a mutex alone would not let them in
  std::atomic<bool> over_ = false;
  std::atomic<std::uint64_t> answered_ = 0;
  std::thread life_;
};

}  // namespace umbra::netswitch::test
