/// A system bus of the test's own (dbus-daemon), with a logind on it that does what it is told.
#pragma once

#include <sys/types.h>
#include <systemd/sd-bus.h>

#include <atomic>
#include <string>
#include <thread>

#include "base/temporary_directory.hpp"

namespace umbra::systemd {

/// Starts the daemon and points $DBUS_SYSTEM_BUS_ADDRESS at it, for this process; ends both when destroyed.
class FakeLogind {
 public:
  explicit FakeLogind(std::uint64_t most_delay_us);
  ~FakeLogind();
  FakeLogind(const FakeLogind&) = delete;
  FakeLogind& operator=(const FakeLogind&) = delete;

  /// Sends PrepareForShutdown.
  void shut_down(bool begins) { command_ = begins ? 1 : 2; }
  /// When a shutdown is planned for; 0: none is.
  std::atomic<std::uint64_t> scheduled_us{0};
  std::atomic<unsigned> locks{0};  ///< that were ever given out
  /// Does anyone hold a lock now?
  bool locked() const;
  /// Ends the bus, as a crash of its daemon does.
  void end_bus();

 private:
  static int inhibit(sd_bus_message* message, void* self, sd_bus_error* error);
  static int delay(sd_bus*, const char*, const char*, const char*, sd_bus_message* reply, void* self, sd_bus_error*);
  static int planned(sd_bus*, const char*, const char*, const char*, sd_bus_message* reply, void* self, sd_bus_error*);
  void serve();

  TemporaryDirectory directory_;
  pid_t daemon_ = -1;
  std::uint64_t most_delay_us_;
  std::atomic<int> command_{0};
  std::atomic<int> lock_{-1};  // our end of the newest
  std::atomic<bool> stopping_{false}, ready_{false};
  std::thread thread_;
};

}  // namespace umbra::systemd
