/// Sessions without sockets: rpc::Transport over a Lan, with a moment for each message in each direction.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "agentd/tests/lan.hpp"
#include "agentd/tests/moment.hpp"
#include "rpc/transport.hpp"

namespace umbra::sim {

using agent::test::Fate;
using agent::test::Lan;
using agent::test::Moment;
using agent::test::Verdict;

class End;

/// What the transports of one world share: who listens where, and which connections stand.
class Exchange {
 public:
  Exchange(Lan& lan, Clock& clock, Fate meet) : lan_(lan), clock_(clock), meet_(std::move(meet)) {}

  /// That process has died: nobody listens there, and its connections are reset at their other ends; not before
  /// `unheard` when its machine cannot say so.
  void crashed(const std::string& node, Milliseconds unheard = {});
  /// Connections over a way that stays silent are given up by both ends, as by the keepalive.
  void silent(const std::string& a, const std::string& b);

 private:
  friend class End;
  friend class LanTransport;
  struct Listener {
    std::string node;
    rpc::Identity identity;
    asio::any_io_executor executor;
    rpc::Services services;
  };
  Lan& lan_;
  Clock& clock_;
  Fate meet_;
  std::map<std::string, Listener> listeners_;  // by address
  std::vector<std::weak_ptr<End>> ends_;
};

/// One process's. Connecting takes a round trip; a call that is lost is waited for until its deadline; the peer's end
/// breaks the connection, and it is dialled again.
class LanTransport final : public rpc::Transport {
 public:
  LanTransport(Exchange& exchange, asio::any_io_executor executor, rpc::Identity self)
      : exchange_(exchange), executor_(std::move(executor)), self_(std::move(self)) {}
  std::unique_ptr<rpc::Link> dial(std::string address, rpc::Expect expect, rpc::Services services,
                                  rpc::DialerHooks hooks) override;
  Result<std::unique_ptr<rpc::Door>> listen(std::string address, rpc::Services services,
                                            rpc::ServerHooks hooks) override;
  /// Connects at once, or not at all. For operators.
  Result<std::shared_ptr<rpc::Session>> connect(const std::string& address, const rpc::Expect& expect,
                                                rpc::Services services, std::function<void(const Error&)> on_closed);

 private:
  struct Dialling;
  class LanLink;
  class LanDoor;
  Exchange& exchange_;
  asio::any_io_executor executor_;
  rpc::Identity self_;
};

}  // namespace umbra::sim
