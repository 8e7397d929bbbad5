/// Time zones of the system's database (TZif, RFC 8536). GCC 12 has no std::chrono::time_zone, and tzset(3) would
/// change the zone of the whole process.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"

namespace umbra::forecast {

/// The rule after a zone's last recorded change, as TZ has it (POSIX.1-2017, 8.3): "CET-1CEST,M3.5.0,M10.5.0/3".
class ZoneRule {
 public:
  static std::optional<ZoneRule> parse(std::string_view text);
  /// Seconds east of UTC at a time in seconds since the Unix epoch.
  std::int64_t offset(std::int64_t utc) const;

 private:
  struct Change {
    enum class Kind { kWeekdayOfMonth, kDayWithoutLeap, kDay } kind = Kind::kDay;
    int month = 1, week = 1, day = 0;
    std::int64_t time_of_day = 2 * 3600;

    std::int64_t in_year(int year) const;  ///< local seconds
  };
  class Reader;

  std::int64_t standard_ = 0, summer_ = 0;
  bool has_summer_ = false;
  Change begin_, end_;
};

/// Offsets from UTC over time. Immutable.
class TimeZone {
 public:
  TimeZone() = default;  ///< UTC
  /// @param name "Europe/Berlin"
  /// @error kNotFound the database has no such zone; kCorrupt its file is damaged
  static Result<TimeZone> load(std::string_view name);
  /// The content of a TZif file. @error kCorrupt
  static Result<TimeZone> parse(std::string_view bytes);

  /// Seconds east of UTC at a time in seconds since the Unix epoch.
  std::int64_t offset(std::int64_t utc) const;
  /// The time at which clocks show `local` (seconds, as if in UTC). Shown twice, the first; never shown, what the
  /// offset before the gap makes of it (RFC 5545, 3.3.5).
  std::int64_t to_utc(std::int64_t local) const;

 private:
  struct Change {
    std::int64_t at = 0;
    std::int64_t offset = 0;
  };
  std::int64_t before_ = 0;  // offset before the first change
  std::vector<Change> changes_;
  std::optional<ZoneRule> after_;
};

}  // namespace umbra::forecast
