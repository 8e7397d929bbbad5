/// The gate of a shadow's stream, as a shadow sees it: the edge between the agent and umbra-gate (gate/).
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/task.hpp"
#include "umbra/v1/gate.pb.h"

namespace umbra::shadow {

/// One side's. The gate is a process of its own, and goes on when this goes.
/// @error kUnavailable, kTimeout it is gone, or does not answer: its stream is as good as lost
class Gate {
 public:
  virtual ~Gate() = default;
  virtual Task<void> set(v1::GateSetting setting, Deadline deadline) = 0;
  virtual Task<v1::GateStatus> look(Deadline deadline) = 0;
  /// Its streams end, and the gate with them. Not waited for.
  virtual void end(std::string why) = 0;
  /// What it said when it ended; empty while it is there, or if it said nothing.
  virtual std::string last_words() const = 0;
  /// Source: the socket that QEMU's `migrate` connects to. Standby: where the other gate finds it, "10.0.0.2:49300".
  virtual const std::string& where() const = 0;
};

/// Starts gates, and finds those that an earlier life of the agent has started. Agent strand only.
class Gates {
 public:
  virtual ~Gates() = default;
  /// @param task files of certificates, and on the standby addresses, are filled in here
  /// @error kUnavailable it does not start; kConflict, kExhausted what is wrong with its task
  virtual Task<std::shared_ptr<Gate>> open(v1::GateTask task, Deadline deadline) = 0;
  /// @error kNotFound there is none
  virtual Task<std::shared_ptr<Gate>> adopt(v1::GateSide side, std::string vm_uuid, v1::ShadowId id,
                                            Deadline deadline) = 0;
};

/// Where QEMU's end of a stream is, in the directory that libvirt gives each QEMU: the only one that it may use under
/// libvirt's AppArmor profile and as its unprivileged user. libvirt removes it with the QEMU.
std::string stream_socket(const std::string& directory, const v1::ShadowId& id);

inline v1::GateSetting open_gate() {
  v1::GateSetting setting;
  setting.set_mode(v1::GATE_MODE_OPEN);
  return setting;
}
inline v1::GateSetting pulsed_gate(std::chrono::microseconds pause) {
  v1::GateSetting setting;
  setting.set_mode(v1::GATE_MODE_PULSED);
  setting.set_pause_us(static_cast<std::uint64_t>(pause.count()));
  return setting;
}
inline v1::GateSetting shut_gate(std::chrono::milliseconds at_most) {
  v1::GateSetting setting;
  setting.set_mode(v1::GATE_MODE_SHUT);
  setting.set_shut_ms(static_cast<std::uint64_t>(at_most.count()));
  return setting;
}

}  // namespace umbra::shadow
