#include "cli/output/ticks.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>

namespace umbra::cli {
namespace {

using namespace std::chrono_literals;

/// The least of 1, 2 or 5 times a power of ten that is not below `least`.
double round_step(double least) {
  const auto power = std::pow(10, std::floor(std::log10(least)));
  for (const auto factor : {1.0, 2.0, 5.0})
    if (factor * power >= least * (1 - 1e-9)) return factor * power;
  return 10 * power;
}

std::string with_commas(std::string digits) {
  const auto point = std::min(digits.find('.'), digits.size());
  for (auto place = point; place > 3; place -= 3) digits.insert(place - 3, ",");
  return digits;
}

/// How the numbers of an axis are written: all with the same suffix and as many decimals.
class Notation {
 public:
  /// @param largest magnitude to be written @param step between neighbours
  Notation(double largest, double step) {
    constexpr double kPlainBelow = 1e6, kPlainFrom = 1e-3;
    if (largest >= kPlainBelow || largest < kPlainFrom)
      power_ = largest > 0 ? static_cast<int>(std::floor(std::log10(largest * (1 + 1e-9)) / 3)) * 3 : 0;
    const auto decimals = [&] { return static_cast<int>(std::max(0.0, std::ceil(power_ - std::log10(step) - 1e-9))); };
    while (power_ > 0 && decimals() > 3) power_ -= 3;  // small changes of large numbers
    if (power_ == 3) power_ = 0;                       // "1,000,000.001 k" is no shorter
    decimals_ = decimals();
    scientific_ = power_ > 15 || power_ < -9;
  }

  std::string write(double value) const {
    if (scientific_) return fmt::format("{:.4g}", value);
    if (value == 0 && power_ != 0) return "0";
    auto text = with_commas(fmt::format("{:.{}f}", std::abs(value) / std::pow(10, power_), decimals_));
    if (value < 0 && text.find_first_not_of("0.,") != std::string::npos) text.insert(0, "−");
    return text + suffix();
  }

  /// Without the zeros that a number alone does not need.
  std::string write_short(double value) const {
    auto text = write(value);
    if (scientific_ || decimals_ == 0) return text;
    text.resize(text.size() - suffix().size());
    text.resize(text.find_last_not_of('0') + 1);
    if (text.ends_with('.')) text.pop_back();
    return text + suffix();
  }

 private:
  std::string suffix() const {
    constexpr std::array kSuffixes{" n", " µ", " m", "", " k", " M", " G", " T", " P"};
    const int place = power_ / 3 + 3;
    return kSuffixes.at(static_cast<std::size_t>(place));
  }

  int power_ = 0, decimals_ = 0;
  bool scientific_ = false;
};

std::vector<Tick> multiples(double step, double low, double high) {
  const Notation notation(std::max(std::abs(low), std::abs(high)), step);
  std::vector<Tick> ticks;
  const auto slack = 1e-9;  // of a step: a bound that is a multiple but for rounding counts
  for (auto count = std::ceil(low / step - slack); count <= high / step + slack; ++count)
    ticks.push_back({count * step, notation.write(count * step), {}});
  return ticks;
}

enum class Pace : std::uint8_t { kMillis, kSeconds, kMinutes, kDays, kWeeks, kMonths, kYears };
struct Interval {
  Pace pace;
  Milliseconds length;  // of months and years about
  int months = 0;
};

constexpr Interval months(int count) {
  return {count < 12 ? Pace::kMonths : Pace::kYears, std::chrono::milliseconds(count * 2'629'746'000LL), count};
}
constexpr std::array kIntervals{
    Interval{Pace::kMillis, 1ms},
    Interval{Pace::kMillis, 2ms},
    Interval{Pace::kMillis, 5ms},
    Interval{Pace::kMillis, 10ms},
    Interval{Pace::kMillis, 20ms},
    Interval{Pace::kMillis, 50ms},
    Interval{Pace::kMillis, 100ms},
    Interval{Pace::kMillis, 200ms},
    Interval{Pace::kMillis, 500ms},
    Interval{Pace::kSeconds, 1s},
    Interval{Pace::kSeconds, 2s},
    Interval{Pace::kSeconds, 5s},
    Interval{Pace::kSeconds, 10s},
    Interval{Pace::kSeconds, 15s},
    Interval{Pace::kSeconds, 30s},
    Interval{Pace::kMinutes, 1min},
    Interval{Pace::kMinutes, 2min},
    Interval{Pace::kMinutes, 5min},
    Interval{Pace::kMinutes, 10min},
    Interval{Pace::kMinutes, 15min},
    Interval{Pace::kMinutes, 30min},
    Interval{Pace::kMinutes, 1h},
    Interval{Pace::kMinutes, 2h},
    Interval{Pace::kMinutes, 3h},
    Interval{Pace::kMinutes, 6h},
    Interval{Pace::kMinutes, 12h},
    Interval{Pace::kDays, 24h},
    Interval{Pace::kDays, 48h},
    Interval{Pace::kWeeks, 7 * 24h},
    Interval{Pace::kWeeks, 14 * 24h},
    months(1),
    months(2),
    months(3),
    months(6),
    months(12),
    months(24),
    months(60),
    months(120),
    months(240),
    months(600),
    months(1200),
    months(2400),
    months(6000),
    months(12000),
};

constexpr std::array kMonthNames{"January", "February", "March",     "April",   "May",      "June",
                                 "July",    "August",   "September", "October", "November", "December"};
constexpr std::array kDayNames{"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};

struct Moment {
  explicit Moment(UnixMillis at) {
    const std::chrono::sys_time<std::chrono::milliseconds> time{std::chrono::milliseconds(at)};
    const auto midnight = std::chrono::floor<std::chrono::days>(time);
    const std::chrono::year_month_day date(midnight);
    year = static_cast<int>(date.year());
    month = static_cast<unsigned>(date.month());
    day = static_cast<unsigned>(date.day());
    weekday = kDayNames.at(std::chrono::weekday(midnight).c_encoding());
    clock = std::chrono::hh_mm_ss(time - midnight);
  }
  std::string_view month_name() const { return kMonthNames.at(month - 1); }
  std::string_view short_month() const { return month_name().substr(0, 3); }

  int year = 0;
  unsigned month = 1, day = 1;
  std::string_view weekday;
  std::chrono::hh_mm_ss<std::chrono::milliseconds> clock;
};

std::string label_of(Pace pace, const Moment& moment) {
  const auto hours = moment.clock.hours().count();
  const auto minutes = moment.clock.minutes().count(), seconds = moment.clock.seconds().count();
  switch (pace) {
    case Pace::kMillis:
      return fmt::format("{:02}:{:02}:{:02}.{:03}", hours, minutes, seconds, moment.clock.subseconds().count());
    case Pace::kSeconds:
      return fmt::format("{:02}:{:02}:{:02}", hours, minutes, seconds);
    case Pace::kMinutes:
      return fmt::format("{:02}:{:02}", hours, minutes);
    case Pace::kDays:
      return fmt::format("{} {}", moment.weekday, moment.day);
    case Pace::kWeeks:
      return fmt::format("{} {}", moment.day, moment.short_month());
    case Pace::kMonths:
      return std::string(moment.short_month());
    case Pace::kYears:
      return fmt::format("{}", moment.year);
  }
  return "";
}

std::string context_of(Pace pace, const Moment& moment) {
  switch (pace) {
    case Pace::kMillis:
    case Pace::kSeconds:
    case Pace::kMinutes:
      return fmt::format("{} {} {} {}", moment.weekday, moment.day, moment.short_month(), moment.year);
    case Pace::kDays:
      return fmt::format("{} {}", moment.month_name(), moment.year);
    case Pace::kWeeks:
    case Pace::kMonths:
      return fmt::format("{}", moment.year);
    case Pace::kYears:
      return "";
  }
  return "";
}

UnixMillis month_begin(std::int64_t months_since_0) {
  const std::chrono::year_month_day date{std::chrono::year(static_cast<int>(months_since_0 / 12)),
                                         std::chrono::month(static_cast<unsigned>(months_since_0 % 12 + 1)),
                                         std::chrono::day(1)};
  return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::sys_days(date).time_since_epoch()).count();
}

std::int64_t ceil_to(std::int64_t value, std::int64_t unit, std::int64_t origin) {
  const auto over = ((value - origin) % unit + unit) % unit;
  return over == 0 ? value : value - over + unit;
}

std::vector<UnixMillis> times_of(const Interval& interval, UnixMillis from, UnixMillis to, std::size_t enough) {
  constexpr UnixMillis kMonday = 4 * 86'400'000LL;  // 5 January 1970
  std::vector<UnixMillis> times;
  if (interval.months == 0) {
    const auto length = interval.length.count();
    const auto origin = interval.pace == Pace::kWeeks ? kMonday : 0;
    for (auto at = ceil_to(from, length, origin); at <= to && times.size() < enough; at += length) times.push_back(at);
  } else {
    const Moment first(from);
    auto month = ceil_to(first.year * 12LL + first.month - 1, interval.months, 0);
    if (month_begin(month) < from) month += interval.months;
    for (; month_begin(month) <= to && times.size() < enough; month += interval.months)
      times.push_back(month_begin(month));
  }
  return times;
}

}  // namespace

std::vector<Tick> value_ticks(double low, double high, std::size_t most) {
  if (!(high > low)) return {};
  return multiples(round_step((high - low) / static_cast<double>(most)), low, high);
}

std::vector<Tick> step_ticks(std::int64_t from, std::int64_t to, std::size_t most) {
  const auto low = static_cast<double>(from), high = static_cast<double>(to);
  const auto step = std::max(1.0, round_step(std::max(1.0, high - low) / static_cast<double>(most)));
  return multiples(step, low, high);
}

std::vector<Tick> time_ticks(UnixMillis from, UnixMillis to, std::size_t most) {
  for (const auto& interval : kIntervals) {
    const auto times = times_of(interval, from, to, most + 1);
    if (times.size() > most && &interval != &kIntervals.back()) continue;
    std::vector<Tick> ticks;
    std::string before;
    for (const auto at : times) {
      const Moment moment(at);
      auto context = context_of(interval.pace, moment);
      ticks.push_back({static_cast<double>(at), label_of(interval.pace, moment), context == before ? "" : context});
      before = std::move(context);
    }
    return ticks;
  }
  return {};
}

std::string value_text(double value) {
  if (value == 0) return "0";
  const auto size = std::abs(value);
  return Notation(size, std::pow(10, std::floor(std::log10(size)) - 3)).write_short(value);
}

}  // namespace umbra::cli
