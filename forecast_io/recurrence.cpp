#include "forecast_io/recurrence.hpp"

#include <algorithm>
#include <array>
#include <charconv>

#include "forecast_io/stamps.hpp"
#include "forecast_io/steps.hpp"

namespace umbra::forecast {
namespace {

namespace chrono = std::chrono;
using chrono::sys_days;
using Frequency = Recurrence::Frequency;

constexpr int kLastYear = 9999;
constexpr std::array<std::string_view, 4> kFrequencies{"DAILY", "WEEKLY", "MONTHLY", "YEARLY"};
constexpr std::array<int, 4> kLongestPeriod{1, 7, 31, 366};  // days, by frequency
constexpr std::array<std::string_view, 7> kWeekdays{"SU", "MO", "TU", "WE", "TH", "FR", "SA"};

/// A whole number between the two, other than 0.
std::optional<int> parse_int(std::string_view text, int least, int most) {
  if (text.starts_with('+')) text.remove_prefix(1);
  int value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || value < least || value > most || value == 0)
    return std::nullopt;
  return value;
}

std::optional<chrono::weekday> parse_weekday(std::string_view text) {
  const auto found = std::find(kWeekdays.begin(), kWeekdays.end(), text);
  if (found == kWeekdays.end()) return std::nullopt;
  return chrono::weekday(static_cast<unsigned>(found - kWeekdays.begin()));
}

std::optional<Recurrence::Weekday> parse_by_day(std::string_view text) {
  constexpr int kMostWeeks = 53;
  if (text.size() < 2) return std::nullopt;
  const auto day = parse_weekday(text.substr(text.size() - 2));
  text.remove_suffix(2);
  const auto ordinal = text.empty() ? 0 : parse_int(text, -kMostWeeks, kMostWeeks);
  if (!day || !ordinal) return std::nullopt;
  return Recurrence::Weekday{*ordinal, *day};
}

tl::unexpected<Error> refuse(std::string_view name, std::string_view value) {
  return fail(Errc::kInvalid, "RRULE: {} cannot be '{}'", name, excerpt(value));
}

/// Fills `list` from "a,b,c".
template <class T, class Parse>
Result<void> parse_list(std::string_view name, std::string_view text, std::vector<T>& list, Parse parse) {
  while (true) {
    const auto comma = text.find(',');
    const auto item = parse(text.substr(0, comma));
    if (!item) return refuse(name, text.substr(0, comma));
    list.push_back(*item);
    if (comma == std::string_view::npos) return {};
    text.remove_prefix(comma + 1);
  }
}

/// The first day of the period `index` after that of `start`; nothing after the last year.
std::optional<sys_days> period_begin(const Recurrence& rule, sys_days start, std::int64_t index) {
  const chrono::year_month_day date(start);
  index *= rule.interval;
  switch (rule.frequency) {
    case Frequency::kDaily:
      return start + chrono::days(index);
    case Frequency::kWeekly:
      return start - (chrono::weekday(start) - rule.week_start) + chrono::weeks(index);
    case Frequency::kMonthly: {
      constexpr int kMonths = 12;
      const auto month = month_place(start.time_since_epoch() / Milliseconds(1)).month + index;
      if (month / kMonths > kLastYear) return std::nullopt;
      return chrono::year(static_cast<int>(month / kMonths)) / (static_cast<int>(month % kMonths) + 1) / 1;
    }
    case Frequency::kYearly:
      if (static_cast<int>(date.year()) + index > kLastYear) return std::nullopt;
      return (date.year() + chrono::years(index)) / 1 / 1;
  }
  return std::nullopt;
}

sys_days period_end(const Recurrence& rule, sys_days begin) {
  const chrono::year_month_day date(begin);
  switch (rule.frequency) {
    case Frequency::kDaily:
      return begin + chrono::days(1);
    case Frequency::kWeekly:
      return begin + chrono::weeks(1);
    case Frequency::kMonthly:
      return sys_days(date + chrono::months(1));
    case Frequency::kYearly:
      return sys_days(date + chrono::years(1));
  }
  return begin;
}

/// Is `day` the n-th of its weekday in [first, last]?
bool is_nth(sys_days day, sys_days first, sys_days last, int n) {
  return n > 0 ? (day - first).count() / 7 == n - 1 : (last - day).count() / 7 == -n - 1;
}

}  // namespace

std::optional<CalendarTime> parse_calendar_time(std::string_view text) {
  constexpr std::size_t kDate = 8, kDateTime = 15;
  CalendarTime time;
  if (text.size() == kDateTime + 1 && text.back() == 'Z') {
    time.utc = true;
    text.remove_suffix(1);
  }
  time.date_only = text.size() == kDate && !time.utc;
  if (!time.date_only && (text.size() != kDateTime || text[kDate] != 'T')) return std::nullopt;
  for (std::size_t i = 0; i < text.size(); ++i)
    if (i != kDate && (text[i] < '0' || text[i] > '9')) return std::nullopt;
  const auto number = [&](std::size_t at, std::size_t digits) {
    int value = 0;
    for (const char c : text.substr(at, digits)) value = value * 10 + (c - '0');
    return value;
  };
  const chrono::year_month_day date{chrono::year(number(0, 4)), chrono::month(static_cast<unsigned>(number(4, 2))),
                                    chrono::day(static_cast<unsigned>(number(6, 2)))};
  if (!date.ok()) return std::nullopt;
  time.day = date;
  if (time.date_only) return time;
  const int hour = number(9, 2), minute = number(11, 2), second = number(13, 2);
  if (hour > 23 || minute > 59 || second > 60) return std::nullopt;  // 60: leap second
  time.time_of_day = chrono::hours(hour) + chrono::minutes(minute) + chrono::seconds(second);
  return time;
}

Result<Recurrence> Recurrence::parse(std::string_view text) {
  Recurrence rule;
  std::vector<std::string_view> seen;
  while (true) {
    const auto part = text.substr(0, text.find(';'));
    const auto equals = part.find('=');
    if (equals == std::string_view::npos)
      return fail(Errc::kInvalid, "RRULE: '{}' is not like NAME=VALUE", excerpt(part));
    const auto name = part.substr(0, equals);
    if (std::find(seen.begin(), seen.end(), name) != seen.end())
      return fail(Errc::kInvalid, "RRULE: a second {}", excerpt(name));
    seen.push_back(name);
    UMBRA_CHECK(rule.set(name, part.substr(equals + 1)));
    if (part.size() == text.size()) break;
    text.remove_prefix(part.size() + 1);
  }
  if (std::find(seen.begin(), seen.end(), "FREQ") == seen.end()) return fail(Errc::kInvalid, "RRULE: FREQ is missing");
  UMBRA_CHECK(rule.check());
  return rule;
}

Result<void> Recurrence::set(std::string_view name, std::string_view value) {
  constexpr int kMostInterval = 100'000, kMostCount = 1'000'000'000;
  if (name == "FREQ") {
    const auto found = std::find(kFrequencies.begin(), kFrequencies.end(), value);
    if (found == kFrequencies.end()) return fail(Errc::kUnsupported, "RRULE: FREQ={} is not supported", excerpt(value));
    frequency = static_cast<Frequency>(found - kFrequencies.begin());
  } else if (name == "INTERVAL") {
    const auto number = parse_int(value, 1, kMostInterval);
    if (!number) return refuse(name, value);
    interval = *number;
  } else if (name == "COUNT") {
    const auto number = parse_int(value, 1, kMostCount);
    if (!number) return refuse(name, value);
    count = *number;
  } else if (name == "UNTIL") {
    until = parse_calendar_time(value);
    if (!until) return refuse(name, value);
  } else if (name == "WKST") {
    const auto day = parse_weekday(value);
    if (!day) return refuse(name, value);
    week_start = *day;
  } else if (name == "BYDAY") {
    return parse_list(name, value, by_day, parse_by_day);
  } else if (name == "BYMONTHDAY") {
    return parse_list(name, value, by_month_day, [](std::string_view item) { return parse_int(item, -31, 31); });
  } else if (name == "BYMONTH") {
    return parse_list(name, value, by_month, [](std::string_view item) { return parse_int(item, 1, 12); });
  } else {
    return fail(Errc::kUnsupported, "RRULE: {} is not supported", excerpt(name));
  }
  return {};
}

/// What RFC 5545 forbids.
Result<void> Recurrence::check() const {
  const bool by_months = frequency == Frequency::kMonthly || frequency == Frequency::kYearly;
  if (!by_months && std::any_of(by_day.begin(), by_day.end(), [](const Weekday& day) { return day.ordinal != 0; }))
    return fail(Errc::kInvalid, "RRULE: BYDAY has numbers, which only months and years allow");
  if (frequency == Frequency::kWeekly && !by_month_day.empty())
    return fail(Errc::kInvalid, "RRULE: a week has no BYMONTHDAY");
  if (count && until) return fail(Errc::kInvalid, "RRULE: COUNT and UNTIL exclude each other");
  return {};
}

Recurrence Recurrence::completed(sys_days start) const {
  auto rule = *this;
  const chrono::year_month_day date(start);
  if (!by_day.empty() || !by_month_day.empty()) return rule;
  if (frequency == Frequency::kWeekly) rule.by_day.push_back({0, chrono::weekday(start)});
  if (frequency == Frequency::kMonthly || frequency == Frequency::kYearly)
    rule.by_month_day.push_back(static_cast<int>(static_cast<unsigned>(date.day())));
  if (frequency == Frequency::kYearly && by_month.empty())
    rule.by_month.push_back(static_cast<int>(static_cast<unsigned>(date.month())));
  return rule;
}

bool Recurrence::matches(sys_days day) const {
  const chrono::year_month_day date(day);
  const sys_days month_end = date.year() / date.month() / chrono::last;
  const auto number = static_cast<int>(static_cast<unsigned>(date.day()));
  const auto from_end = static_cast<int>((day - month_end).count()) - 1;
  const auto holds = [](const std::vector<int>& list, auto test) {
    return list.empty() || std::any_of(list.begin(), list.end(), test);
  };
  if (!holds(by_month, [&](int month) { return month == static_cast<int>(static_cast<unsigned>(date.month())); }))
    return false;
  if (!holds(by_month_day, [&](int wanted) { return wanted == number || wanted == from_end; })) return false;
  if (by_day.empty()) return true;
  const bool in_year = frequency == Frequency::kYearly && by_month.empty();
  const sys_days first = in_year ? date.year() / 1 / 1 : date.year() / date.month() / 1;
  const sys_days last = in_year ? sys_days(date.year() / 12 / 31) : month_end;
  return std::any_of(by_day.begin(), by_day.end(), [&](const Weekday& wanted) {
    return chrono::weekday(day) == wanted.day && (wanted.ordinal == 0 || is_nth(day, first, last, wanted.ordinal));
  });
}

void Recurrence::each(sys_days start, sys_days from, sys_days to, const std::function<bool(sys_days)>& visit) const {
  const auto rule = completed(start);
  const std::int64_t longest = kLongestPeriod[static_cast<std::size_t>(frequency)] * std::int64_t{interval};
  std::int64_t index = count ? 0 : std::max<std::int64_t>(0, (from - start).count() / longest - 1);
  for (;; ++index) {
    const auto begin = period_begin(rule, start, index);
    if (!begin || *begin > to) return;
    for (auto day = std::max(*begin, start), end = period_end(rule, *begin); day < end && day <= to;
         day += chrono::days(1))
      if (rule.matches(day) && !visit(day)) return;
  }
}

}  // namespace umbra::forecast
