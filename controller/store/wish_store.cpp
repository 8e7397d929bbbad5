#include "controller/store/wish_store.hpp"

#include "controller/store/record.hpp"

namespace umbra::controller {

Result<void> WishStore::save_pin(const Pin& pin) {
  return database_.run("INSERT OR REPLACE INTO pins(vm, standby, tier, refresh_interval_ms) VALUES(?1, ?2, ?3, ?4)",
                       pin.vm_uuid, pin.standby, static_cast<int>(pin.tier), pin.refresh_interval_ms);
}

Result<bool> WishStore::remove_pin(const std::string& vm_uuid) {
  UMBRA_CHECK(database_.run("DELETE FROM pins WHERE vm = ?1", vm_uuid));
  return database_.changes() == 1;
}

Result<std::vector<Pin>> WishStore::pins() {
  UMBRA_TRY(auto rows, database_.prepare("SELECT vm, standby, tier, refresh_interval_ms FROM pins"));
  return collect<Pin>(rows, [](const sqlite::Statement& row) -> Result<Pin> {
    return Pin{row.text(0), row.text(1), static_cast<v1::Tier>(row.integer(2)), row.integer(3)};
  });
}

Result<void> WishStore::save_zone(const ZoneWord& word) {
  return database_.run("INSERT OR REPLACE INTO zones(name, health, reason, set_by) VALUES(?1, ?2, ?3, ?4)", word.zone,
                       word.health, word.reason, word.set_by);
}

Result<std::vector<ZoneWord>> WishStore::zones() {
  UMBRA_TRY(auto rows, database_.prepare("SELECT name, health, reason, set_by FROM zones"));
  return collect<ZoneWord>(rows, [](const sqlite::Statement& row) -> Result<ZoneWord> {
    return ZoneWord{row.text(0), row.real(1), row.text(2), row.text(3)};
  });
}

Result<std::uint64_t> WishStore::add_maintenance(const v1::Maintenance& window) {
  UMBRA_CHECK(database_.run("INSERT INTO maintenance(host_or_zone, begins, ends, reason) VALUES(?1, ?2, ?3, ?4)",
                            window.host_or_zone(), window.begins_unix_ms(), window.ends_unix_ms(), window.reason()));
  return static_cast<std::uint64_t>(database_.last_insert_id());
}

Result<void> WishStore::remove_maintenance(std::uint64_t id) {
  UMBRA_CHECK(database_.run("DELETE FROM maintenance WHERE id = ?1", id));
  if (database_.changes() == 1) return {};
  return fail({Errc::kNotFound, fmt::format("no maintenance window {}", id), "see umbractl maintenance list"});
}

Result<std::vector<v1::Maintenance>> WishStore::maintenance(std::int64_t since_unix_ms) {
  UMBRA_TRY(auto rows, database_.prepare("SELECT id, host_or_zone, begins, ends, reason FROM maintenance "
                                         "WHERE ends > ?1 ORDER BY begins, id"));
  rows.bind(since_unix_ms);
  return collect<v1::Maintenance>(rows, [](const sqlite::Statement& row) -> Result<v1::Maintenance> {
    v1::Maintenance window;
    window.set_id(static_cast<std::uint64_t>(row.integer(0)));
    window.set_host_or_zone(row.text(1));
    window.set_begins_unix_ms(row.integer(2));
    window.set_ends_unix_ms(row.integer(3));
    window.set_reason(row.text(4));
    return window;
  });
}

}  // namespace umbra::controller
