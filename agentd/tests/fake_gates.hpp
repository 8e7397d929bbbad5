/// The gates of one host of a simulation: they outlive its agents, and end with its power.
#pragma once

#include <map>

#include "agentd/shadow/gate.hpp"
#include "gate/valve.hpp"
#include "qmp/fakes/fake_wire.hpp"

namespace umbra::agent::test {

/// A gate between fake QEMUs, with the real Valve. Passes the same contract as ProcessGates.
class FakeGates final : public shadow::Gates {
 public:
  FakeGates(std::shared_ptr<qmp::FakeWire> wire, std::string address)
      : wire_(std::move(wire)), address_(std::move(address)) {}

  Task<std::shared_ptr<shadow::Gate>> open(v1::GateTask task, Deadline deadline) override;
  Task<std::shared_ptr<shadow::Gate>> adopt(v1::GateSide side, std::string vm_uuid, v1::ShadowId id,
                                            Deadline deadline) override;

  // Fate.
  /// All of that side, or of both, die as by SIGKILL.
  void kill(v1::GateSide side = v1::GATE_SIDE_UNSPECIFIED);
  /// They do nothing and answer nobody for so long, as when stopped.
  void hang(Milliseconds time) { hangs_until_ = wire_->clock().steady() + time; }
  /// So much is on its way to the other host, and does not get there.
  void queue(std::uint64_t bytes) { queued_ = bytes; }
  /// Their agent is gone: they look after themselves.
  void leave_alone();
  /// The source's, of the newest shadow. @return null without one
  const gate::Valve* valve() const;

 private:
  struct Process;
  class Handle;
  std::shared_ptr<Process> find(v1::GateSide side, const std::string& vm_uuid, const v1::ShadowId& id) const;

  std::shared_ptr<qmp::FakeWire> wire_;
  std::string address_;
  unsigned last_port_ = 49299;
  std::chrono::steady_clock::time_point hangs_until_{};
  std::uint64_t queued_ = 0;
  std::vector<std::shared_ptr<Process>> processes_;
};

}  // namespace umbra::agent::test
