/// Events from calendars, as something that is known of a series' steps beforehand.
#pragma once

#include <iosfwd>
#include <string>
#include <vector>

#include "base/clock.hpp"
#include "base/result.hpp"
#include "forecast/models/model.hpp"
#include "forecast_io/stamps.hpp"
#include "forecast_io/steps.hpp"
#include "forecast_io/time_zone.hpp"

namespace umbra::forecast {

struct Event {
  std::string name;
  UnixMillis start = 0;
  UnixMillis end = 0;  ///< exclusive; not before start
};

/// What is read of a calendar: an event that recurs for ever has to end somewhere.
struct CalendarWindow {
  UnixMillis from = 0;  ///< events that end before are left out …
  UnixMillis to = 0;    ///< … and those that begin here or later
  TimeZone zone;        ///< of days and times that name none
};

struct Calendar {
  std::string file;                  ///< for messages
  TimeKind kind = TimeKind::kIso;    ///< kSteps: `start` and `end` are step numbers
  std::vector<Event> events;         ///< by start, then by name
  std::vector<std::string> notices;  ///< what was left out or stands for nothing, for people
};

inline constexpr std::size_t kMostEvents = 1'000'000;  ///< in a window

/// Reads iCalendar (RFC 5545) or CSV with the columns `name,start,end`.
///
/// Of iCalendar: VEVENT with SUMMARY, DTSTART, DTEND or DURATION, RRULE as far as Recurrence goes, EXDATE,
/// RECURRENCE-ID and STATUS:CANCELLED. TZID is looked up in the system's database; VTIMEZONE is not read. In CSV, a
/// date without an end, or with itself as its end, lasts that day.
/// @param in outlives the call
/// @param name of the file, for messages
/// @error kInvalid, kUnsupported "name:line: cause", with the remedy; kUnavailable when reading fails
Result<Calendar> read_calendar(std::istream& in, const std::string& name, const CalendarWindow& window);

/// Columns of what is known of each step.
struct KnownColumns {
  std::vector<std::string> names;
  std::vector<double> rows;  ///< step by step
  Known known() const { return {rows, names.size()}; }
};

inline constexpr std::string_view kOtherEvents = "other events";

/// The share of each of the steps 0 … count - 1 that events cover: a column for each name that occurs more than once in
/// them, the most frequent first, and a last one for all others.
/// @param most columns, at least 1
/// @error kInvalid the calendar has times and the series step numbers, or the reverse
Result<KnownColumns> event_columns(const Calendar& calendar, TimeKind kind, const Steps& steps, std::size_t count,
                                   std::size_t most = 8);

}  // namespace umbra::forecast
