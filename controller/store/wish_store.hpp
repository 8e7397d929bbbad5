/// What operators and feeds said: pinned shadows, health of zones, maintenance windows.
#pragma once

#include <vector>

#include "base/sqlite.hpp"
#include "umbra/v1/controller.pb.h"

namespace umbra::controller {

/// A shadow that stays until the operator drops it.
struct Pin {
  std::string vm_uuid;
  std::string standby;  ///< empty: the brain chooses
  v1::Tier tier = v1::TIER_WARM;
  std::int64_t refresh_interval_ms = 0;  ///< 0: the agent's own
};

struct ZoneWord {
  std::string zone;
  double health = 1;
  std::string reason;
  std::string set_by;
};

/// Errors are sqlite::Database's.
class WishStore {
 public:
  explicit WishStore(sqlite::Database& database) : database_(database) {}

  Result<void> save_pin(const Pin& pin);
  /// @return false when there was none
  Result<bool> remove_pin(const std::string& vm_uuid);
  Result<std::vector<Pin>> pins();

  Result<void> save_zone(const ZoneWord& word);
  Result<std::vector<ZoneWord>> zones();

  /// @return the new window's id
  Result<std::uint64_t> add_maintenance(const v1::Maintenance& window);
  /// @error kNotFound
  Result<void> remove_maintenance(std::uint64_t id);
  /// Those that end after `since`, by their beginning.
  Result<std::vector<v1::Maintenance>> maintenance(std::int64_t since_unix_ms);

 private:
  sqlite::Database& database_;
};

}  // namespace umbra::controller
