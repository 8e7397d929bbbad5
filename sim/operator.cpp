// World: what a person does, with umbractl and virsh.
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>

#include "sim/world.hpp"

namespace umbra::sim {
namespace {

using namespace std::chrono_literals;

constexpr Deadline kVirsh = 5s;
constexpr Deadline kResolve = 60s;
constexpr auto kRefresh = 15s;  // a third of what a fleet does that waits for the end of a fault

asio::awaitable<void> first_of(Task<rpc::Stream<v1::Shadow>> call) {
  auto stream = co_await std::move(call);
  if (stream) (void)co_await stream->next();
}

template <class T>
asio::awaitable<void> unheard(Task<T> call) {
  (void)co_await std::move(call);
}

}  // namespace

v1::FleetClient* World::fleet() {
  if (session_ && session_->is_open()) return &*fleet_;
  auto made = operator_->connect(kControllerAddress, rpc::Expect{"controller", v1::ROLE_CONTROLLER}, {}, {});
  if (!made) return nullptr;
  session_ = *made;
  fleet_.emplace(session_);
  return &*fleet_;
}

template <class Stream>
asio::awaitable<void> World::follow(Task<Stream> call, std::shared_ptr<Move> move) {
  auto stream = co_await std::move(call);
  if (!stream) {
    move->end = fail(stream.error());
    co_return;
  }
  for (;;) {
    auto next = co_await stream->next();
    if (!next) {
      move->end = fail(next.error());
      co_return;
    }
    if (!*next) {
      if (!move->end) move->end = fail(Errc::kUnavailable, "the stream ended without a result");
      co_return;
    }
    move->phase = (*next)->phase();
    if ((*next)->has_result()) move->end = (*next)->result();
  }
}

std::shared_ptr<Move> World::cutover() {
  auto move = std::make_shared<Move>();
  auto* client = fleet();
  if (client == nullptr) return move;
  v1::StartCutoverRequest request;
  request.set_vm(kName);
  request.set_reason("simulation");
  asio::co_spawn(world_, follow(client->cutover(std::move(request), rpc::kNoDeadline), move), asio::detached);
  return move;
}

std::shared_ptr<Move> World::migrate(const std::string& to) {
  auto move = std::make_shared<Move>();
  auto* client = fleet();
  if (client == nullptr) return move;
  v1::MigrateRequest request;
  request.set_vm(kName);
  request.set_to(to);
  request.set_reason("simulation");
  asio::co_spawn(world_, follow(client->migrate(std::move(request), rpc::kNoDeadline), move), asio::detached);
  return move;
}

void World::keep(const std::string& to, v1::Tier tier) {
  auto* client = fleet();
  if (client == nullptr) return;
  v1::PinShadowRequest request;
  request.set_vm(kName);
  request.set_to(to);
  request.set_tier(tier);
  request.set_refresh_interval_ms(Milliseconds(kRefresh).count());
  asio::co_spawn(world_, first_of(client->keep_shadow(std::move(request), 10s)), asio::detached);
}

void World::drop() {
  auto* client = fleet();
  if (client == nullptr) return;
  v1::UnpinShadowRequest request;
  request.set_vm(kName);
  asio::co_spawn(world_, unheard(client->drop_shadow(std::move(request), 10s)), asio::detached);
}

void World::resume_by_hand(Machine& machine) {
  asio::co_spawn(world_, unheard(machine.hypervisor->resume(kVm, kVirsh)), asio::detached);
}

/// Looks at both sides, as the alerts say, and does what they name.
asio::awaitable<void> World::attend() {
  if (auto* client = fleet()) {
    v1::ResolveVmRequest look;
    look.set_vm(kName);
    const auto seen = co_await client->resolve_vm(look, kResolve);
    if (!seen) {
      tell("umbractl resolve: " + seen.error().text());
      co_return;
    }
    for (const auto& side : seen->sides())
      if (alerted("umbractl resolve") && record() != nullptr && runner() == nullptr && side.account().can_run()) {
        auto keep = look;
        keep.set_keep(side.host());
        client = fleet();
        if (client == nullptr) co_return;
        decided_ = true;
        const auto kept = co_await client->resolve_vm(std::move(keep), kResolve);
        tell(fmt::format("umbractl resolve --keep {}: {}", side.host(), kept ? "done" : kept.error().text()));
        co_return;
      }
  }
  if (record() == nullptr || record()->moving()) co_return;
  auto* owner = runner();
  for (auto& one : machines_) {
    if (!one->is_host() || !one->power) continue;
    auto& virsh = *one->hypervisor;
    const auto domain = co_await virsh.domain(kVm, kVirsh);
    if (!domain) continue;
    const auto note = [&](std::string_view what) { tell(fmt::format("{} on {}", what, one->name)); };
    if (domain->incoming) {  // what nobody keeps is shown by doctor, hosts and shadows
      if (!one->process) continue;
      const auto standby = one->process->agent()->host()->standby();
      const bool stray = standby && !(*standby)->holds(kVm);
      if (stray) note("virsh destroy");
      if (stray) (void)co_await virsh.destroy(kVm, virt::Ending::kOrdinary, kVirsh);
      continue;
    }
    const bool off = domain->state == virt::DomainState::kShutOff;
    if (owner != nullptr && owner != one.get()) {
      const bool wrong = alerted("virsh destroy and undefine it here") || alerted("end the copy that is wrong");
      if (!off && wrong) {
        note("virsh destroy");
        (void)co_await virsh.destroy(kVm, virt::Ending::kMovedAway, kVirsh);
      }
      if (domain->persistent && (wrong || told("virsh undefine it there", v1::SEVERITY_WARNING))) {
        note("virsh undefine");
        (void)co_await virsh.undefine(kVm, kVirsh);
      }
    } else if (owner == nullptr && off && record()->host == one->name) {
      note("virsh start");
      const auto xml = co_await virsh.inactive_xml(kVm, kVirsh);
      if (xml) (void)virsh.start(*xml, true);
    } else if (owner == nullptr && alerted("virsh destroy it here, and virsh start it", one->name) &&
               record()->host == one->name) {
      note("virsh destroy, virsh start");
      const auto xml = co_await virsh.inactive_xml(kVm, kVirsh);
      if (!xml) continue;
      (void)co_await virsh.destroy(kVm, virt::Ending::kOrdinary, kVirsh);
      (void)virsh.start(*xml, true);
      co_return;
    } else if (owner == nullptr && alerted("virsh resume", one->name) && record()->host == one->name) {
      note("virsh resume");
      (void)co_await virsh.resume(kVm, kVirsh);
      co_return;
    }
  }
}

asio::awaitable<void> World::replace(std::string host) {
  auto* client = fleet();
  if (client == nullptr) co_return;
  v1::FenceHostRequest fence;
  fence.set_host(host);
  fence.set_confirmed(true);
  const auto fenced = co_await client->fence_host(std::move(fence), kVirsh);
  tell(fmt::format("umbractl fence {} --confirmed: {}", host, fenced ? "done" : fenced.error().text()));
  client = fleet();
  if (!fenced || client == nullptr) co_return;
  decided_ = true;
  v1::RestartVmRequest restart;
  restart.set_vm(kName);
  const auto restarted = co_await client->restart_vm(std::move(restart), kResolve);
  tell(fmt::format("umbractl restart: {}", restarted ? "on " + restarted->to() : restarted.error().text()));
}

void World::fence_and_restart(Machine& machine) {
  asio::co_spawn(world_, replace(machine.name), asio::detached);
}

void World::obey_alerts() {
  asio::co_spawn(world_, attend(), asio::detached);
}

}  // namespace umbra::sim
