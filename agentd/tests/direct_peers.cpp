#include "agentd/tests/direct_peers.hpp"

#include "agentd/tests/two_hosts.hpp"

namespace umbra::agent::test {
namespace {

using namespace std::chrono_literals;

constexpr Deadline kConnect = 3s;

template <class Reply>
class ExchangeOf final : public Exchange {
 public:
  ExchangeOf(asio::any_io_executor executor, Clock& clock) : answered_(std::move(executor), clock) {}
  void deliver(Result<Reply> reply) {
    if (reply_) return;
    reply_ = std::move(reply);
    answered_.notify();
  }
  void broken() override { deliver(fail(Errc::kUnavailable, "the connection was reset")); }
  static Task<Reply> wait(std::shared_ptr<ExchangeOf> self, Deadline deadline) {
    const auto answered = [&self] { return self->reply_.has_value(); };
    UMBRA_CO_CHECK(co_await self->answered_.until(answered, deadline, "the answer"));
    co_return *self->reply_;
  }

 private:
  Signal answered_;
  std::optional<Result<Reply>> reply_;
};

template <class Reply>
using Work = std::function<Task<Reply>(Process&)>;

template <class Reply>
asio::awaitable<void> serve(TwoHosts& world, Process& process, std::string what, std::string from, Work<Reply> work,
                            std::shared_ptr<ExchangeOf<Reply>> exchange) {
  auto reply = co_await work(process);
  const auto verdict = world.meet({Moment::Kind::kReply, process.name(), from, what});
  co_await asio::post(process.loop(), asio::use_awaitable);  // an agent that has just crashed never comes back here
  if (verdict.kind == Verdict::Kind::kLose) co_return;
  world.lan().send(
      process.name(), from, [exchange, reply = std::move(reply)] { exchange->deliver(reply); }, verdict.delay);
}

template <class Reply, class Request>
Task<Reply> on_standby(Process& process, Task<Reply> (shadow::Standby::*step)(Request), Request request) {
  if (process.host() == nullptr) co_return fail(Errc::kUnsupported, "an edge holds no shadows");
  UMBRA_CO_TRY(auto* standby, process.host()->standby());
  co_return co_await (standby->*step)(std::move(request));
}

template <class Request>
Task<void> on_network(Process& process, Result<void> (Network::*step)(const Request&), Request request) {
  co_return (process.network().*step)(request);
}

class DirectPeer final : public shadow::Peer {
 public:
  DirectPeer(TwoHosts& world, asio::any_io_executor executor, std::string self, std::string peer)
      : world_(world),
        executor_(std::move(executor)),
        self_(std::move(self)),
        peer_(std::move(peer)),
        up_(executor_, world.clock()) {}

  Task<void> reach(Deadline deadline) override {
    UMBRA_CO_CHECK(co_await connect(deadline));
    if (!world_.lan().parted(self_, peer_)) co_return Result<void>{};
    co_await up_.wait_until(world_.clock().steady() + deadline);
    co_return fail(Errc::kTimeout, "{} does not answer", peer_);
  }
  Task<v1::StageReply> stage(v1::StageRequest request, Deadline deadline) override {
    return to_standby("stage", &shadow::Standby::stage, std::move(request), deadline);
  }
  Task<v1::AcceptReply> accept(v1::AcceptRequest request, Deadline deadline) override {
    return to_standby("accept", &shadow::Standby::accept, std::move(request), deadline);
  }
  Task<v1::ReleasedReply> released(v1::ReleasedRequest request, Deadline deadline) override {
    return to_standby("released", &shadow::Standby::released, std::move(request), deadline);
  }
  Task<v1::RefuseReply> refuse(v1::RefuseRequest request, Deadline deadline) override {
    return to_standby("refuse", &shadow::Standby::refuse, std::move(request), deadline);
  }
  Task<v1::InspectReply> inspect(v1::InspectRequest request, Deadline deadline) override {
    return to_standby("inspect", &shadow::Standby::inspect, std::move(request), deadline);
  }
  Task<void> discard(v1::DiscardRequest request, Deadline deadline) override {
    return to_standby("discard", &shadow::Standby::discard, std::move(request), deadline);
  }
  Task<v1::RenewReply> renew(v1::RenewRequest request, Deadline deadline) override {
    return to_standby("renew", &shadow::Standby::renew, std::move(request), deadline);
  }
  Task<void> amend(v1::AmendRequest request, Deadline deadline) override {
    return to_standby("amend", &shadow::Standby::amend, std::move(request), deadline);
  }
  Task<void> point(v1::PointRequest request, Deadline deadline) override {
    return to_network("point", &Network::point, std::move(request), deadline);
  }
  Task<void> unpoint(v1::UnpointRequest request, Deadline deadline) override {
    return to_network("unpoint", &Network::unpoint, std::move(request), deadline);
  }

 private:
  template <class Reply, class Request>
  Task<Reply> to_standby(std::string what, Task<Reply> (shadow::Standby::*step)(Request), Request request,
                         Deadline deadline) {
    Work<Reply> work = [step, request = std::move(request)](Process& process) {
      return on_standby(process, step, request);
    };
    return call(std::move(what), std::move(work), deadline);
  }
  template <class Request>
  Task<void> to_network(std::string what, Result<void> (Network::*step)(const Request&), Request request,
                        Deadline deadline) {
    Work<void> work = [step, request = std::move(request)](Process& process) {
      return on_network(process, step, request);
    };
    return call(std::move(what), std::move(work), deadline);
  }

  /// Waits for the peer's agent to be there.
  Task<void> connect(Deadline deadline) {
    const auto end = world_.clock().steady() + std::min(deadline, kConnect);
    while (world_.process(peer_) == nullptr) {
      const auto now = world_.clock().steady();
      if (now >= end) co_return fail(Errc::kUnavailable, "{}: connection refused", peer_);
      co_await up_.wait_until(std::min(end, now + 50ms));
    }
    co_return Result<void>{};
  }

  template <class Reply>
  Task<Reply> call(std::string what, Work<Reply> work, Deadline deadline) {
    UMBRA_CO_CHECK(co_await connect(deadline));
    const auto verdict = world_.meet({Moment::Kind::kRequest, self_, peer_, what});
    co_await asio::post(executor_, asio::use_awaitable);  // an agent that has just crashed never comes back here
    const auto exchange = std::make_shared<ExchangeOf<Reply>>(executor_, world_.clock());
    if (verdict.kind != Verdict::Kind::kLose) send(std::move(what), std::move(work), exchange, verdict.delay);
    co_return co_await ExchangeOf<Reply>::wait(exchange, deadline);
  }

  template <class Reply>
  void send(std::string what, Work<Reply> work, std::shared_ptr<ExchangeOf<Reply>> exchange, Milliseconds late) {
    world_.connected(peer_, exchange);
    auto arrive = [this, what = std::move(what), work = std::move(work), exchange] {
      auto* process = world_.process(peer_);
      if (process == nullptr) return exchange->broken();
      asio::co_spawn(process->loop(), serve<Reply>(world_, *process, what, self_, work, exchange), asio::detached);
    };
    world_.lan().send(self_, peer_, std::move(arrive), late);
  }

  TwoHosts& world_;
  asio::any_io_executor executor_;
  std::string self_, peer_;
  Signal up_;
};

}  // namespace

DirectPeers::DirectPeers(TwoHosts& world, asio::any_io_executor executor, std::string self)
    : world_(world), executor_(std::move(executor)), self_(std::move(self)) {}

std::shared_ptr<shadow::Peer> DirectPeers::peer(const v1::Node& node) {
  auto& peer = peers_[node.name()];
  if (!peer) peer = std::make_shared<DirectPeer>(world_, executor_, self_, node.name());
  return peer;
}

}  // namespace umbra::agent::test
