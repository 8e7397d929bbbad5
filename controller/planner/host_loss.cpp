#include "controller/planner/host_loss.hpp"

#include <spdlog/spdlog.h>

#include "controller/brain/placement.hpp"
#include "controller/words.hpp"
#include "umbra/v1/agent.rpc.hpp"

namespace umbra::controller {
namespace {

using namespace std::chrono_literals;

constexpr Deadline kStart = 90s;  // a QEMU's start, the first one after libvirtd's too
constexpr auto kAskAgain = 2s;
constexpr auto kTryAgain = 60s;    // a fence agent that proved nothing, a VM that could not be started
constexpr auto kSettleAgain = 5s;  // a cutover with a fenced side
constexpr auto kEpochsWait = 40s;
constexpr auto kPeerWordCounts = 15s;  // three renewals of a lease

bool unknown(const Error& error) {
  return error.code == Errc::kTimeout || error.code == Errc::kUnavailable || error.code == Errc::kCancelled;
}

}  // namespace

HostLoss::HostLoss(Inventory& inventory, Store& store, EventLog& events, Clock& clock, asio::any_io_executor executor,
                   TaskGroup& tasks, Mover& mover, Resolver& resolver, const BrainSettings& brain,
                   FenceSettings settings, Look look)
    : inventory_(inventory),
      store_(store),
      events_(events),
      clock_(clock),
      tasks_(tasks),
      mover_(mover),
      resolver_(resolver),
      brain_(brain),
      settings_(std::move(settings)),
      look_(std::move(look)),
      changed_(std::move(executor), clock) {}

void HostLoss::save(const Takeover& takeover) {
  if (const auto saved = store_.fences.save_takeover(takeover); !saved)
    spdlog::error("{}: its restart could not be stored: {}", takeover.vm, saved.error());
}

Result<void> HostLoss::load() {
  UMBRA_TRY(const auto stored, store_.fences.takeovers());
  for (const auto& takeover : stored) {
    takeovers_[{takeover.vm_uuid, takeover.epoch}] = takeover;
    if (takeover.state != Takeover::State::kOpen) continue;
    const auto* record = inventory_.recall(takeover.vm_uuid);
    UMBRA_TRY(auto definition, store_.fences.definition(takeover.vm_uuid));
    if (record == nullptr || record->epoch != takeover.epoch || !definition) {
      end(takeover, fail(Errc::kCancelled, "the controller was restarted, and the VM is gone or was moved since"));
      continue;
    }
    UMBRA_CHECK(inventory_.begin_move(takeover.vm_uuid, takeover.to));
    tasks_.spawn(start(takeover, record->vm, std::move(*definition)));
  }
  return {};
}

Task<v1::Fence> HostLoss::fence(std::string host, bool confirmed, std::string reason, std::string actor) {
  const auto* node = inventory_.node(host);
  if (node == nullptr || !node->is_host())
    co_return fail({Errc::kNotFound, fmt::format("no host '{}'", host), "see umbractl hosts"});
  if (node->fence && !node->returned && !node->up) co_return *node->fence;
  if (confirmed && node->up)
    co_return fail({Errc::kConflict, fmt::format("{} is not off: its agent reports", host),
                    fmt::format("power it off first; to empty a host that runs: umbractl evacuate {}", host)});
  // Cut from the controller alone, it still renews its shadows. While it was up that proved nothing.
  const auto& peer = node->heard_by;
  if (confirmed && peer.at > node->heard_at + inventory_.heartbeat().silence() &&
      clock_.steady() - peer.at < kPeerWordCounts)
    co_return fail(
        {Errc::kConflict,
         fmt::format("{} is not off: {} has just heard of it, it is cut from the controller alone", host, peer.by),
         fmt::format("power it off, and try again in {} s", kPeerWordCounts.count())});
  v1::Fence fence;
  if (!confirmed) {
    const auto* agent = settings_.agent(host);
    if (agent == nullptr)
      co_return fail({Errc::kNotFound, fmt::format("no fence agent is configured for {}", host),
                      fmt::format("see with your own eyes that it is off, then: umbractl fence {} --confirmed", host)});
    const auto with = *agent;  // GCC 12: named before the co_await
    auto proof = co_await agents_.fence(with);
    if (!proof) {
      const auto& error = proof.error();
      events_.add(v1::EVENT_KIND_AUDIT, v1::SEVERITY_ALERT, fmt::format("fence of {} failed: {}", host, error.message),
                  {host}, actor);
      co_return fail({error.code, error.message,
                      fmt::format("it is not fenced. See with your own eyes that it is off, then: umbractl fence {} "
                                  "--confirmed",
                                  host)});
    }
    UMBRA_CO_CHECK(co_await stays_silent(host, actor));
    fence.set_proof(*proof);
  }
  fence.set_host(host);
  fence.set_at_unix_ms(clock_.unix_ms());
  fence.set_actor(actor);
  fence.set_reason(reason);
  fence.set_confirmed(confirmed);
  UMBRA_CO_TRY(fence, store_.fences.add_fence(std::move(fence)));
  inventory_.fenced(fence);
  events_.add(
      v1::EVENT_KIND_AUDIT, v1::SEVERITY_WARNING,
      fmt::format("fenced: {}{}{}", confirmed ? "a person's word" : fence.proof(), reason.empty() ? "" : ", ", reason),
      {host}, actor);
  changed_.notify();
  co_return fence;
}

/// A fence agent that says "off" of a host that goes on reporting is wrong. What was under way at its word may arrive.
Task<void> HostLoss::stays_silent(std::string host, std::string actor) {
  const auto* node = inventory_.node(host);
  const auto said = clock_.steady();
  const auto until = node != nullptr && node->up ? said + inventory_.heartbeat().silence() : said;
  const auto reports = [&] {
    const auto* now = inventory_.node(host);
    return now != nullptr && now->heard_at > said + inventory_.heartbeat().interval / 2;
  };
  while (clock_.steady() < until && !reports()) co_await inventory_.changed().wait_until(until);
  if (!reports()) co_return Result<void>{};
  events_.add(v1::EVENT_KIND_AUDIT, v1::SEVERITY_ALERT,
              fmt::format("fence of {} failed: its fence agent says that it is off, and it reports", host), {host},
              actor);
  co_return fail({Errc::kConflict, fmt::format("the fence agent of {} says that it is off, and it reports", host),
                  "it is not fenced. Correct the fence agent: it must name and prove the right machine"});
}

Result<void> HostLoss::unfence(const std::string& host, const std::string& reason, const std::string& actor) {
  const auto* node = inventory_.node(host);
  if (node == nullptr || !node->fence)
    return fail({Errc::kNotFound, fmt::format("{} is not fenced", host), "see umbractl fence --list"});
  if (const auto left = taken_over(host); !left.empty())
    return fail(
        {Errc::kConflict,
         fmt::format("{} VMs were taken over from {}, {} among them, and it has not said that they are gone there",
                     left.size(), host, left.front().vm()),
         node->up ? "end the copies that run there, see umbractl doctor: then it is unfenced by itself"
                  : fmt::format("start {}: its agent clears them away and it is unfenced by itself", host)});
  UMBRA_CHECK(store_.fences.lift_fence(host, clock_.unix_ms(), actor));
  inventory_.unfenced(host);
  events_.add(v1::EVENT_KIND_AUDIT, v1::SEVERITY_INFO, fmt::format("unfenced{}{}", reason.empty() ? "" : ": ", reason),
              {host}, actor);
  changed_.notify();
  return {};
}

std::vector<v1::Fence> HostLoss::fences() const {
  std::vector<v1::Fence> all;
  for (const auto& [name, node] : inventory_.nodes()) {
    if (!node.fence) continue;
    auto& fence = all.emplace_back(*node.fence);
    for (const auto& [uuid, record] : inventory_.vms()) fence.set_vms(fence.vms() + (record.host == name ? 1 : 0));
    fence.set_taken_over(static_cast<std::uint32_t>(taken_over(name).size()));
  }
  return all;
}

Result<std::string> HostLoss::place_for(const VmRecord& record, const std::string& on) const {
  const auto picture = look_();
  const auto found = picture.vms.find(record.vm.uuid());
  if (found == picture.vms.end()) return fail({Errc::kNotFound, "the VM is gone", "see umbractl vms"});
  Promises promises;
  for (const auto& [key, takeover] : takeovers_)
    if (takeover.state == Takeover::State::kOpen) {
      const auto arriving = picture.vms.find(takeover.vm_uuid);
      auto& memory = promises.memory[takeover.to];
      if (arriving != picture.vms.end()) memory = memory + arriving->second.memory + kShadowOverhead;
    }
  if (on.empty()) {
    auto placement = place(picture, {&found->second}, promises, brain_);
    if (!placement.host.empty()) return placement.host;
    return fail({Errc::kConflict, fmt::format("no host can take {}: {}", record.vm.name(), placement.why),
                 "make room on one, then umbractl restart again"});
  }
  const auto host = picture.hosts.find(on);
  if (host == picture.hosts.end())
    return fail({Errc::kNotFound, fmt::format("no host '{}'", on), "see umbractl hosts"});
  const auto reason = objection(picture, {&found->second}, host->second, promises, brain_);
  if (reason.empty()) return on;
  return fail({Errc::kConflict, fmt::format("{} cannot take {}: it {}", on, record.vm.name(), reason),
               "name another host, or leave --on out to let the controller choose"});
}

Result<void> HostLoss::check_restart(const VmRecord& record) const {
  const auto& name = record.vm.name();
  const auto* owner = inventory_.node(record.host);
  if (record.moving())
    return fail({Errc::kConflict,
                 fmt::format("{} is moving to {}, and it is not known yet how that ended", name, record.moving_to),
                 fmt::format("umbractl resolve {} shows what each side knows", name)});
  if (record.host.empty()) return check_nowhere(record);
  if (owner == nullptr || !owner->is_off())
    return fail({Errc::kConflict,
                 fmt::format("{} is {}'s, which is {}: it may be running there", name, record.host,
                             owner != nullptr && owner->fence ? "fenced but heard again" : "not fenced"),
                 owner != nullptr && owner->up
                     ? fmt::format("{0} is up: virsh start {1} there, or umbractl migrate {1}", record.host, name)
                     : fmt::format("make sure that it is off, then: umbractl fence {} (--confirmed without a fence "
                                   "agent)",
                                   record.host)});
  return check_nowhere(record);
}

/// Nobody else has it. Where the recorded owner may be another than the true one, or there is none, every host must say
/// so, or be off.
Result<void> HostLoss::check_nowhere(const VmRecord& record) const {
  const auto& name = record.vm.name();
  const bool owned = !record.host.empty() && !record.owner_outdated;
  for (const auto& [host, node] : inventory_.nodes()) {
    if (!node.is_host() || node.is_off()) continue;
    const bool known = node.up && node.vms_known;
    if (!known && !owned)
      return fail({Errc::kConflict,
                   fmt::format("it is not known which host has {0}, and {1} may have it: {1} {2}", name, host,
                               node.up ? "does not say which VMs it has" : "is down"),
                   fmt::format("bring it back; or make sure that it is off, then: umbractl fence {} (--confirmed "
                               "without a fence agent)",
                               host)});
    const auto claim = node.claims.find(record.vm.uuid());
    if (!known || claim == node.claims.end()) continue;
    if (owned && claim->second == v1::VM_STATE_SHUT_OFF) continue;  // a definition that was left over
    return fail({Errc::kConflict, fmt::format("{} has {}, which is {} there", host, name, state_name(claim->second)),
                 fmt::format("virsh start {} on {}, if it does not run", name, host)});
  }
  return {};
}

Task<v1::RestartVmReply> HostLoss::restart(std::string vm_uuid, std::string on, std::string reason, std::string actor) {
  const auto* record = inventory_.recall(vm_uuid);
  if (record == nullptr) co_return fail({Errc::kNotFound, "the VM is gone", "see umbractl vms"});
  const auto name = record->vm.name();
  UMBRA_CO_CHECK(check_restart(*record));
  if (!record->vm.refusal().empty())
    co_return fail(
        {Errc::kUnsupported, fmt::format("{} cannot run on another host: {}", name, record->vm.refusal()), ""});
  UMBRA_CO_TRY(auto definition, store_.fences.definition(vm_uuid));
  if (!definition)
    co_return fail({Errc::kNotFound,
                    fmt::format("how {} is defined is not known: it was transient, or undefined, or the agent of {} "
                                "could not report it",
                                name, record->host.empty() ? "its host" : record->host),
                    "define it by hand on the host where it shall run, and start it there"});
  const auto until = clock_.steady() + kEpochsWait;
  while (!inventory_.epochs_certain() && clock_.steady() < until)
    co_await inventory_.changed().wait_until(clock_.steady() + inventory_.heartbeat().interval);
  record = inventory_.recall(vm_uuid);
  if (record == nullptr) co_return fail(Errc::kConflict, "{} was moved or started meanwhile", name);
  UMBRA_CO_CHECK(check_restart(*record));
  UMBRA_CO_TRY(const auto to, place_for(*record, on));
  UMBRA_CO_TRY(const auto epoch, inventory_.take_epoch(vm_uuid));
  Takeover takeover{vm_uuid, name, record->host, to, epoch, clock_.unix_ms(), actor};
  takeover.cleared = takeover.from.empty();  // there is no copy that is to go
  UMBRA_CO_CHECK(store_.fences.save_takeover(takeover));
  UMBRA_CO_CHECK(inventory_.begin_move(vm_uuid, to));
  const Key key{vm_uuid, epoch};
  takeovers_[key] = takeover;
  events_.add(v1::EVENT_KIND_VM, v1::SEVERITY_WARNING,
              fmt::format("is started on {} in epoch {}, from its definition, as {}{}{}", to, epoch,
                          takeover.from.empty() ? "no host has it" : takeover.from + " is fenced",
                          reason.empty() ? "" : ": ", reason),
              {to, name}, actor);
  waiting_[key] = std::nullopt;
  tasks_.spawn(start(takeover, record->vm, std::move(*definition)));
  while (!waiting_[key]) co_await changed_.wait_until(clock_.steady() + kAskAgain);
  if (const auto how = waiting_.extract(key); !*how.mapped()) co_return fail(how.mapped()->error());
  v1::RestartVmReply reply;
  reply.set_vm(name);
  reply.set_from(takeover.from);
  reply.set_to(to);
  reply.set_epoch(epoch);
  co_return reply;
}

/// Asks until the new host has said for certain how it went.
asio::awaitable<void> HostLoss::start(Takeover takeover, v1::Vm vm, FenceStore::StoredDefinition definition) {
  v1::StartDefinitionRequest request;
  *request.mutable_vm() = std::move(vm);
  request.set_xml(std::move(definition.xml));
  request.set_autostart(definition.autostart);
  request.set_epoch(takeover.epoch);
  request.set_from(takeover.from);
  bool told = false;
  while (true) {
    auto started = co_await start_there(takeover, request);
    const auto* there = inventory_.node(takeover.to);
    if (!started && unknown(started.error()) && (there == nullptr || !there->fence)) {
      if (!std::exchange(told, true))
        events_.add(v1::EVENT_KIND_VM, v1::SEVERITY_WARNING,
                    fmt::format("it is not known yet whether it runs on {}, which is asked again: {}", takeover.to,
                                started.error()),
                    {takeover.to, takeover.vm});
      co_await changed_.wait_until(clock_.steady() + kAskAgain);
      continue;
    }
    end(takeover, std::move(started));
    co_return;
  }
}

Task<void> HostLoss::start_there(const Takeover& takeover, const v1::StartDefinitionRequest& request) {
  UMBRA_CO_TRY(auto session, inventory_.session(takeover.to));
  v1::AgentClient agent(session);
  auto asked = request;
  UMBRA_CO_CHECK(co_await agent.start_definition(std::move(asked), kStart));
  co_return Result<void>{};
}

void HostLoss::end(Takeover takeover, Result<void> how) {
  const Key key{takeover.vm_uuid, takeover.epoch};
  takeover.state = how ? Takeover::State::kRuns : Takeover::State::kFailed;
  inventory_.end_move(takeover.vm_uuid);
  if (how) {
    if (takeover.cleared)
      takeovers_.erase(key);
    else
      takeovers_[key] = takeover;
    if (const auto settled = inventory_.settle(takeover.vm_uuid, takeover.to, takeover.epoch); !settled)
      spdlog::error("{}: the owner could not be stored: {}", takeover.vm, settled.error());
    events_.add(v1::EVENT_KIND_VM, v1::SEVERITY_INFO,
                fmt::format("runs on {} in epoch {}, started from its definition; it was {}", takeover.to,
                            takeover.epoch, takeover.from.empty() ? "nobody's" : takeover.from + "'s"),
                {takeover.to, takeover.vm}, takeover.actor);
  } else {
    takeovers_.erase(key);
    restart_due_[takeover.vm_uuid] = clock_.steady() + kTryAgain;
    events_.add(v1::EVENT_KIND_VM, v1::SEVERITY_ALERT,
                fmt::format("could not be started on {}: {}", takeover.to, how.error()), {takeover.to, takeover.vm},
                takeover.actor);
  }
  save(takeover);
  if (const auto waits = waiting_.find(key); waits != waiting_.end()) waits->second = std::move(how);
  changed_.notify();
}

asio::awaitable<void> HostLoss::run() {
  while (true) {
    const auto now = clock_.steady();
    for (const auto& [name, node] : inventory_.nodes()) {
      if (!settings_.automatic || !node.is_host() || node.up || node.is_off() || settings_.agent(name) == nullptr) {
        fence_due_.erase(name);
        continue;
      }
      if (!inventory_.settled() && !node.heard) continue;  // it may only be slow to register
      const auto due = fence_due_.try_emplace(name, now + settings_.after).first;
      if (now < due->second) continue;
      due->second = now + kTryAgain + settings_.agent(name)->timeout * 2;
      tasks_.spawn(fence_by_itself(name));
    }
    for (const auto& [uuid, record] : inventory_.vms()) {
      const auto* owner = inventory_.node(record.host);
      if (owner == nullptr || !owner->is_off() || record.moving() || !record.active() ||
          record.vm.on_host_loss() != v1::ON_HOST_LOSS_RESTART)
        continue;
      const auto due = restart_due_.try_emplace(uuid, now).first;
      if (now < due->second) continue;
      due->second = now + kTryAgain;
      tasks_.spawn(restart_by_itself(uuid));
    }
    for (const auto& move : mover_.moves()) {
      const auto *from = inventory_.node(move->from), *to = inventory_.node(move->to);
      const bool fenced = (from != nullptr && from->is_off()) || (to != nullptr && to->is_off());
      if (!fenced || !move->asking_since) continue;
      const auto due = settle_due_.try_emplace(move->vm_uuid, now).first;
      if (now < due->second) continue;
      due->second = now + kSettleAgain;
      tasks_.spawn(settle_by_itself(move->vm_uuid));
    }
    std::erase_if(settle_due_, [this](const auto& entry) { return mover_.open(entry.first) == nullptr; });
    co_await changed_.wait_until(now + inventory_.heartbeat().interval);
  }
}

asio::awaitable<void> HostLoss::fence_by_itself(std::string host) {
  std::string reason = "it is down", actor = "controller";
  const auto fenced = co_await fence(host, false, std::move(reason), std::move(actor));
  if (!fenced) spdlog::error("{}: {}", host, fenced.error());
}

asio::awaitable<void> HostLoss::settle_by_itself(std::string vm_uuid) {
  auto asked = vm_uuid;
  const auto settled = co_await resolver_.settle_fenced(std::move(asked));
  if (!settled) spdlog::warn("VM {}: {}", vm_uuid, settled.error());
}

asio::awaitable<void> HostLoss::restart_by_itself(std::string vm_uuid) {
  std::string nowhere, reason = "its policy says so", actor = "controller";
  const auto restarted = co_await restart(vm_uuid, std::move(nowhere), std::move(reason), std::move(actor));
  if (restarted) co_return;
  const auto* record = inventory_.vm(vm_uuid);
  if (record == nullptr) co_return;
  events_.add(v1::EVENT_KIND_VM, v1::SEVERITY_ALERT,
              fmt::format("{} is fenced, and it could not be started elsewhere: {}", record->host, restarted.error()),
              {record->host, record->vm.name()});
}

}  // namespace umbra::controller
