/// This node's part of the network, in the fleet's words.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "netswitch/switch.hpp"
#include "umbra/v1/controller.pb.h"

namespace umbra::agent {

/// Translates the wire's messages for the node's switch.
/// Agent strand only; every call is a handful of netlink messages.
class Network {
 public:
  /// @param node this node's name: a VM on it is reached by its tap. `fabric` outlives this.
  Network(netswitch::Switch& fabric, std::string node) : switch_(fabric), node_(std::move(node)) {}

  /// Why the VM's addresses cannot be routed here; empty if they can.
  std::string objection(const v1::Vm& vm) const;

  /// Tap and neighbours for a VM that is, or will be, on this host; no route yet. Idempotent.
  Result<void> attach(const v1::Vm& vm) { return attach(vm, false); }
  /// attach() for a VM that is to come here by a cutover: its tap holds what arrives while it is paused.
  Result<void> await(const v1::Vm& vm) { return attach(vm, true); }
  /// Takes back attach(), and a route that leads to the tap. Idempotent.
  Result<void> detach(const std::string& vm_uuid);

  /// The VM runs here, where attach() was called for it: its addresses lead to its tap. Idempotent.
  /// @param epoch in which it came here, 0 when it did not; a newer one that is known here leads elsewhere still
  /// @error kConflict another VM holds an address, or a route that is not ours
  Result<void> serve(const v1::Vm& vm, std::uint64_t epoch);

  /// NetSwitch.Point: the VM's addresses lead to that host from now on. Idempotent.
  /// @error kConflict an older epoch; kInvalid an address; kNotFound the host is this one and no tap is attached
  Result<void> point(const v1::PointRequest& request);
  /// NetSwitch.Unpoint: fine when there is nothing to take back; the epoch is used up.
  Result<void> unpoint(const v1::UnpointRequest& request);
  /// The epochs that this node's routes tell of.
  void fill(v1::RegisterRequest& request) const;

  /// NetSwitch.Reconcile. An address of one of the fleet's own nodes is no VM's. Entries that fail are reported in the
  /// error, after all others were done.
  Result<v1::ReconcileReply> reconcile(const v1::ReconcileRequest& request);

 private:
  Result<void> attach(const v1::Vm& vm, bool awaited);
  Result<netswitch::Hop> hop(const std::string& vm_uuid, const std::string& host, const std::string& underlay) const;

  netswitch::Switch& switch_;
  std::string node_;
  std::map<std::string, std::string> taps_;  // by VM
};

}  // namespace umbra::agent
