/// What logind knows of this machine's shutdown, and its patience (org.freedesktop.login1(5)).
#pragma once

#include <functional>
#include <optional>

#include "base/descriptor.hpp"
#include "systemd/bus.hpp"

namespace umbra::systemd {

class Logind {
 public:
  explicit Logind(std::shared_ptr<Bus> bus) : bus_(std::move(bus)) {}

  /// A delay lock: a shutdown waits for it to be closed, for InhibitDelayMaxSec at most. @error as Bus::call
  Task<Descriptor> delay_shutdown(std::string why);
  /// Its patience. @error as Bus::call
  Task<std::chrono::microseconds> most_delay();
  struct Scheduled {
    std::string kind;                 ///< "reboot", "poweroff", …; empty: none is
    std::chrono::microseconds at{0};  ///< since the Unix epoch
  };
  Task<Scheduled> scheduled_shutdown();
  /// `tell(true)` when the machine is about to shut down, `tell(false)` when that was called off.
  Result<void> on_shutdown(std::function<void(bool begins)> tell);

 private:
  Task<BusMessage> property(const char* name);
  std::shared_ptr<Bus> bus_;
};

}  // namespace umbra::systemd
