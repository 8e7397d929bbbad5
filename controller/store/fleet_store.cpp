#include "controller/store/fleet_store.hpp"

#include "controller/store/record.hpp"

namespace umbra::controller {

Result<void> FleetStore::save_node(const StoredNode& node) {
  const auto record = node.node.SerializeAsString();
  return database_.run("INSERT OR REPLACE INTO nodes(name, version, last_seen, record) VALUES(?1, ?2, ?3, ?4)",
                       node.node.name(), node.version, node.last_seen, sqlite::Blob{record});
}

Result<std::vector<StoredNode>> FleetStore::nodes() {
  UMBRA_TRY(auto rows, database_.prepare("SELECT record, version, last_seen FROM nodes ORDER BY name"));
  return collect<StoredNode>(rows, [](const sqlite::Statement& row) -> Result<StoredNode> {
    UMBRA_TRY(auto node, read_record<v1::Node>(row, 0, "nodes"));
    return StoredNode{std::move(node), row.text(1), row.integer(2)};
  });
}

Result<void> FleetStore::save_vm(const v1::Vm& vm) {
  const auto record = vm.SerializeAsString();
  return database_.run(
      "INSERT INTO vms(uuid, name, host, epoch, owner_epoch, record) VALUES(?1, ?2, '', 0, 0, ?3) "
      "ON CONFLICT(uuid) DO UPDATE SET name = excluded.name, record = excluded.record",
      vm.uuid(), vm.name(), sqlite::Blob{record});
}

Result<std::vector<StoredVm>> FleetStore::vms() {
  UMBRA_TRY(auto rows, database_.prepare("SELECT record, host, epoch, owner_epoch FROM vms ORDER BY uuid"));
  return collect<StoredVm>(rows, [](const sqlite::Statement& row) -> Result<StoredVm> {
    UMBRA_TRY(auto vm, read_record<v1::Vm>(row, 0, "vms"));
    return StoredVm{std::move(vm), row.text(1), static_cast<Epoch>(row.integer(2)), static_cast<Epoch>(row.integer(3))};
  });
}

Result<void> FleetStore::raise_epoch(const std::string& vm_uuid, Epoch epoch) {
  UMBRA_CHECK(database_.run("UPDATE vms SET epoch = max(epoch, ?2) WHERE uuid = ?1", vm_uuid, epoch));
  if (database_.changes() == 1) return {};
  return fail(Errc::kNotFound, "no VM with uuid {} is in the store", vm_uuid);
}

Result<Epoch> FleetStore::next_epoch(const std::string& vm_uuid, Epoch expected) {
  UMBRA_CHECK(database_.run("UPDATE vms SET epoch = epoch + 1 WHERE uuid = ?1 AND epoch = ?2", vm_uuid, expected));
  if (database_.changes() == 1) return expected + 1;
  UMBRA_TRY(auto row, database_.prepare("SELECT epoch FROM vms WHERE uuid = ?1"));
  UMBRA_TRY(const bool known, row.bind(vm_uuid).step());
  if (!known) return fail(Errc::kNotFound, "no VM with uuid {} is in the store", vm_uuid);
  return fail({Errc::kConflict, fmt::format("the epoch of VM {} is {}, not {}", vm_uuid, row.integer(0), expected),
               "another cutover of it was started meanwhile; look at it with umbractl why"});
}

Result<void> FleetStore::set_owner(const std::string& vm_uuid, const std::string& host, Epoch epoch) {
  UMBRA_CHECK(database_.run(
      "UPDATE vms SET host = ?2, owner_epoch = ?3, epoch = max(epoch, ?3) WHERE uuid = ?1 AND owner_epoch <= ?3",
      vm_uuid, host, epoch));
  if (database_.changes() == 1) return {};
  return fail(Errc::kConflict, "VM {} has an owner of a newer epoch than {}", vm_uuid, epoch);
}

Result<std::vector<AddressClaim>> FleetStore::address_claims() {
  UMBRA_TRY(auto rows, database_.prepare("SELECT id, vm, address FROM address_claims ORDER BY id"));
  return collect<AddressClaim>(rows, [](const sqlite::Statement& row) -> Result<AddressClaim> {
    return AddressClaim{row.integer(0), row.text(1), row.text(2)};
  });
}

Result<std::int64_t> FleetStore::add_address_claim(const std::string& vm_uuid, const std::string& address) {
  UMBRA_CHECK(database_.run("INSERT OR IGNORE INTO address_claims(vm, address) VALUES(?1, ?2)", vm_uuid, address));
  UMBRA_TRY(auto row, database_.prepare("SELECT id FROM address_claims WHERE vm = ?1 AND address = ?2"));
  UMBRA_TRY(const bool there, row.bind(vm_uuid, address).step());
  if (!there) return fail(Errc::kInternal, "the claim of VM {} to {} is not in the store", vm_uuid, address);
  return row.integer(0);
}

Result<void> FleetStore::forget_address_claim(const std::string& vm_uuid, const std::string& address) {
  return database_.run("DELETE FROM address_claims WHERE vm = ?1 AND address = ?2", vm_uuid, address);
}

Result<void> FleetStore::save_profiles(const std::map<std::string, std::vector<v1::Profile>>& profiles) {
  UMBRA_TRY(auto transaction, sqlite::Transaction::begin(database_));
  UMBRA_CHECK(database_.exec("DELETE FROM profiles"));
  UMBRA_TRY(auto insert, database_.prepare("INSERT INTO profiles(vm, zone, record) VALUES(?1, ?2, ?3)"));
  for (const auto& [vm_uuid, zones] : profiles)
    for (const auto& profile : zones)
      UMBRA_CHECK(insert.bind(vm_uuid, profile.zone(), sqlite::Blob{profile.SerializeAsString()}).run());
  return transaction.commit();
}

Result<std::vector<v1::Profile>> FleetStore::profiles(const std::string& vm_uuid) {
  UMBRA_TRY(auto rows, database_.prepare("SELECT record FROM profiles WHERE vm = ?1 ORDER BY zone"));
  rows.bind(vm_uuid);
  return collect<v1::Profile>(
      rows, [](const sqlite::Statement& row) { return read_record<v1::Profile>(row, 0, "profiles"); });
}

}  // namespace umbra::controller
