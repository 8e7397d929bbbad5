#include "controller/store/fence_store.hpp"

#include "controller/store/record.hpp"

namespace umbra::controller {

Result<std::vector<FenceStore::InForce>> FenceStore::fences() {
  UMBRA_TRY(auto rows, database_.prepare("SELECT record, returned FROM fences WHERE lifted_at = 0 ORDER BY host"));
  return collect<InForce>(rows, [](const sqlite::Statement& row) -> Result<InForce> {
    UMBRA_TRY(auto fence, read_record<v1::Fence>(row, 0, "fences"));
    return InForce{std::move(fence), row.integer(1) != 0};
  });
}

Result<void> FenceStore::set_returned(const std::string& host) {
  return database_.run("UPDATE fences SET returned = 1 WHERE host = ?1 AND lifted_at = 0", host);
}

Result<v1::Fence> FenceStore::add_fence(v1::Fence fence) {
  UMBRA_TRY(auto row, database_.prepare("SELECT coalesce(max(epoch), 0) FROM fences WHERE host = ?1"));
  UMBRA_CHECK(row.bind(fence.host()).step());
  fence.set_epoch(static_cast<Epoch>(row.integer(0)) + 1);
  UMBRA_CHECK(lift_fence(fence.host(), fence.at_unix_ms(), fence.actor()));  // one that has been heard since
  const auto record = fence.SerializeAsString();
  UMBRA_CHECK(database_.run("INSERT INTO fences(host, epoch, at, actor, record) VALUES(?1, ?2, ?3, ?4, ?5)",
                            fence.host(), fence.epoch(), fence.at_unix_ms(), fence.actor(), sqlite::Blob{record}));
  return fence;
}

Result<void> FenceStore::lift_fence(const std::string& host, UnixMillis at, const std::string& actor) {
  return database_.run("UPDATE fences SET lifted_at = ?2, lifted_by = ?3 WHERE host = ?1 AND lifted_at = 0", host, at,
                       actor);
}

Result<void> FenceStore::save_definition(const std::string& vm_uuid, const StoredDefinition& definition) {
  return database_.run("INSERT OR REPLACE INTO definitions(vm, xml, autostart) VALUES(?1, ?2, ?3)", vm_uuid,
                       definition.xml, definition.autostart ? 1 : 0);
}

Result<void> FenceStore::remove_definition(const std::string& vm_uuid) {
  return database_.run("DELETE FROM definitions WHERE vm = ?1", vm_uuid);
}

Result<std::optional<FenceStore::StoredDefinition>> FenceStore::definition(const std::string& vm_uuid) {
  UMBRA_TRY(auto row, database_.prepare("SELECT xml, autostart FROM definitions WHERE vm = ?1"));
  UMBRA_TRY(const bool found, row.bind(vm_uuid).step());
  if (!found) return std::nullopt;
  return StoredDefinition{row.text(0), row.integer(1) != 0};
}

Result<void> FenceStore::save_takeover(const Takeover& takeover) {
  return database_.run(
      "INSERT OR REPLACE INTO takeovers(vm, epoch, name, source, target, at, actor, state, cleared) "
      "VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
      takeover.vm_uuid, takeover.epoch, takeover.vm, takeover.from, takeover.to, takeover.at, takeover.actor,
      static_cast<int>(takeover.state), takeover.cleared ? 1 : 0);
}

Result<std::vector<Takeover>> FenceStore::takeovers() {
  UMBRA_TRY(auto rows, database_.prepare("SELECT vm, epoch, name, source, target, at, actor, state, cleared FROM "
                                         "takeovers WHERE state = 0 OR (state = 1 AND cleared = 0) ORDER BY at"));
  return collect<Takeover>(rows, [](const sqlite::Statement& row) -> Result<Takeover> {
    return Takeover{.vm_uuid = row.text(0),
                    .vm = row.text(2),
                    .from = row.text(3),
                    .to = row.text(4),
                    .epoch = static_cast<Epoch>(row.integer(1)),
                    .at = row.integer(5),
                    .actor = row.text(6),
                    .state = static_cast<Takeover::State>(row.integer(7)),
                    .cleared = row.integer(8) != 0};
  });
}

}  // namespace umbra::controller
