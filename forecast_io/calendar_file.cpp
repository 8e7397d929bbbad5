#include "forecast_io/calendar_file.hpp"

#include <algorithm>
#include <array>

#include "base/times.hpp"
#include "forecast_io/icalendar.hpp"

namespace umbra::forecast {
namespace {

constexpr std::size_t kLongestLine = 65'535;
constexpr std::string_view kHeading =
    "a calendar is iCalendar, which begins with BEGIN:VCALENDAR, or CSV whose first line is name,start,end";

/// Reads the CSV form; `lines` has given the heading.
class EventRows {
 public:
  EventRows(CsvLines& lines, const CalendarWindow& window) : lines_(lines), window_(window) {}

  Result<Calendar> read(std::string_view heading_line) {
    UMBRA_CHECK(heading(heading_line));
    while (true) {
      UMBRA_TRY(const bool found, lines_.next(fields_));
      if (!found) break;
      UMBRA_CHECK(row());
    }
    auto& calendar = calendar_;
    if (rows_ > 0) {
      UMBRA_TRY(calendar.kind, stamps_.kind(lines_.name()));
    } else {
      calendar.kind = TimeKind::kIso;
    }
    const auto scale = StampReader::scale(calendar.kind);
    for (auto& event : calendar.events) {
      event.start /= scale;
      event.end /= scale;
    }
    std::erase_if(calendar.events,
                  [&](const Event& event) { return event.end < window_.from || event.start >= window_.to; });
    return std::move(calendar);
  }

 private:
  Result<void> heading(std::string_view line) {
    if (auto split = split_csv(line, fields_); !split)
      return fail(lines_.error(split.error().message, std::string(kHeading)));
    constexpr std::array<std::string_view, 3> kNames{"name", "start", "end"};
    for (std::size_t i = 0; i < kNames.size(); ++i) {
      const auto found = std::find(fields_.begin(), fields_.end(), kNames[i]);
      if (fields_.size() != kNames.size() || found == fields_.end())
        return fail(
            lines_.error(fmt::format("'{}' is not how a calendar begins", excerpt(line)), std::string(kHeading)));
      places_[i] = static_cast<std::size_t>(found - fields_.begin());
    }
    return {};
  }

  Result<void> row() {
    if (fields_.size() != places_.size())
      return fail(lines_.error(fmt::format("{} columns instead of {}", fields_.size(), places_.size()),
                               "a line holds name,start,end"));
    const auto& name = fields_[places_[0]];
    const auto &start_text = fields_[places_[1]], &end_text = fields_[places_[2]];
    if (name.empty()) return fail(lines_.error("the event has no name", "name it, alike wherever it recurs"));
    UMBRA_TRY(const auto start, time(start_text));
    constexpr std::size_t kDateOnly = 10;
    const bool whole_day = start_text.size() == kDateOnly && start_text[4] == '-' && start_text[7] == '-' &&
                           (end_text.empty() || end_text == start_text);
    if (end_text.empty() && !whole_day)
      return fail(lines_.error("the event has no end", "give one; only a date alone means that whole day"));
    UMBRA_TRY(const auto end, whole_day ? next_day(start_text) : time(end_text));
    if (end < start) return fail(lines_.error("the event ends before it begins", "exchange start and end"));
    ++rows_;
    if (calendar_.events.size() == kMostEvents)
      return fail(lines_.error(fmt::format("more than {} events", kMostEvents), "leave events out"));
    calendar_.events.push_back({name, start, end});
    return {};
  }

  Result<std::int64_t> time(std::string_view text) {
    UMBRA_TRY(const auto at, stamps_.read(lines_, text));
    const auto iso = parse_iso8601(text);
    return iso && !iso->zoned ? in_zone(at) : at;
  }

  Result<std::int64_t> next_day(std::string_view date) const {
    constexpr Milliseconds kDay = std::chrono::days(1);
    UMBRA_TRY(const auto iso, parse_iso8601(date));
    return in_zone(iso.at + kDay.count());
  }

  std::int64_t in_zone(std::int64_t local_ms) const {
    const auto local = floor_div(local_ms, 1000);
    return window_.zone.to_utc(local) * 1000 + (local_ms - local * 1000);
  }

  CsvLines& lines_;
  const CalendarWindow& window_;
  std::array<std::size_t, 3> places_{};
  StampReader stamps_;
  std::vector<std::string> fields_;
  std::uint64_t rows_ = 0;
  Calendar calendar_;
};

bool begins_icalendar(std::string_view line) {
  constexpr std::string_view kBegin = "BEGIN:VCALENDAR";
  return std::equal(line.begin(), line.end(), kBegin.begin(), kBegin.end(),
                    [](char a, char b) { return a == b || (a >= 'a' && a <= 'z' && a - 'a' + 'A' == b); });
}

}  // namespace

Result<Calendar> read_calendar(std::istream& in, const std::string& name, const CalendarWindow& window) {
  CsvLines lines(in, name, kLongestLine);
  std::optional<std::string_view> first;
  do {
    UMBRA_TRY(first, lines.next_line());
    if (!first) return fail({Errc::kInvalid, fmt::format("{}: the file is empty", name), std::string(kHeading)});
  } while (trimmed(*first).empty());
  const std::string line(trimmed(*first));
  ContentLines contents(lines, line);
  UMBRA_TRY(auto calendar,
            begins_icalendar(line) ? read_icalendar(contents, window) : EventRows(lines, window).read(line));
  calendar.file = name;
  std::sort(calendar.events.begin(), calendar.events.end(), [](const Event& a, const Event& b) {
    return std::tie(a.start, a.name, a.end) < std::tie(b.start, b.name, b.end);
  });
  const auto none = std::count_if(calendar.events.begin(), calendar.events.end(),
                                  [](const Event& event) { return event.start == event.end; });
  if (none > 0)
    calendar.notices.push_back(
        fmt::format("{}: {} events last no time and change nothing: give them an end", name, none));
  if (calendar.events.empty())
    calendar.notices.push_back(fmt::format("{}: no event from {} to {}", name, written(window.from, calendar.kind),
                                           written(window.to, calendar.kind)));
  return calendar;
}

}  // namespace umbra::forecast
