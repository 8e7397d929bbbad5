#include "forecast_io/icalendar.hpp"

#include <algorithm>
#include <charconv>
#include <limits>
#include <map>
#include <set>

#include "forecast_io/recurrence.hpp"

namespace umbra::forecast {
namespace {

namespace chrono = std::chrono;
using std::chrono::seconds;

/// A time and the zone it is in.
struct Zoned {
  CalendarTime time;
  const TimeZone* zone = nullptr;
  bool floating = false;

  /// The same time of day on another day.
  seconds utc_on(chrono::sys_days day) const {
    return seconds(zone->to_utc((day.time_since_epoch() + time.time_of_day).count()));
  }
  seconds utc() const { return utc_on(time.day); }
};

/// How long an event lasts: days on the calendar, then exact time (RFC 5545, 3.3.6).
struct Length {
  chrono::days days{};
  seconds exact{};
};

/// A VEVENT as far as it has been read.
struct Draft {
  std::uint64_t line = 0;
  std::string uid, summary;
  std::optional<Zoned> start, end;
  std::optional<Length> length;
  std::optional<Recurrence> rule;
  std::uint64_t rule_line = 0;
  std::optional<Zoned> replaces;            ///< RECURRENCE-ID
  std::set<seconds> without;                ///< EXDATE, in UTC
  std::set<chrono::sys_days> without_days;  ///< … and whole days
  bool cancelled = false;
};

/// [+]P[nW] or P[nD][T[nH][nM][nS]] (RFC 5545, 3.3.6); nothing if it is none.
std::optional<Length> parse_length(std::string_view text) {
  constexpr std::int64_t kMost = 100'000'000;
  Length length;
  if (text.starts_with('+')) text.remove_prefix(1);
  if (!text.starts_with('P') || text.size() < 3) return std::nullopt;
  text.remove_prefix(1);
  bool time = false;
  while (!text.empty()) {
    if (!time && text.starts_with('T')) {
      time = true;
      text.remove_prefix(1);
    }
    std::int64_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc{} || end == text.data() + text.size() || number < 0 || number > kMost) return std::nullopt;
    const char unit = *end;
    text.remove_prefix(static_cast<std::size_t>(end - text.data()) + 1);
    if (!time && unit == 'W')
      length.days += chrono::weeks(number);
    else if (!time && unit == 'D')
      length.days += chrono::days(number);
    else if (time && unit == 'H')
      length.exact += chrono::hours(number);
    else if (time && unit == 'M')
      length.exact += chrono::minutes(number);
    else if (time && unit == 'S')
      length.exact += seconds(number);
    else
      return std::nullopt;
  }
  if (length.days > chrono::days(kMost) || length.exact > seconds(kMost * 3600)) return std::nullopt;
  return length;
}

/// Backslashes undone (RFC 5545, 3.3.11); a line break becomes a space.
std::string unescaped(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool escape = text[i] == '\\' && i + 1 < text.size();
    const char c = escape ? text[++i] : text[i];
    out += escape && (c == 'n' || c == 'N') ? ' ' : c;
  }
  return std::string(trimmed(out));
}

class CalendarReader {
 public:
  CalendarReader(ContentLines& lines, const CalendarWindow& window) : lines_(lines), window_(window) {}

  Result<Calendar> read() {
    std::vector<std::string> open;
    std::uint64_t last_line = 0;
    while (true) {
      UMBRA_TRY(const auto content, lines_.next());
      if (!content) break;
      last_line = content->line;
      UMBRA_CHECK(take(*content, open));
    }
    if (!open.empty())
      return fail(lines_.error(last_line, fmt::format("the file ends within {}", excerpt(open.back())),
                               "save the calendar again: its end is missing"));
    UMBRA_CHECK(expand_all());
    return std::move(calendar_);
  }

 private:
  Result<void> take(const ContentLine& content, std::vector<std::string>& open) {
    constexpr std::size_t kDeepest = 16;
    if (content.name == "BEGIN") {
      if (open.size() == kDeepest)
        return fail(lines_.error(content.line, "components within components without end", "is this a calendar?"));
      open.push_back(content.value);
      if (open.size() == 2 && content.value == "VEVENT") drafts_.emplace_back().line = content.line;
      return {};
    }
    if (content.name == "END") {
      if (open.empty() || open.back() != content.value)
        return fail(lines_.error(content.line, fmt::format("END:{} without its BEGIN", excerpt(content.value)),
                                 "save the calendar again: components are mixed up"));
      const bool event = open.size() == 2 && open.back() == "VEVENT";
      open.pop_back();
      return event ? finish(drafts_.back()) : Result<void>{};
    }
    // Alarms within an event have durations of their own.
    return open.size() == 2 && open.back() == "VEVENT" ? set(drafts_.back(), content) : Result<void>{};
  }

  Result<void> set(Draft& draft, const ContentLine& content) {
    const auto& name = content.name;
    if (name == "SUMMARY") {
      draft.summary = unescaped(content.value);
    } else if (name == "UID") {
      draft.uid = content.value;
    } else if (name == "STATUS") {
      draft.cancelled = content.value == "CANCELLED";
    } else if (name == "DTSTART") {
      return set_time(draft.start, content);
    } else if (name == "DTEND") {
      return set_time(draft.end, content);
    } else if (name == "RECURRENCE-ID") {
      if (!content.parameter("RANGE").empty())
        return fail(lines_.error(content.line, "RECURRENCE-ID with RANGE is not supported",
                                 "write the later events as an event of their own", Errc::kUnsupported));
      return set_time(draft.replaces, content);
    } else if (name == "DURATION") {
      draft.length = parse_length(content.value);
      if (!draft.length)
        return fail(lines_.error(content.line, fmt::format("'{}' is not a duration", excerpt(content.value)),
                                 "write it like PT1H30M or P2D"));
    } else if (name == "EXDATE") {
      return add_exceptions(draft, content);
    } else if (name == "RRULE") {
      return set_rule(draft, content);
    } else if (name == "RDATE" || name == "EXRULE") {
      return fail(lines_.error(content.line, name + " is not supported", "write these days as events of their own",
                               Errc::kUnsupported));
    }
    return {};
  }

  Result<void> set_rule(Draft& draft, const ContentLine& content) {
    if (draft.rule)
      return fail(lines_.error(content.line, "a second RRULE", "write it as an event of its own", Errc::kUnsupported));
    auto rule = Recurrence::parse(content.value);
    if (!rule)
      return fail(
          lines_.error(content.line, rule.error().message,
                       "known are FREQ=DAILY, WEEKLY, MONTHLY, YEARLY with INTERVAL, COUNT, UNTIL, WKST, BYDAY, "
                       "BYMONTHDAY, BYMONTH; write other events one by one",
                       rule.error().code));
    draft.rule = std::move(*rule);
    draft.rule_line = content.line;
    return {};
  }

  Result<void> set_time(std::optional<Zoned>& time, const ContentLine& content) {
    if (time) return fail(lines_.error(content.line, fmt::format("a second {}", content.name), "remove one"));
    UMBRA_TRY(time, parse_time(content, content.value));
    return {};
  }

  Result<Zoned> parse_time(const ContentLine& content, std::string_view text) {
    const auto time = parse_calendar_time(text);
    if (!time)
      return fail(lines_.error(content.line, fmt::format("{}: '{}' is not a time", content.name, excerpt(text)),
                               "write it like 20260501, 20260501T090000 or 20260501T090000Z"));
    if (time->utc) return Zoned{*time, &utc_};
    const auto name = content.parameter("TZID");
    if (name.empty() || time->date_only) return Zoned{*time, &window_.zone, true};
    auto known = zones_.find(name);
    if (known == zones_.end()) {
      auto zone = TimeZone::load(name);
      if (!zone)
        return fail(lines_.error(content.line, fmt::format("TZID '{}': {}", excerpt(name), zone.error().message),
                                 zone.error().remedy, zone.error().code));
      known = zones_.emplace(name, std::move(*zone)).first;
    }
    return Zoned{*time, &known->second};
  }

  Result<void> add_exceptions(Draft& draft, const ContentLine& content) {
    std::string_view rest = content.value;
    while (true) {
      const auto comma = rest.find(',');
      UMBRA_TRY(const auto time, parse_time(content, rest.substr(0, comma)));
      if (time.time.date_only)
        draft.without_days.insert(time.time.day);
      else
        draft.without.insert(time.utc());
      if (comma == std::string_view::npos) return {};
      rest.remove_prefix(comma + 1);
    }
  }

  /// At the end of a VEVENT: what lasts how long (RFC 5545, 3.6.1).
  Result<void> finish(Draft& draft) {
    if (!draft.start)
      return fail(lines_.error(draft.line, "an event without DTSTART", "say when it begins, or remove it"));
    if (draft.end && draft.length)
      return fail(lines_.error(draft.line, "an event with both DTEND and DURATION", "remove one"));
    const auto& start = *draft.start;
    if (draft.end) {
      const auto& end = *draft.end;
      if (end.time.date_only != start.time.date_only)
        return fail(lines_.error(draft.line, "one of DTSTART and DTEND is a date and the other has a time of day",
                                 "write both alike"));
      draft.length =
          start.time.date_only ? Length{end.time.day - start.time.day, {}} : Length{{}, end.utc() - start.utc()};
      if (draft.length->days.count() < 0 || draft.length->exact.count() < 0)
        return fail(lines_.error(draft.line, "an event that ends before it begins", "exchange DTSTART and DTEND"));
    } else if (!draft.length) {
      draft.length = start.time.date_only ? Length{chrono::days(1), {}} : Length{};
    }
    if (draft.summary.empty()) draft.summary = "event";
    return {};
  }

  Result<void> expand_all() {
    std::map<std::string, std::set<seconds>> replaced;
    for (const auto& draft : drafts_)
      if (draft.replaces) replaced[draft.uid].insert(draft.replaces->utc());
    for (auto& draft : drafts_) {
      if (draft.cancelled) continue;
      if (const auto found = replaced.find(draft.uid); !draft.replaces && found != replaced.end())
        draft.without.insert(found->second.begin(), found->second.end());
      UMBRA_CHECK(expand(draft));
    }
    return {};
  }

  Result<void> expand(const Draft& draft) {
    if (!draft.rule || draft.replaces) return add(draft, draft.start->time.day);
    const auto day_of = [](UnixMillis at) {
      return chrono::floor<chrono::days>(chrono::sys_time<Milliseconds>(Milliseconds(at)));
    };
    constexpr chrono::days kZones{2};  // local days and those of UTC are no further apart
    const auto from =
        day_of(window_.from) - kZones - draft.length->days - chrono::ceil<chrono::days>(draft.length->exact);
    const auto to = std::min(day_of(window_.to) + kZones, chrono::sys_days(chrono::year(9999) / 12 / 31));
    std::int64_t left = draft.rule->count.value_or(std::numeric_limits<std::int64_t>::max());
    Result<void> result;
    draft.rule->each(draft.start->time.day, from, to, [&](chrono::sys_days day) {
      if (is_over(draft, day)) return false;
      result = add(draft, day);
      return result && --left > 0;
    });
    return result;
  }

  /// Is the event of `day` after the rule's UNTIL?
  static bool is_over(const Draft& draft, chrono::sys_days day) {
    if (!draft.rule->until) return false;
    const auto& until = *draft.rule->until;
    if (until.date_only || draft.start->time.date_only) return day > until.day;
    const auto local = day.time_since_epoch() + draft.start->time.time_of_day;
    return until.utc ? draft.start->utc_on(day) > until.local() : local > until.local();
  }

  Result<void> add(const Draft& draft, chrono::sys_days day) {
    const auto& start = *draft.start;
    const auto begin = start.utc_on(day);
    if (draft.without.contains(begin) || draft.without_days.contains(day)) return {};
    const auto end = start.utc_on(day + draft.length->days) + draft.length->exact;
    const Milliseconds begin_ms(begin), end_ms(end);
    if (end_ms.count() < window_.from || begin_ms.count() >= window_.to) return {};
    if (calendar_.events.size() == kMostEvents)
      return fail(lines_.error(
          draft.rule ? draft.rule_line : draft.line,
          fmt::format("more than {} events from {} on", kMostEvents, written(window_.from, TimeKind::kIso)),
          "end the recurrence with UNTIL, or leave events out"));
    calendar_.events.push_back({draft.summary, begin_ms.count(), end_ms.count()});
    return {};
  }

  ContentLines& lines_;
  const CalendarWindow& window_;
  const TimeZone utc_;
  std::map<std::string, TimeZone, std::less<>> zones_;
  std::vector<Draft> drafts_;
  Calendar calendar_;
};

}  // namespace

Result<Calendar> read_icalendar(ContentLines& lines, const CalendarWindow& window) {
  return CalendarReader(lines, window).read();
}

}  // namespace umbra::forecast
