#include "controller/api/views.hpp"

#include <algorithm>

namespace umbra::controller {

namespace {

Result<const VmRecord*> find_among(const std::map<std::string, VmRecord>& vms, const std::string& text) {
  if (const auto found = vms.find(text); found != vms.end()) return &found->second;
  std::vector<const VmRecord*> named;
  for (const auto& [uuid, record] : vms)
    if (record.vm.name() == text) named.push_back(&record);
  if (named.empty()) return fail({Errc::kNotFound, fmt::format("no VM '{}'", text), "see umbractl vms"});
  if (named.size() == 1) return named.front();
  std::string which;
  for (const auto* record : named)
    which += fmt::format("{}{} on {}", which.empty() ? "" : ", ", record->vm.uuid(),
                         record->host.empty() ? "no host" : record->host);
  return fail({Errc::kConflict, fmt::format("{} VMs are named '{}': {}", named.size(), text, which), "give its uuid"});
}

}  // namespace

Result<const VmRecord*> find_vm(const Inventory& inventory, const std::string& text) {
  return find_among(inventory.vms(), text);
}

Result<const VmRecord*> find_vm_or_gone(const Inventory& inventory, const std::string& text) {
  auto found = find_vm(inventory, text);
  if (found || found.error().code != Errc::kNotFound) return found;
  return find_among(inventory.gone(), text);
}

Result<std::string> name_in_events(Core& core, const std::string& text) {
  if (const auto* record = core.inventory.vm(text)) return record->vm.name();
  if (text.empty() || find_vm(core.inventory, text).has_value()) return text;
  UMBRA_TRY(const auto told, core.events.events(1, text, 0));
  if (!told.empty()) return text;
  return fail({Errc::kNotFound, fmt::format("no VM '{}', and no event tells of one", text), "see umbractl vms"});
}

Result<const NodeRecord*> find_host(const Inventory& inventory, const std::string& name) {
  const auto* node = inventory.node(name);
  if (node != nullptr && node->is_host()) return node;
  return fail({Errc::kNotFound, fmt::format("no host '{}'", name), "see umbractl hosts"});
}

Result<void> check_host_or_zone(const Inventory& inventory, const std::string& text) {
  const bool known = std::ranges::any_of(inventory.nodes(), [&](const auto& entry) {
    return entry.second.is_host() && (entry.first == text || entry.second.node.zone() == text);
  });
  if (known) return {};
  return fail({Errc::kNotFound, fmt::format("no host or zone '{}'", text), "see umbractl hosts and umbractl zones"});
}

v1::Host view_host(const Inventory& inventory, const NodeRecord& node) {
  v1::Host host;
  *host.mutable_node() = node.node;
  host.set_up(node.up);
  host.set_hypervisor_up(node.hypervisor_up);
  host.set_last_seen_unix_ms(node.last_seen);
  *host.mutable_capacity() = node.capacity;
  *host.mutable_proof() = node.proof;
  host.set_version(node.version);
  if (node.fence) *host.mutable_fence() = *node.fence;
  for (const auto& [uuid, record] : inventory.vms()) {
    if (record.host == node.node.name()) host.set_vms(host.vms() + 1);
    if (record.shadow && record.shadow->standby() == node.node.name() &&
        record.shadow->phase() != v1::SHADOW_PHASE_DROPPED)
      host.set_shadows(host.shadows() + 1);
  }
  host.set_shadows(std::max(host.shadows(), static_cast<std::uint32_t>(node.held.size())));
  return host;
}

v1::VmView view_vm(const Core& core, const VmRecord& record) {
  v1::VmView view;
  *view.mutable_vm() = record.vm;
  view.mutable_vm()->set_refusal(record.refusal());
  view.set_host(record.host);
  view.set_epoch(record.epoch);
  const auto* host = core.inventory.node(record.host);
  if (host != nullptr) view.set_zone(host->node.zone());
  if (host == nullptr || !host->up || !host->vms_known) view.mutable_vm()->set_state(v1::VM_STATE_UNKNOWN);
  if (const auto* assessment = core.brain.assessment(record.vm.uuid())) {
    view.set_migration_probability(assessment->probability);
    for (const auto& cause : assessment->causes) *view.add_causes() = cause;
    view.set_tier(assessment->tier);
  }
  view.set_pinned(core.pilot.pin(record.vm.uuid()) != nullptr);
  if (record.shadow) *view.mutable_shadow() = *record.shadow;
  if (record.last_sample) *view.mutable_last_sample() = *record.last_sample;
  return view;
}

}  // namespace umbra::controller
