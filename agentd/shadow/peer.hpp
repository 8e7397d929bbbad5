/// The other nodes, as a cutover sees them: the edge between this agent and its peers.
#pragma once

#include <memory>

#include "base/task.hpp"
#include "umbra/v1/agent.pb.h"

namespace umbra::shadow {

/// One other node's Standby and NetSwitch services (proto/umbra/v1/agent.proto has the meaning of each call).
/// @error kUnavailable, kTimeout the outcome is unknown; anything else is the peer's own, definite answer.
class Peer {
 public:
  virtual ~Peer() = default;
  /// Waits until the connection stands.
  virtual Task<void> reach(Deadline deadline) = 0;
  virtual Task<v1::StageReply> stage(v1::StageRequest request, Deadline deadline) = 0;
  virtual Task<v1::AcceptReply> accept(v1::AcceptRequest request, Deadline deadline) = 0;
  virtual Task<v1::ReleasedReply> released(v1::ReleasedRequest request, Deadline deadline) = 0;
  virtual Task<v1::RefuseReply> refuse(v1::RefuseRequest request, Deadline deadline) = 0;
  virtual Task<v1::InspectReply> inspect(v1::InspectRequest request, Deadline deadline) = 0;
  virtual Task<void> discard(v1::DiscardRequest request, Deadline deadline) = 0;
  virtual Task<v1::RenewReply> renew(v1::RenewRequest request, Deadline deadline) = 0;
  virtual Task<void> amend(v1::AmendRequest request, Deadline deadline) = 0;
  virtual Task<void> point(v1::PointRequest request, Deadline deadline) = 0;
  virtual Task<void> unpoint(v1::UnpointRequest request, Deadline deadline) = 0;
};

/// Nobody knows whether a call to a peer, or to libvirt, that failed so was done.
inline bool unknown(const Error& error) {
  return error.code == Errc::kTimeout || error.code == Errc::kUnavailable;
}

/// Finds peers and keeps connections to them open, so that no handshake lies inside a cutover.
class Peers {
 public:
  virtual ~Peers() = default;
  /// Never null; calls on a node that cannot be reached fail with kUnavailable. Connecting starts at once.
  virtual std::shared_ptr<Peer> peer(const v1::Node& node) = 0;
};

}  // namespace umbra::shadow
