// What becomes of a fenced host that is back: its copies of what was taken over go, or are found to be the only ones.
#include <spdlog/spdlog.h>

#include "controller/planner/host_loss.hpp"

namespace umbra::controller {
std::vector<v1::TakenOver> HostLoss::taken_over(const std::string& host) const {
  std::vector<v1::TakenOver> all;
  for (const auto& [key, takeover] : takeovers_) {
    if (takeover.from != host || takeover.cleared) continue;
    auto& taken = all.emplace_back();
    taken.set_vm_uuid(takeover.vm_uuid);
    taken.set_vm(takeover.vm);
    taken.set_host(takeover.to);
    taken.set_epoch(takeover.epoch);
  }
  return all;
}

/// Whoever got the VM since has it as long as it does not say otherwise: unknown is not gone.
HostLoss::Taker HostLoss::taker(const Takeover& takeover) const {
  const auto* record = inventory_.vm(takeover.vm_uuid);
  Taker taker;
  taker.host = record == nullptr || record->host.empty() || record->host == takeover.from ? takeover.to : record->host;
  taker.may_have = taker.may_run = record != nullptr && record->moving();
  for (const auto& [name, node] : inventory_.nodes()) {
    if (!node.is_host() || name == takeover.from) continue;
    if (!node.up || !node.vms_known) {
      if (name == taker.host) taker.may_have = true;
      if (name == taker.host && !node.is_off()) taker.may_run = true;
      continue;
    }
    const auto claim = node.claims.find(takeover.vm_uuid);
    if (claim == node.claims.end()) continue;
    taker.may_have = true;
    if (claim->second != v1::VM_STATE_SHUT_OFF && claim->second != v1::VM_STATE_CRASHED) taker.may_run = true;
  }
  return taker;
}

std::vector<HostLoss::Twice> HostLoss::run_twice() const {
  std::vector<Twice> all;
  for (const auto& [key, takeover] : takeovers_) {
    const auto* from = inventory_.node(takeover.from);
    if (takeover.cleared || from == nullptr || !from->up || !from->vms_known) continue;
    const auto claim = from->claims.find(takeover.vm_uuid);
    const auto taker = this->taker(takeover);
    if (claim == from->claims.end() || !is_active(claim->second) || !taker.may_run) continue;
    const auto* to = inventory_.node(taker.host);
    const bool certain = to != nullptr && to->up && to->vms_known && to->claims.contains(takeover.vm_uuid);
    all.push_back({takeover.vm, takeover.from, taker.host, certain});
  }
  return all;
}

std::vector<v1::TakenOver> HostLoss::to_go(const std::string& host) const {
  std::vector<v1::TakenOver> all;
  for (const auto& [key, takeover] : takeovers_) {
    if (takeover.from != host || takeover.cleared || takeover.state != Takeover::State::kRuns) continue;
    if (const auto* record = inventory_.vm(takeover.vm_uuid); record != nullptr && record->host == host) continue;
    const auto taker = this->taker(takeover);
    if (!taker.may_have) continue;
    auto& taken = all.emplace_back();
    taken.set_vm_uuid(takeover.vm_uuid);
    taken.set_vm(takeover.vm);
    taken.set_host(taker.host);
    taken.set_epoch(takeover.epoch);
    taken.set_shut_off(!taker.may_run);
  }
  return all;
}

Result<v1::WhoseVmsReply> HostLoss::whose(const std::string& host, const v1::WhoseVmsRequest& request) {
  // It starts what it is told to be its own, perhaps long before its agent registers.
  UMBRA_CHECK(inventory_.returned(host));
  v1::WhoseVmsReply reply;
  for (const auto& uuid : request.vm_uuids()) {
    auto* owner = reply.add_owners();
    owner->set_vm_uuid(uuid);
    const auto* record = inventory_.vm(uuid);
    if (record != nullptr) {
      owner->set_host(record->host);
      owner->set_epoch(record->owner_epoch);
    }
    // One that moves from here may run there already.
    owner->set_yours(record == nullptr || record->host.empty() || (record->host == host && !record->moving()));
  }
  return reply;
}

void HostLoss::keep_definition(const std::string& host, const v1::Definition& definition) {
  const auto& uuid = definition.vm_uuid();
  const auto* record = inventory_.vm(uuid);
  if (record != nullptr && record->host != host) return;  // a copy that is not the owner's
  const bool fits = !definition.xml().empty() && definition.xml().size() <= FenceStore::kMostDefinition;
  // Of a VM that two hosts have, one copy is to be undefined, perhaps the wrong one.
  const bool contested = std::ranges::any_of(
      takeovers_, [&](const auto& entry) { return entry.first.first == uuid && !entry.second.cleared; });
  if (!fits && contested && definition.refusal().empty()) return;
  const auto kept = fits ? store_.fences.save_definition(uuid, {definition.xml(), definition.autostart()})
                         : store_.fences.remove_definition(uuid);
  if (!kept) spdlog::error("the definition of VM {} could not be stored: {}", uuid, kept.error());
  if (!definition.refusal().empty() && record != nullptr)
    events_.add(v1::EVENT_KIND_VM, v1::SEVERITY_WARNING,
                fmt::format("could not be started elsewhere if {} were lost: {}", host, definition.refusal()),
                {host, record->vm.name()});
}

void HostLoss::reported(const std::string& host, const v1::ReportRequest& report) {
  for (const auto& definition : report.definitions()) keep_definition(host, definition);
  const auto* node = inventory_.node(host);
  if (node == nullptr || !node->fence || !node->up || !report.vms_known()) return;
  give_back(host);
  bool left = false;
  for (const auto& [key, takeover] : takeovers_) {
    if (takeover.from != host || takeover.cleared) continue;
    const auto claim = node->claims.find(takeover.vm_uuid);
    if (claim == node->claims.end()) continue;
    left = true;
    const auto taker = this->taker(takeover);
    if (is_active(claim->second) && taker.may_run && alerted_.insert(takeover.vm_uuid).second)
      events_.add(
          v1::EVENT_KIND_VM, v1::SEVERITY_ALERT,
          fmt::format("runs on {0}, which was fenced and is back, and on {1}, which took it over: it runs twice. "
                      "{0} was not off; end its copy at once: virsh destroy {2}, on {0}",
                      host, taker.host, takeover.vm),
          {host, takeover.vm});
  }
  if (!left) obeyed(host);
}

/// What the inventory has found to be this host's again, as whoever took it over does not run it, is not taken over.
void HostLoss::give_back(const std::string& host) {
  for (auto next = takeovers_.begin(); next != takeovers_.end();) {
    auto& takeover = next->second;
    const auto* record = inventory_.vm(takeover.vm_uuid);
    const bool again = takeover.from == host && takeover.state == Takeover::State::kRuns && record != nullptr &&
                       record->host == host && record->owner_epoch > takeover.epoch;
    if (!again) {
      ++next;
      continue;
    }
    takeover.cleared = true;
    if (const auto saved = store_.fences.save_takeover(takeover); !saved) {  // its next report tries again
      takeover.cleared = false;
      spdlog::error("{}: that it is {}'s again could not be stored: {}", takeover.vm, host, saved.error());
      ++next;
      continue;
    }
    alerted_.erase(takeover.vm_uuid);
    next = takeovers_.erase(next);
  }
}

void HostLoss::obeyed(const std::string& host) {
  for (auto next = takeovers_.begin(); next != takeovers_.end();) {
    auto& takeover = next->second;
    if (takeover.from != host) {
      ++next;
      continue;
    }
    takeover.cleared = true;
    alerted_.erase(takeover.vm_uuid);
    save(takeover);
    next = takeover.state == Takeover::State::kOpen ? std::next(next) : takeovers_.erase(next);
  }
  if (const auto lifted = unfence(host, "it is back, and has none of the VMs that were taken over", "controller");
      !lifted)
    spdlog::error("{}: {}", host, lifted.error());
}

}  // namespace umbra::controller
