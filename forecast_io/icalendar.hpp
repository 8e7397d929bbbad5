/// iCalendar (RFC 5545), the part of it that says when something happens.
#pragma once

#include "base/csv.hpp"
#include "forecast_io/calendar_file.hpp"

namespace umbra::forecast {

/// A line of a calendar, unfolded (RFC 5545, 3.1).
struct ContentLine {
  std::uint64_t line = 0;  ///< where it begins
  std::string name;        ///< in capitals
  std::vector<std::pair<std::string, std::string>> parameters;
  std::string value;

  std::string_view parameter(std::string_view wanted) const;
};

class ContentLines {
 public:
  /// @param lines outlives the reader
  /// @param first the line that `lines` gave last
  ContentLines(CsvLines& lines, std::string_view first) : lines_(lines), ahead_(first), ahead_line_(lines.line()) {}

  /// Nothing at the end. @error kInvalid "file:line: cause"
  Result<std::optional<ContentLine>> next();

  Error error(std::uint64_t line, std::string_view cause, std::string remedy, Errc code = Errc::kInvalid) const;

 private:
  Result<std::optional<std::string>> unfold(std::uint64_t& line);

  CsvLines& lines_;
  std::optional<std::string> ahead_;
  std::uint64_t ahead_line_ = 0;
};

/// The events of a calendar in a window, in no order, with what was noticed. Errors as read_calendar().
Result<Calendar> read_icalendar(ContentLines& lines, const CalendarWindow& window);

}  // namespace umbra::forecast
