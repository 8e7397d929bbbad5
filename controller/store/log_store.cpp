#include "controller/store/log_store.hpp"

#include <algorithm>

#include "controller/store/record.hpp"

namespace umbra::controller {
namespace {

constexpr std::string_view kColumns = "id, at, kind, severity, node, vm, text, actor, actor_role, peer, call, outcome";

v1::Event read_event(const sqlite::Statement& row) {
  v1::Event event;
  event.set_id(static_cast<std::uint64_t>(row.integer(0)));
  event.set_at_unix_ms(row.integer(1));
  event.set_kind(static_cast<v1::EventKind>(row.integer(2)));
  event.set_severity(static_cast<v1::Severity>(row.integer(3)));
  event.set_node(row.text(4));
  event.set_vm(row.text(5));
  event.set_text(row.text(6));
  event.set_actor(row.text(7));
  event.set_actor_role(static_cast<v1::Role>(row.integer(8)));
  event.set_peer(row.text(9));
  event.set_call(row.text(10));
  event.set_outcome(row.text(11));
  return event;
}

}  // namespace

Result<std::uint64_t> LogStore::add_event(const v1::Event& event) {
  UMBRA_CHECK(database_.run(
      "INSERT INTO events(at, kind, severity, node, vm, text, actor, actor_role, peer, call, outcome) "
      "VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
      event.at_unix_ms(), static_cast<int>(event.kind()), static_cast<int>(event.severity()), event.node(), event.vm(),
      event.text(), event.actor(), static_cast<int>(event.actor_role()), event.peer(), event.call(), event.outcome()));
  return static_cast<std::uint64_t>(database_.last_insert_id());
}

Result<std::vector<v1::Event>> LogStore::events(std::uint32_t last, const std::string& vm, std::uint64_t after_id) {
  UMBRA_TRY(auto rows,
            database_.prepare(fmt::format(
                "SELECT {} FROM events WHERE id > ?1 AND (?2 = '' OR vm = ?2) ORDER BY id DESC LIMIT ?3", kColumns)));
  rows.bind(after_id, vm, last);
  UMBRA_TRY(auto events, collect<v1::Event>(
                             rows, [](const sqlite::Statement& row) -> Result<v1::Event> { return read_event(row); }));
  std::ranges::reverse(events);
  return events;
}

Result<std::vector<v1::Event>> LogStore::audit(UnixMillis since, const std::string& actor, const std::string& vm,
                                               AuditPlace after, std::uint32_t most) {
  UMBRA_TRY(auto rows, database_.prepare(
                           fmt::format("SELECT {} FROM events WHERE kind = {} AND at >= ?1 AND (at, id) > (?2, ?3) "
                                       "AND (?4 = '' OR actor = ?4) AND (?5 = '' OR vm = ?5) ORDER BY at, id LIMIT ?6",
                                       kColumns, static_cast<int>(v1::EVENT_KIND_AUDIT))));
  rows.bind(since, after.at, after.id, actor, vm, most);
  return collect<v1::Event>(rows, [](const sqlite::Statement& row) -> Result<v1::Event> { return read_event(row); });
}

Result<std::uint64_t> LogStore::add_decision(const std::string& vm_uuid, const v1::Decision& decision) {
  const auto record = decision.SerializeAsString();
  UMBRA_CHECK(database_.run("INSERT INTO decisions(vm, at, outcome, record) VALUES(?1, ?2, ?3, ?4)", vm_uuid,
                            decision.at_unix_ms(), decision.outcome(), sqlite::Blob{record}));
  return static_cast<std::uint64_t>(database_.last_insert_id());
}

Result<void> LogStore::set_decision_outcome(std::uint64_t id, const std::string& outcome) {
  return database_.run("UPDATE decisions SET outcome = ?2 WHERE id = ?1", id, outcome);
}

Result<std::vector<v1::Decision>> LogStore::decisions(const std::string& vm_uuid, std::uint32_t last) {
  UMBRA_TRY(auto rows,
            database_.prepare("SELECT record, id, outcome FROM decisions WHERE vm = ?1 ORDER BY id DESC LIMIT ?2"));
  rows.bind(vm_uuid, last);
  return collect<v1::Decision>(rows, [](const sqlite::Statement& row) -> Result<v1::Decision> {
    UMBRA_TRY(auto decision, read_record<v1::Decision>(row, 0, "decisions"));
    decision.set_id(static_cast<std::uint64_t>(row.integer(1)));
    decision.set_outcome(row.text(2));
    return decision;
  });
}

Result<void> LogStore::save_cutover(const v1::CutoverResult& cutover) {
  const auto record = cutover.SerializeAsString();
  return database_.run(
      "INSERT OR REPLACE INTO cutovers(vm, epoch, at, source, standby, outcome, record) VALUES(?1, ?2, ?3, ?4, ?5, ?6, "
      "?7)",
      cutover.vm_uuid(), cutover.epoch(), cutover.at_unix_ms(), cutover.from(), cutover.to(),
      static_cast<int>(cutover.outcome()), sqlite::Blob{record});
}

Result<std::optional<v1::CutoverResult>> LogStore::cutover(const std::string& vm_uuid, Epoch epoch) {
  UMBRA_TRY(auto rows, database_.prepare("SELECT record FROM cutovers WHERE vm = ?1 AND epoch = ?2"));
  rows.bind(vm_uuid, epoch);
  UMBRA_TRY(const auto all, collect<v1::CutoverResult>(rows, [](const sqlite::Statement& row) {
              return read_record<v1::CutoverResult>(row, 0, "cutovers");
            }));
  return all.empty() ? std::nullopt : std::optional(all.front());
}

Result<std::vector<v1::CutoverResult>> LogStore::open_cutovers() {
  UMBRA_TRY(auto rows, database_.prepare("SELECT record FROM cutovers WHERE outcome = 0 ORDER BY at"));
  return collect<v1::CutoverResult>(
      rows, [](const sqlite::Statement& row) { return read_record<v1::CutoverResult>(row, 0, "cutovers"); });
}

Result<void> LogStore::prune(UnixMillis before) {
  UMBRA_CHECK(database_.run("DELETE FROM events WHERE at < ?1", before));
  return database_.run("DELETE FROM decisions WHERE at < ?1", before);
}

}  // namespace umbra::controller
