#include "agentd/peers.hpp"

#include "base/signal.hpp"
#include "umbra/v1/agent.rpc.hpp"

namespace umbra::agent {
namespace {

/// A node over the wire.
class RpcPeer final : public shadow::Peer {
 public:
  RpcPeer(asio::any_io_executor executor, Clock& clock, rpc::Transport& transport, const v1::Node& node)
      : connected_(std::move(executor), clock),
        link_(transport.dial(node.endpoint(), rpc::Expect{node.name(), node.role()}, rpc::Services{},
                             rpc::DialerHooks{.on_connected = [this](auto) { connected_.notify(); }})) {}

  Task<void> reach(Deadline deadline) override {
    UMBRA_CO_CHECK(co_await ready(deadline));
    co_return Result<void>{};
  }
  Task<v1::StageReply> stage(v1::StageRequest request, Deadline deadline) override {
    UMBRA_CO_TRY(auto session, co_await ready(deadline));
    co_return co_await v1::StandbyClient(session).stage(std::move(request), deadline);
  }
  Task<v1::AcceptReply> accept(v1::AcceptRequest request, Deadline deadline) override {
    UMBRA_CO_TRY(auto session, co_await ready(deadline));
    co_return co_await v1::StandbyClient(session).accept(std::move(request), deadline);
  }
  Task<v1::ReleasedReply> released(v1::ReleasedRequest request, Deadline deadline) override {
    UMBRA_CO_TRY(auto session, co_await ready(deadline));
    co_return co_await v1::StandbyClient(session).released(std::move(request), deadline);
  }
  Task<v1::RefuseReply> refuse(v1::RefuseRequest request, Deadline deadline) override {
    UMBRA_CO_TRY(auto session, co_await ready(deadline));
    co_return co_await v1::StandbyClient(session).refuse(std::move(request), deadline);
  }
  Task<v1::InspectReply> inspect(v1::InspectRequest request, Deadline deadline) override {
    UMBRA_CO_TRY(auto session, co_await ready(deadline));
    co_return co_await v1::StandbyClient(session).inspect(std::move(request), deadline);
  }
  Task<void> discard(v1::DiscardRequest request, Deadline deadline) override {
    UMBRA_CO_TRY(auto session, co_await ready(deadline));
    UMBRA_CO_CHECK(co_await v1::StandbyClient(session).discard(std::move(request), deadline));
    co_return Result<void>{};
  }
  Task<v1::RenewReply> renew(v1::RenewRequest request, Deadline deadline) override {
    UMBRA_CO_TRY(auto session, co_await ready(deadline));
    co_return co_await v1::StandbyClient(session).renew(std::move(request), deadline);
  }
  Task<void> amend(v1::AmendRequest request, Deadline deadline) override {
    UMBRA_CO_TRY(auto session, co_await ready(deadline));
    UMBRA_CO_CHECK(co_await v1::StandbyClient(session).amend(std::move(request), deadline));
    co_return Result<void>{};
  }
  Task<void> point(v1::PointRequest request, Deadline deadline) override {
    UMBRA_CO_TRY(auto session, co_await ready(deadline));
    UMBRA_CO_CHECK(co_await v1::NetSwitchClient(session).point(std::move(request), deadline));
    co_return Result<void>{};
  }
  Task<void> unpoint(v1::UnpointRequest request, Deadline deadline) override {
    UMBRA_CO_TRY(auto session, co_await ready(deadline));
    UMBRA_CO_CHECK(co_await v1::NetSwitchClient(session).unpoint(std::move(request), deadline));
    co_return Result<void>{};
  }

 private:
  /// The first call usually comes before the first connection stands.
  Task<std::shared_ptr<rpc::Session>> ready(Deadline deadline) {
    const auto up = [this] { return link_->session().has_value(); };
    const auto connected =
        co_await connected_.until(up, std::min<Deadline>(deadline, std::chrono::seconds(3)), "connecting");
    static_cast<void>(connected);  // the dialer knows better why not
    co_return link_->session();
  }

  Signal connected_;
  std::unique_ptr<rpc::Link> link_;
};

}  // namespace

std::shared_ptr<shadow::Peer> RpcPeers::peer(const v1::Node& node) {
  auto& known = peers_[node.name()];
  if (!known.peer || known.endpoint != node.endpoint()) {
    known.endpoint = node.endpoint();
    known.peer = std::make_shared<RpcPeer>(executor_, clock_, transport_, node);
  }
  return known.peer;
}

}  // namespace umbra::agent
