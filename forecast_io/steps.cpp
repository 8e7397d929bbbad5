#include "forecast_io/steps.hpp"

#include <chrono>

namespace umbra::forecast {
namespace {

namespace chrono = std::chrono;

constexpr std::int64_t kMonthsPerYear = 12;

/// A day that no month has means its last one.
UnixMillis in_month(std::int64_t month, unsigned day, Milliseconds time_of_day) {
  const auto year = floor_div(month, kMonthsPerYear);
  const chrono::year_month which{chrono::year(static_cast<int>(year)),
                                 chrono::month(static_cast<unsigned>(month - year * kMonthsPerYear) + 1)};
  const chrono::year_month_day_last last = which / chrono::last;
  const chrono::sys_days at = which / (day < static_cast<unsigned>(last.day()) ? chrono::day(day) : last.day());
  return Milliseconds(at.time_since_epoch()).count() + time_of_day.count();
}

}  // namespace

MonthPlace month_place(UnixMillis time) {
  const chrono::sys_time<Milliseconds> at{Milliseconds(time)};
  const auto midnight = chrono::floor<chrono::days>(at);
  const chrono::year_month_day date{midnight};
  const auto month = static_cast<unsigned>(date.month());
  return {static_cast<int>(date.year()) * kMonthsPerYear + month - 1, static_cast<unsigned>(date.day()), at - midnight,
          date.day() == (date.year() / date.month() / chrono::last).day()};
}

Steps Steps::of_months(UnixMillis start, int months, unsigned day) {
  Steps steps(start, Milliseconds(static_cast<std::int64_t>(months * kDaysPerMonth * 86'400'000)));
  steps.months_ = months;
  steps.day_ = day;
  return steps;
}

UnixMillis Steps::at(std::int64_t index) const {
  if (months_ == 0) return start_ + index * length_.count();
  const auto first = month_place(start_);
  return in_month(first.month + index * months_, day_, first.time_of_day);
}

std::int64_t Steps::index(UnixMillis time) const {
  if (months_ == 0) return floor_div(time - start_, length_.count());
  const auto guess = floor_div(month_place(time).month - month_place(start_).month, months_);
  return at(guess) > time ? guess - 1 : guess;
}

}  // namespace umbra::forecast
