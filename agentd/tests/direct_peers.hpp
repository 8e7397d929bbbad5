/// The agents' way to each other without sockets: what RpcPeers promises, over a Lan.
#pragma once

#include <list>
#include <map>

#include "agentd/shadow/peer.hpp"
#include "base/clock.hpp"

namespace umbra::agent::test {

class TwoHosts;

/// A request that waits for its answer.
class Exchange {
 public:
  virtual ~Exchange() = default;
  /// The connection broke: its outcome is unknown.
  virtual void broken() = 0;
};

/// One agent's. A node whose agent is down is waited for up to 3 s, as the dialer does; its end breaks the connection;
/// a parted network is silent until the deadline.
class DirectPeers final : public shadow::Peers {
 public:
  DirectPeers(TwoHosts& world, asio::any_io_executor executor, std::string self);
  std::shared_ptr<shadow::Peer> peer(const v1::Node& node) override;
  bool connects_to(const std::string& node) const { return peers_.contains(node); }

 private:
  TwoHosts& world_;
  asio::any_io_executor executor_;
  std::string self_;
  std::map<std::string, std::shared_ptr<shadow::Peer>> peers_;
};

}  // namespace umbra::agent::test
