// What nodes know of epochs: the controller's store is not the only place that remembers them, and may have been lost.
#include <spdlog/spdlog.h>

#include "base/epoch.hpp"
#include "controller/inventory/inventory.hpp"

namespace umbra::controller {
namespace {

/// Nobody takes so many: a node that tells of a greater one is damaged, or wants to use them all up.
constexpr Epoch kMostBelieved = kGreatestEpoch / 1024;
constexpr std::size_t kMostHeard = 100'000;  // VMs unknown to the store whose epochs are remembered

}  // namespace

Result<void> Inventory::epochs_certain() const {
  if (settled()) return {};  // who has not registered by now is down
  for (const auto& [name, node] : nodes_)
    if (!node.heard || !node.epochs_known)
      return fail({Errc::kUnavailable,
                   fmt::format("{} has not told the epochs it knows since the controller started", name),
                   "try again in half a minute: then it counts as down"});
  if (behind_)
    return fail(
        {Errc::kUnavailable,
         "the controller's store was lost or restored from a backup, and nodes that have not registered yet may "
         "know newer epochs",
         "try again in half a minute"});
  return {};
}

void Inventory::heard_epochs(const std::string& node,
                             const google::protobuf::RepeatedPtrField<v1::KnownEpoch>& epochs) {
  std::size_t newer = 0, absurd = 0;
  std::string example;
  for (const auto& known : epochs) {
    if (known.epoch() > kMostBelieved) {
      ++absurd;
      continue;
    }
    const auto& uuid = known.vm_uuid();
    const auto here = vms_.find(uuid), gone = gone_.find(uuid);
    if (here == vms_.end() && gone == gone_.end()) {
      if (known.epoch() == 0 || (heard_epochs_.size() >= kMostHeard && !heard_epochs_.contains(uuid))) continue;
      auto& heard = heard_epochs_[uuid];
      if (known.epoch() <= heard) continue;
      heard = known.epoch();
      if (newer++ == 0) example = fmt::format("epoch {} of VM {}, which the store does not know", heard, uuid);
      continue;
    }
    auto& record = here != vms_.end() ? here->second : gone->second;
    if (known.epoch() > record.epoch && newer++ == 0)
      example = fmt::format("epoch {} of {}, where the store has {}", known.epoch(), record.vm.name(), record.epoch);
    raise(record, known.epoch());
  }
  if (absurd > 0)
    events_.add(
        v1::EVENT_KIND_HOST, v1::SEVERITY_ALERT,
        fmt::format("tells of {} epochs greater than any that can have been given out; they are ignored. Look at "
                    "its agent's journal",
                    absurd),
        {node});
  if (newer == 0) return;
  behind_ = true;
  events_.add(
      v1::EVENT_KIND_HOST, v1::SEVERITY_WARNING,
      fmt::format("knows newer epochs of {} VMs than the controller's store: {}. The store was lost, or restored "
                  "from a backup; the controller goes on above what nodes know",
                  newer, example),
      {node});
}

void Inventory::raise(VmRecord& record, Epoch heard) {
  if (heard > record.epoch) record.owner_outdated = true;
  record.heard_epoch = std::max(record.heard_epoch, heard);
  if (const auto raised = catch_up(record); !raised)  // take_epoch() tries again
    spdlog::error("{}: its epoch could not be stored: {}", record.vm.name(), raised.error());
}

/// The record's epoch is the store's, which counts it up: what is not stored is not believed to be.
Result<void> Inventory::catch_up(VmRecord& record) {
  if (record.heard_epoch <= record.epoch) return {};
  UMBRA_CHECK(store_.fleet.raise_epoch(record.vm.uuid(), record.heard_epoch));
  record.epoch = record.heard_epoch;
  return {};
}

/// The owner is right, but nodes know its VM from a newer epoch than the one it is recorded in, and would leave alone
/// the routes of this one.
void Inventory::confirm(VmRecord& record) {
  if (record.host.empty() || record.owner_epoch >= record.heard_epoch) return;
  const auto* owner = node(record.host);
  if (owner == nullptr || !owner->up || !owner->claims.contains(record.vm.uuid()) || !epochs_certain()) return;
  const auto before = record.owner_epoch;
  const auto epoch = take_epoch(record.vm.uuid());
  const auto settled =
      epoch ? settle(record.vm.uuid(), record.host, *epoch) : Result<void>(tl::unexpected(epoch.error()));
  if (!settled) {
    spdlog::error("{}: the owner could not be confirmed: {}", record.vm.name(), settled.error());
    return;
  }
  events_.add(v1::EVENT_KIND_VM, v1::SEVERITY_WARNING,
              fmt::format("nodes know epoch {}, the store had {}: it stays on {}, in epoch {}", record.heard_epoch,
                          before, record.host, *epoch),
              {record.host, record.vm.name()});
}

Epoch Inventory::served_epoch(const std::string& host, const std::string& vm_uuid) const {
  const auto* record = node(host);
  if (record == nullptr) return 0;
  const auto served = record->served.find(vm_uuid);
  return served == record->served.end() ? 0 : served->second.epoch();
}

}  // namespace umbra::controller
