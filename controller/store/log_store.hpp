/// What happened and why: events, decisions with their causes, cutovers.
#pragma once

#include <vector>

#include "controller/store/fleet_store.hpp"

namespace umbra::controller {

/// Errors are sqlite::Database's.
class LogStore {
 public:
  explicit LogStore(sqlite::Database& database) : database_(database) {}

  /// @return the event's id; ids grow
  Result<std::uint64_t> add_event(const v1::Event& event);
  /// The newest `last` events after `after_id`, oldest first; of one VM when `vm` (its name) is given.
  Result<std::vector<v1::Event>> events(std::uint32_t last, const std::string& vm, std::uint64_t after_id);

  /// Where a page of an audit ends, and the next one begins.
  struct AuditPlace {
    UnixMillis at = 0;
    std::uint64_t id = 0;
  };
  /// AUDIT events since then, after that place, oldest first; of one actor and one VM (names) when they are given.
  Result<std::vector<v1::Event>> audit(UnixMillis since, const std::string& actor, const std::string& vm,
                                       AuditPlace after, std::uint32_t most);

  Result<std::uint64_t> add_decision(const std::string& vm_uuid, const v1::Decision& decision);
  Result<void> set_decision_outcome(std::uint64_t id, const std::string& outcome);
  /// Newest first.
  Result<std::vector<v1::Decision>> decisions(const std::string& vm_uuid, std::uint32_t last);

  /// Saves a cutover under its VM and epoch; OUTCOME_UNSPECIFIED means that it is not known how it ended.
  Result<void> save_cutover(const v1::CutoverResult& cutover);
  /// The one in that epoch.
  Result<std::optional<v1::CutoverResult>> cutover(const std::string& vm_uuid, Epoch epoch);
  /// Those whose end is not known.
  Result<std::vector<v1::CutoverResult>> open_cutovers();

  /// Forgets events and decisions older than `before`. Cutovers stay.
  Result<void> prune(UnixMillis before);

 private:
  sqlite::Database& database_;
};

}  // namespace umbra::controller
