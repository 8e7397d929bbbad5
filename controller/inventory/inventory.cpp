#include "controller/inventory/inventory.hpp"

#include <spdlog/spdlog.h>

#include "controller/words.hpp"

namespace umbra::controller {
namespace {

using namespace std::chrono_literals;

constexpr auto kLeakedAfter = 60s;    // a shadow that its source does not keep is dropped before, or is not going to be
constexpr auto kReportsAreOld = 60s;  // of a host that has just started a VM, and does not list it as running yet
constexpr std::size_t kMostHeld = 4096;  // shadows of one host that are looked at

void complain(const Result<void>& stored, std::string_view what) {
  if (!stored) spdlog::error("{} could not be stored: {}", what, stored.error());
}

}  // namespace

Result<std::unique_ptr<Inventory>> Inventory::load(Store& store, EventLog& events, Clock& clock,
                                                   asio::any_io_executor executor, HeartbeatSettings heartbeat) {
  std::unique_ptr<Inventory> inventory(new Inventory(store, events, clock, std::move(executor), heartbeat));
  UMBRA_TRY(auto nodes, store.fleet.nodes());
  for (auto& stored : nodes) {
    auto& record = inventory->nodes_[stored.node.name()];
    record.node = std::move(stored.node);
    record.version = std::move(stored.version);
    record.last_seen = stored.last_seen;
  }
  UMBRA_TRY(const auto fences, store.fences.fences());
  for (const auto& [fence, returned] : fences) {
    inventory->nodes_[fence.host()].fence = fence;
    inventory->nodes_[fence.host()].returned = returned;
  }
  UMBRA_TRY(auto vms, store.fleet.vms());
  for (auto& stored : vms) {
    auto& place = stored.host.empty() ? inventory->gone_ : inventory->vms_;
    VmRecord record;
    record.vm = std::move(stored.vm);
    record.host = std::move(stored.host);
    record.epoch = stored.epoch;
    record.owner_epoch = stored.owner_epoch;
    place.emplace(record.vm.uuid(), std::move(record));
  }
  return inventory;
}

const NodeRecord* Inventory::node(const std::string& name) const {
  const auto found = nodes_.find(name);
  return found == nodes_.end() ? nullptr : &found->second;
}

const VmRecord* Inventory::vm(const std::string& uuid) const {
  const auto found = vms_.find(uuid);
  return found == vms_.end() ? nullptr : &found->second;
}

const VmRecord* Inventory::recall(const std::string& uuid) {
  if (auto back = gone_.extract(uuid)) vms_.insert(std::move(back));
  return vm(uuid);
}

Result<std::shared_ptr<rpc::Session>> Inventory::session(const std::string& name) const {
  const auto* record = node(name);
  if (record == nullptr) return fail({Errc::kNotFound, fmt::format("no host '{}'", name), "see umbractl hosts"});
  auto session = record->session.lock();
  if (record->up && session && session->is_open()) return session;
  return fail({Errc::kUnavailable, fmt::format("{} is down", name), "see umbra-agentd's log there"});
}

Result<void> Inventory::check_owned(const VmRecord& record) const {
  if (!record.host.empty()) return {};
  return fail({Errc::kConflict, fmt::format("{} has no host: nobody can say who may run it", record.vm.name()),
               fmt::format("umbractl resolve {} shows what each host knows of it, and settles it", record.vm.name())});
}

Result<void> Inventory::check_runs(const VmRecord& record) const {
  const auto* host = node(record.host);
  const auto state = record.vm.state();
  const bool known = host != nullptr && host->up && host->vms_known && state != v1::VM_STATE_UNKNOWN;
  if (!known || state == v1::VM_STATE_RUNNING || record.moving()) return {};
  // A paused one may hold memory that the guest has left behind.
  const auto remedy =
      state == v1::VM_STATE_PAUSED
          ? fmt::format(
                "umbractl events and resolve {0} tell why; virsh resume {0}, on {1}, if nothing there speaks "
                "against it",
                record.vm.name(), record.host)
          : fmt::format("start it first, on {0}: virsh start {1}", record.host, record.vm.name());
  return fail({Errc::kConflict, fmt::format("{} does not run: it is {}", record.vm.name(), state_name(state)), remedy});
}

Result<void> Inventory::registered(const v1::RegisterRequest& request, std::weak_ptr<rpc::Session> session) {
  const auto& node = request.node();
  if (node.zone().empty() || node.underlay_address().empty())
    return fail({Errc::kInvalid, fmt::format("{} registers without zone or underlay address", node.name()),
                 "set them in its agent's configuration"});
  auto& record = nodes_[node.name()];
  UMBRA_CHECK(returned(node.name()));
  if (!record.up || record.node.SerializeAsString() != node.SerializeAsString())
    events_.add(v1::EVENT_KIND_HOST, v1::SEVERITY_INFO,
                fmt::format("is up: {} in zone {}, umbra-agentd {}", node.role() == v1::ROLE_EDGE ? "edge" : "host",
                            node.zone(), request.version()),
                {node.name()});
  record.node = node;
  record.version = request.version();
  record.proof = request.proof();
  record.credentials = request.credentials();
  record.up = record.heard = true;
  record.vms_known = false;
  record.epochs_known = request.epochs_known();
  record.heard_at = clock_.steady();
  record.last_seen = clock_.unix_ms();
  record.session = std::move(session);
  heard_epochs(node.name(), request.known_epochs());
  touch();
  return store_.fleet.save_node({record.node, record.version, record.last_seen});
}

Result<void> Inventory::reported(const std::string& name, const std::shared_ptr<rpc::Session>& session,
                                 const v1::ReportRequest& report) {
  const auto found = nodes_.find(name);
  if (found == nodes_.end() || found->second.session.lock() != session)
    return fail({Errc::kConflict, fmt::format("{} reports before it has registered", name), "register first"});
  auto& node = found->second;
  if (!node.up) events_.add(v1::EVENT_KIND_HOST, v1::SEVERITY_INFO, "is heard again", {name});
  if (!node.up || node.vms_known != report.vms_known()) ++generation_;
  node.up = true;
  node.heard_at = clock_.steady();
  node.last_seen = clock_.unix_ms();
  node.hypervisor_up = report.hypervisor_up();
  node.vms_known = report.vms_known();
  if (report.has_capacity()) node.capacity = report.capacity();
  if (report.has_proof()) node.proof = report.proof();
  if (report.has_credentials()) node.credentials = report.credentials();
  for (auto event : report.events()) {
    event.clear_id();
    event.set_node(name);
    if (event.actor().empty()) event.set_actor("agent " + name);
    if (const auto* known = vm(event.vm())) event.set_vm(known->vm.name());  // edges know UUIDs alone
    events_.add(std::move(event));
  }
  node.served.clear();
  for (const auto& served : report.served()) node.served[served.vm_uuid()] = served;
  if (report.vms_known()) take_vms(node, report);
  take_shadows(node, report);
  take_samples(report);
  changed_.notify();
  return {};
}

void Inventory::take_vms(NodeRecord& node, const v1::ReportRequest& report) {
  const auto before = std::exchange(node.claims, {});
  for (const auto& vm : report.vms()) {
    node.claims[vm.uuid()] = vm.state();
    auto known = vms_.find(vm.uuid());
    if (known == vms_.end()) {
      if (auto back = gone_.extract(vm.uuid())) {
        known = vms_.insert(std::move(back)).position;
      } else {
        known = vms_.emplace(vm.uuid(), VmRecord{}).first;
      }
    }
    auto& record = known->second;
    if (record.host.empty() || record.host == node.node.name()) describe(record, vm);
    if (record.host == node.node.name() && is_active(vm.state())) record.ran = true;
    if (const auto heard = heard_epochs_.extract(vm.uuid())) raise(record, heard.mapped());
    rule_on(record);
  }
  for (const auto& [uuid, state] : before) {
    const auto known = vms_.find(uuid);
    if (known != vms_.end() && !node.claims.contains(uuid)) rule_on(known->second);
  }
}

void Inventory::describe(VmRecord& record, const v1::Vm& vm) {
  if (record.vm.SerializeAsString() == vm.SerializeAsString()) return;
  if (record.vm.state() != vm.state() && record.vm.state() != v1::VM_STATE_UNKNOWN)
    events_.add(v1::EVENT_KIND_VM, vm.state() == v1::VM_STATE_CRASHED ? v1::SEVERITY_ALERT : v1::SEVERITY_INFO,
                fmt::format("is {}", state_name(vm.state())), {record.host, vm.name()});
  record.vm = vm;
  ++generation_;
  complain(save(record), vm.name());
}

Result<void> Inventory::save(VmRecord& record) {
  const auto saved = store_.fleet.save_vm(record.vm);
  record.stored = saved.has_value();
  return saved;
}

std::vector<v1::Node> Inventory::routers(const std::string& from, const std::string& to) const {
  std::vector<v1::Node> routers;
  for (const auto& [name, node] : nodes_)
    if (name != from && name != to && node.up) routers.push_back(node.node);
  return routers;
}

std::vector<v1::HeldShadow> Inventory::leaked(const NodeRecord& node) const {
  std::vector<v1::HeldShadow> list;
  for (const auto& [uuid, held] : node.held) {
    const auto known = vms_.find(uuid);
    const auto* shadow = known != vms_.end() && known->second.shadow ? &*known->second.shadow : nullptr;
    const bool kept = (known != vms_.end() && known->second.moving()) ||
                      (shadow != nullptr && shadow->standby() == node.node.name() &&
                       shadow->phase() != v1::SHADOW_PHASE_DROPPED && shadow->phase() != v1::SHADOW_PHASE_PROFILE);
    if (!kept && clock_.steady() - held.since >= kLeakedAfter) list.push_back(held.shadow);
  }
  return list;
}

void Inventory::take_shadows(NodeRecord& node, const v1::ReportRequest& report) {
  const auto held_before = std::exchange(node.held, {});
  for (const auto& shadow : report.held()) {
    if (node.held.size() >= kMostHeld) break;
    const auto before = held_before.find(shadow.vm_uuid());
    if (const auto source = nodes_.find(shadow.source());
        before != held_before.end() && source != nodes_.end() && before->second.shadow.source() == shadow.source() &&
        shadow.renewed_unix_ms() > before->second.shadow.renewed_unix_ms())
      source->second.heard_by = {node.node.name(), clock_.steady()};
    node.held[shadow.vm_uuid()] = {shadow, before == held_before.end() ? clock_.steady() : before->second.since};
  }
  std::map<std::string, const v1::Shadow*> reported;
  for (const auto& shadow : report.shadows()) reported[shadow.vm_uuid()] = &shadow;
  for (auto& [uuid, record] : vms_) {
    const auto found = reported.find(uuid);
    if (found != reported.end() && record.host == node.node.name()) record.shadow = *found->second;
    if (found == reported.end() && record.shadow && record.shadow->source() == node.node.name()) record.shadow.reset();
  }
}

void Inventory::take_samples(const v1::ReportRequest& report) {
  std::vector<TelemetryPoint> points;
  for (const auto& sample : report.samples()) {
    const auto known = vms_.find(sample.vm_uuid());
    if (known == vms_.end() || sample.at_unix_ms() <= 0) continue;
    known->second.last_sample = sample;
    const auto add = [&](std::string_view metric, double value) {
      points.push_back({sample.vm_uuid(), metric, sample.at_unix_ms(), value});
    };
    add("cpu", sample.cpus_used());
    add("memory", static_cast<double>(sample.memory_used_bytes()));
    add("net_rx", sample.net_rx_bytes_per_second());
    add("net_tx", sample.net_tx_bytes_per_second());
    add("disk_read", sample.disk_read_bytes_per_second());
    add("disk_write", sample.disk_write_bytes_per_second());
    if (sample.has_dirty_bytes_per_second()) add("dirty", sample.dirty_bytes_per_second());
  }
  if (points.empty()) return;
  if (const auto added = store_.telemetry.add(points); !added) spdlog::error("telemetry is lost: {}", added.error());
}

void Inventory::watch() {
  if (!was_settled_ && settled()) {
    was_settled_ = true;
    touch();
  }
  for (auto& [name, node] : nodes_) {
    if (!node.up || clock_.steady() - node.heard_at <= heartbeat_.silence()) continue;
    node.up = false;
    node.hypervisor_up = false;
    node.vms_known = false;
    events_.add(v1::EVENT_KIND_HOST, v1::SEVERITY_ALERT,
                fmt::format("is down: nothing was heard of it for {} ms", heartbeat_.silence().count()), {name});
    complain(store_.fleet.save_node({node.node, node.version, node.last_seen}), name);
    touch();
  }
  for (auto next = vms_.begin(); next != vms_.end();) {
    auto& record = (next++)->second;  // a VM that is gone leaves the map
    rule_on(record);
  }
}

void Inventory::rule_on(VmRecord& record) {
  if (record.moving()) return;
  std::vector<Claim> claims, returned;
  for (const auto& [name, node] : nodes_) {
    const auto claim = node.claims.find(record.vm.uuid());
    if (node.up && node.vms_known && claim != node.claims.end())
      (node.fence ? returned : claims)
          .push_back({name, is_active(claim->second), served_epoch(name, record.vm.uuid()) > record.owner_epoch,
                      claim->second == v1::VM_STATE_PAUSED});
  }
  const auto* owner = node(record.host);
  OwnershipRuling ruling;
  if (owner != nullptr && owner->fence) {
    // It waits for its host, or for somebody who starts it elsewhere; a mere definition elsewhere is neither.
    std::erase_if(claims, [](const Claim& claim) { return !claim.active; });
    if (!claims.empty()) ruling = rule("", true, claims);
  } else {
    ruling = rule(record.host, owner != nullptr && owner->up && owner->vms_known, claims);
  }
  const auto taker = this->taker(record);
  const auto back = rule_on_returned(record.host, taker, claims, returned);
  if (back.ruling != Ruling::kKeep || (ruling.ruling == Ruling::kGone && !returned.empty() && taker == Taker::kUnknown))
    ruling = back;
  if (ruling.ruling == Ruling::kKeep) {
    record.pending = {};
    record.alerted = false;
    confirm(record);
    return;
  }
  // Reports of two hosts are not of the same moment: what they say together counts once it has lasted.
  if (record.pending.ruling != ruling.ruling || record.pending.host != ruling.host) {
    record.pending = ruling;
    record.pending_since = clock_.steady();
  }
  const bool first_seen = ruling.ruling == Ruling::kAdopt && record.host.empty() && back.ruling == Ruling::kKeep;
  // One that seems to conflict with a host that has just died is seen right once that counts as down.
  const auto lasts =
      heartbeat_.silence() + (ruling.ruling == Ruling::kConflict ? 2 * heartbeat_.interval : Milliseconds{});
  if (first_seen || clock_.steady() - record.pending_since >= lasts) apply(record, ruling);
}

Taker Inventory::taker(const VmRecord& record) const {
  if (record.host.empty()) return Taker::kIdle;
  const auto* owner = node(record.host);
  if (owner == nullptr) return Taker::kUnknown;
  if (owner->is_off()) return Taker::kOff;
  if (!owner->up || !owner->vms_known) return Taker::kUnknown;
  if (!record.ran && clock_.steady() - record.owned_since < kReportsAreOld) return Taker::kUnknown;
  const auto claim = owner->claims.find(record.vm.uuid());
  const bool may_run = claim != owner->claims.end() && claim->second == v1::VM_STATE_UNKNOWN;
  return may_run ? Taker::kUnknown : Taker::kIdle;
}

void Inventory::apply(VmRecord& record, const OwnershipRuling& ruling) {
  const auto uuid = record.vm.uuid();
  switch (ruling.ruling) {
    case Ruling::kKeep:
      return;
    case Ruling::kAdopt: {
      if (!epochs_certain()) return;  // nodes are still telling what they know
      const auto before = record.host;
      const auto epoch = take_epoch(uuid);
      const auto settled = epoch ? settle(uuid, ruling.host, *epoch) : Result<void>(tl::unexpected(epoch.error()));
      if (!settled) return complain(settled, record.vm.name());
      const auto* now = node(ruling.host);
      if (now != nullptr && now->fence) {
        events_.add(v1::EVENT_KIND_VM, v1::SEVERITY_WARNING,
                    fmt::format("is {0}'s again, in epoch {1}: that was fenced and is back, it has the VM, and {2}",
                                ruling.host, *epoch,
                                before.empty() ? "nobody else does" : before + " does not run it any more"),
                    {ruling.host, record.vm.name()});
        return;
      }
      events_.add(v1::EVENT_KIND_VM, before.empty() ? v1::SEVERITY_INFO : v1::SEVERITY_WARNING,
                  before.empty() ? fmt::format("found on {}, {}", ruling.host, state_name(record.vm.state()))
                                 : fmt::format("moved from {} to {} without Umbra", before, ruling.host),
                  {ruling.host, record.vm.name()});
      return;
    }
    case Ruling::kConflict:
      if (record.alerted) return;
      record.alerted = true;
      events_.add(
          v1::EVENT_KIND_VM, v1::SEVERITY_ALERT,
          fmt::format("more than one host may be running it; its owner is {}. Look at it with virsh on each host, and "
                      "end the copy that is wrong",
                      record.host.empty() ? "not known" : record.host),
          {record.host, record.vm.name()});
      return;
    case Ruling::kGone:
      if (!record.host.empty())
        events_.add(v1::EVENT_KIND_VM, v1::SEVERITY_INFO, fmt::format("is gone from {}", record.host),
                    {record.host, record.vm.name()});
      complain(store_.fleet.set_owner(uuid, "", record.epoch), record.vm.name());
      record.host.clear();
      record.owner_epoch = record.epoch;
      record.shadow.reset();
      record.pending = {};
      gone_.insert(vms_.extract(uuid));
      touch();
  }
}

void Inventory::object(const std::map<std::string, std::string>& objections) {
  for (auto& [uuid, record] : vms_) {
    const auto found = objections.find(uuid);
    const auto objection = found == objections.end() ? std::string{} : found->second;
    if (std::exchange(record.objection, objection) != objection) ++generation_;
  }
}

Result<void> Inventory::begin_move(const std::string& vm_uuid, const std::string& to) {
  const auto found = vms_.find(vm_uuid);
  if (found == vms_.end()) return fail({Errc::kNotFound, "the VM is gone", "see umbractl vms"});
  if (found->second.moving())
    return fail({Errc::kConflict,
                 fmt::format("{} is moving to {} already", found->second.vm.name(), found->second.moving_to),
                 "wait for it to end; umbractl events --follow shows it"});
  found->second.moving_to = to;
  return {};
}

void Inventory::end_move(const std::string& vm_uuid) {
  const auto found = vms_.find(vm_uuid);
  if (found == vms_.end()) return;
  found->second.moving_to.clear();
  found->second.pending = {};
  changed_.notify();
}

Result<Epoch> Inventory::take_epoch(const std::string& vm_uuid, const std::function<Result<void>(Epoch)>& with) {
  const auto found = vms_.find(vm_uuid);
  if (found == vms_.end()) return fail({Errc::kNotFound, "the VM is gone", "see umbractl vms"});
  UMBRA_CHECK(epochs_certain());
  if (!found->second.stored) UMBRA_CHECK(save(found->second));
  UMBRA_CHECK(catch_up(found->second));
  UMBRA_TRY(auto transaction, store_.begin());
  UMBRA_TRY(const auto epoch, store_.fleet.next_epoch(vm_uuid, found->second.epoch));
  if (with) UMBRA_CHECK(with(epoch));
  UMBRA_CHECK(transaction.commit());
  found->second.epoch = epoch;
  return epoch;
}

void Inventory::fenced(const v1::Fence& fence) {
  auto& node = nodes_[fence.host()];
  node.fence = fence;
  node.returned = false;
  node.up = node.hypervisor_up = node.vms_known = false;
  node.session.reset();
  node.claims.clear();
  touch();
}

Result<void> Inventory::returned(const std::string& host) {
  auto& node = nodes_[host];
  if (!node.fence || node.returned) return {};
  UMBRA_CHECK(store_.fences.set_returned(host));
  node.returned = true;
  events_.add(v1::EVENT_KIND_HOST, v1::SEVERITY_INFO,
              "was fenced, and is heard again: nothing more is taken over from it", {host});
  return {};
}

void Inventory::unfenced(const std::string& host) {
  nodes_[host].fence.reset();
  touch();
}

Result<void> Inventory::settle(const std::string& vm_uuid, const std::string& host, Epoch epoch) {
  UMBRA_CHECK(store_.fleet.set_owner(vm_uuid, host, epoch));
  const auto found = vms_.find(vm_uuid);
  if (found == vms_.end()) return {};
  auto& record = found->second;
  if (record.host != host) {
    const auto* owner = node(host);
    record.owned_since = clock_.steady();
    record.ran = owner != nullptr && owner->claims.contains(vm_uuid) && is_active(owner->claims.at(vm_uuid));
    record.shadow.reset();
  }
  record.host = host;
  record.owner_epoch = epoch;
  record.epoch = std::max(record.epoch, epoch);
  record.pending = {};
  record.alerted = false;
  record.owner_outdated = false;
  touch();
  return {};
}

}  // namespace umbra::controller
