#include "agentd/shadow/leases.hpp"

#include <spdlog/spdlog.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>

namespace umbra::shadow {
namespace {

using namespace std::chrono_literals;

constexpr Deadline kCall = 3s;
constexpr int kRenewalsInALease = 6;

}  // namespace

Leases::Leases(asio::any_io_executor executor, Clock& clock, Peers& peers, const Journal& journal, SourceConfig config,
               Hooks hooks)
    : executor_(executor),
      clock_(clock),
      peers_(peers),
      journal_(journal),
      config_(std::move(config)),
      hooks_(std::move(hooks)),
      changed_(executor, clock) {}

void Leases::stop() {
  stopping_ = true;
  changed_.notify();
}

asio::awaitable<void> Leases::run() {
  while (!stopping_) {
    std::map<std::string, v1::RenewRequest> requests;
    for (auto& [name, standby] : standbys_)
      if (standby->owed) requests[name];
    for (const auto& kept : hooks_.kept()) {
      auto& standby = standbys_[kept.standby.name()];
      if (!standby) standby = std::make_shared<Standby>();
      if (!standby->owed) standby->renewed = clock_.steady();
      standby->node = kept.standby;
      standby->owed = true;
      *requests[kept.standby.name()].add_shadows() = kept.shadow;
    }
    for (auto& [name, request] : requests) {
      const auto standby = standbys_[name];
      if (std::exchange(standby->asking, true)) continue;
      request.set_source(config_.node);
      request.mutable_newest()->set_journal(journal_.incarnation());
      request.mutable_newest()->set_number(journal_.newest_number());
      asio::co_spawn(executor_, renew(standby, request), asio::detached);
    }
    co_await changed_.wait_until(clock_.steady() + config_.lease / kRenewalsInALease);
  }
}

asio::awaitable<void> Leases::renew(std::shared_ptr<Standby> standby, v1::RenewRequest request) {
  const auto peer = peers_.peer(standby->node);
  auto asked = request;
  const auto reply = co_await peer->renew(std::move(asked), kCall);
  standby->asking = false;
  if (!stopping_) take(*standby, request, reply);
}

void Leases::take(Standby& standby, const v1::RenewRequest& request, const Result<v1::RenewReply>& reply) {
  const auto lost = [&](const v1::KeptShadow& shadow, std::string why) {
    hooks_.lost(shadow.vm_uuid(), shadow.id(), std::move(why));
  };
  if (reply) {
    standby.renewed = clock_.steady();
    standby.owed = !request.shadows().empty();
    for (const auto& shadow : request.shadows())
      for (const auto& missing : reply->missing_vm_uuids())
        if (missing == shadow.vm_uuid()) lost(shadow, fmt::format("{} does not hold it", standby.node.name()));
    return;
  }
  spdlog::debug("renewing the shadows on {}: {}", standby.node.name(), reply.error());
  const auto silent = clock_.steady() - standby.renewed;
  if (silent < config_.lease) return;
  if (request.shadows().empty()) standby.owed = false;  // by now its own lease has ended there
  for (const auto& shadow : request.shadows())
    lost(shadow, fmt::format("{} has not answered for {} s", standby.node.name(),
                             std::chrono::duration_cast<std::chrono::seconds>(silent).count()));
}

}  // namespace umbra::shadow
