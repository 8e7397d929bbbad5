/// The days on which an event of a calendar recurs (RFC 5545, 3.3.10).
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <string_view>
#include <vector>

#include "base/result.hpp"

namespace umbra::forecast {

/// A date or a date with a time of day, as iCalendar writes them.
struct CalendarTime {
  std::chrono::sys_days day;  ///< local, unless `utc`
  std::chrono::seconds time_of_day{};
  bool date_only = false;
  bool utc = false;

  std::chrono::seconds local() const { return day.time_since_epoch() + time_of_day; }
};

/// "20260501", "20260501T090000" or "20260501T090000Z". @return nothing if it is none, or no such day
std::optional<CalendarTime> parse_calendar_time(std::string_view text);

/// A recurrence by days. Parts that choose a time of day, BYSETPOS, BYYEARDAY and BYWEEKNO are refused.
struct Recurrence {
  enum class Frequency { kDaily, kWeekly, kMonthly, kYearly };
  struct Weekday {
    int ordinal = 0;  ///< the n-th of the month or year, from its end if negative; 0: every one
    std::chrono::weekday day;
  };

  Frequency frequency = Frequency::kDaily;
  int interval = 1;
  std::optional<std::int64_t> count;
  std::optional<CalendarTime> until;  ///< inclusive
  std::vector<Weekday> by_day;
  std::vector<int> by_month_day;  ///< from the month's end if negative
  std::vector<int> by_month;
  std::chrono::weekday week_start = std::chrono::Monday;

  /// @error kInvalid, kUnsupported: the cause alone
  static Result<Recurrence> parse(std::string_view text);

  /// Calls `visit` with each day, oldest first, until it returns false or a day is after `to`. Without a count, days
  /// before `from` may be left out. `until` is the visitor's business: it may depend on a time zone.
  /// @param start the first event's day; the rule's own parts are filled up from it
  void each(std::chrono::sys_days start, std::chrono::sys_days from, std::chrono::sys_days to,
            const std::function<bool(std::chrono::sys_days)>& visit) const;

 private:
  Result<void> set(std::string_view name, std::string_view value);
  Result<void> check() const;
  Recurrence completed(std::chrono::sys_days start) const;
  bool matches(std::chrono::sys_days day) const;
};

}  // namespace umbra::forecast
