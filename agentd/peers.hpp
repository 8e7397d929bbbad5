/// Connections to the other agents.
#pragma once

#include <map>
#include <memory>

#include "agentd/shadow/peer.hpp"
#include "rpc/dialer.hpp"

namespace umbra::agent {

/// Keeps one connection to each node that was ever asked for, dialled again when it breaks.
/// Agent strand only.
class RpcPeers final : public shadow::Peers {
 public:
  RpcPeers(asio::any_io_executor executor, rpc::Tls tls) : executor_(std::move(executor)), tls_(std::move(tls)) {}
  std::shared_ptr<shadow::Peer> peer(const v1::Node& node) override;

 private:
  struct Known {
    std::string endpoint;
    std::shared_ptr<shadow::Peer> peer;
  };
  asio::any_io_executor executor_;
  rpc::Tls tls_;
  std::map<std::string, Known> peers_;  // by node name
};

}  // namespace umbra::agent
