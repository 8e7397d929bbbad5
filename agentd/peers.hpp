/// Connections to the other agents.
#pragma once

#include <map>
#include <memory>

#include "agentd/shadow/peer.hpp"
#include "base/clock.hpp"
#include "rpc/transport.hpp"

namespace umbra::agent {

/// Keeps one connection to each node that was ever asked for, dialled again when it breaks.
/// Agent strand only.
class RpcPeers final : public shadow::Peers {
 public:
  /// References outlive it, and the peers that it gave out.
  RpcPeers(asio::any_io_executor executor, Clock& clock, rpc::Transport& transport)
      : executor_(std::move(executor)), clock_(clock), transport_(transport) {}
  std::shared_ptr<shadow::Peer> peer(const v1::Node& node) override;

 private:
  struct Known {
    std::string endpoint;
    std::shared_ptr<shadow::Peer> peer;
  };
  asio::any_io_executor executor_;
  Clock& clock_;
  rpc::Transport& transport_;
  std::map<std::string, Known> peers_;  // by node name
};

}  // namespace umbra::agent
