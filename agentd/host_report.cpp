// What a host tells the controller of itself.
#include "agentd/host.hpp"

namespace umbra::agent {

void Host::fill(v1::ReportRequest& report) const {
  *report.mutable_capacity() = capacity_;
  *report.mutable_proof() = proof_;
  report.set_hypervisor_up(hypervisor_up_);
  report.set_vms_known(inventory_known_ && hypervisor_up_);
  for (const auto& [uuid, vm] : vms_) {
    const auto kept = source(uuid);
    if (!kept || kept->phase() != shadow::Phase::kMoved || kept->contradicted()) *report.add_vms() = vm;
  }
  for (const auto& [uuid, source] : sources_) *report.add_shadows() = source->status();
  for (auto& held : standby_.held()) *report.add_held() = std::move(held);
  tell_definitions(report);
  std::set<std::string> known;
  for (const auto& [uuid, epoch] : epochs_) known.insert(uuid);
  for (const auto& [uuid, vm] : vms_) known.insert(uuid);
  for (const auto& uuid : known) {
    const auto epoch = owned_since(uuid);
    if (epoch == 0) continue;
    auto* served = report.add_served();
    served->set_vm_uuid(uuid);
    served->set_epoch(epoch);
    if (const auto since = since_.find(uuid); since != since_.end() && epochs_.at(uuid) == epoch)
      served->set_since_unix_ms(since->second);
    const auto vm = vms_.find(uuid);
    served->set_active(vm != vms_.end() &&
                       (vm->second.state() == v1::VM_STATE_RUNNING || vm->second.state() == v1::VM_STATE_PAUSED));
  }
}

Condition Host::condition() const {
  if (!hypervisor_up_) return {false, "libvirt is not reachable; VMs and shadows stay as they are"};
  if (!recovered_) return {false, "recovering what an earlier life left"};
  if (!proof_.proven() && proof_.detail().empty()) return {false, "the hold is being proven"};
  if (!proof_.proven()) return {true, "no warm shadows here: " + proof_.detail()};
  const auto kept = std::ranges::count_if(sources_, [](const auto& entry) { return exists(entry.second->phase()); });
  return {true, fmt::format("VMs: {}, {} with a shadow elsewhere; shadows held here: {}", vms_.size(), kept,
                            standby_.count())};
}

/// The newest epoch in which it was decided that the VM is this host's: it moved here, or a cutover from here was given
/// up or refused. Nothing while a cutover from here is undecided, and once it has moved away.
std::uint64_t Host::owned_since(const std::string& vm_uuid) const {
  const auto came = epochs_.find(vm_uuid);
  const auto here = came == epochs_.end() ? 0 : came->second;
  const auto kept = source(vm_uuid);
  const auto retired = retired_.find(vm_uuid);
  if (!kept && retired == retired_.end()) return here;
  const auto& record = kept ? kept->record() : retired->second;
  const bool ours = !in_cutover(record.phase) && record.phase != shadow::Phase::kMoved && record.cutover.empty();
  if (ours) return std::max(here, record.epoch);
  return record.epoch > here ? 0 : here;
}

void Host::fill(v1::RegisterRequest& request) const {
  *request.mutable_proof() = proof_;
  request.set_epochs_known(remembered_all_);
  auto newest = remembered_;
  const auto raise = [&](const std::string& uuid, std::uint64_t epoch) {
    newest[uuid] = std::max(newest[uuid], epoch);
  };
  for (const auto& [uuid, source] : sources_) raise(uuid, source->record().epoch);
  for (const auto& [uuid, record] : retired_) raise(uuid, record.epoch);
  for (const auto& [uuid, epoch] : epochs_) raise(uuid, epoch);
  for (const auto& [uuid, epoch] : standby_.epochs()) raise(uuid, epoch);
  for (const auto& [uuid, epoch] : newest) {
    if (epoch == 0) continue;
    auto* known = request.add_known_epochs();
    known->set_vm_uuid(uuid);
    known->set_epoch(epoch);
  }
}

}  // namespace umbra::agent
