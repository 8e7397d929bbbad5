/// This node's part of the network, in the fleet's words.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "netswitch/switch.hpp"
#include "umbra/v1/agent.pb.h"

namespace umbra::agent {

/// Translates between the wire's messages and the node's switch, and remembers what to take back.
/// Agent strand only; every call is a handful of netlink messages.
class Network {
 public:
  /// @param node this node's name: a VM on it is reached by its tap
  Network(netswitch::Switch& fabric, std::string node) : switch_(fabric), node_(std::move(node)) {}

  /// Tap and neighbours for a VM that is, or will be, on this host; no route yet. Idempotent.
  Result<void> attach(const v1::Vm& vm);
  /// Takes back attach(), and a route that leads to the tap. Idempotent.
  Result<void> detach(const std::string& vm_uuid);

  /// NetSwitch.Point: all addresses or none. @error kConflict an older epoch; kInvalid; kNotFound no tap is attached
  Result<void> point(const v1::PointRequest& request);
  /// NetSwitch.Unpoint: fine when there is nothing to take back.
  Result<void> unpoint(const std::string& vm_uuid, std::uint64_t epoch);
  Result<v1::ReconcileReply> reconcile(const v1::ReconcileRequest& request);
  /// Do packets for this address leave by a route of ours?
  bool routed(const std::string& address) const;

 private:
  Result<netswitch::Hop> hop(const std::string& vm_uuid, const std::string& host, const std::string& underlay) const;

  struct Pointed {
    std::uint64_t epoch = 0;
    std::vector<netswitch::Undo> undo;  // in the order things were done
  };
  netswitch::Switch& switch_;
  std::string node_;
  std::map<std::string, std::string> taps_;     // by VM
  std::map<std::string, Pointed> pointed_;      // by VM: the newest flip
};

}  // namespace umbra::agent
