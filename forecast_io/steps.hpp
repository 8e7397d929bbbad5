/// The evenly spaced steps that a series' values stand for.
#pragma once

#include <cstdint>

#include "base/clock.hpp"

namespace umbra::forecast {

/// Step `index` begins at at(index) and ends where the next begins. Steps of whole calendar months, which differ in
/// length, begin on the same day of each month, or on its last day where it is shorter.
class Steps {
 public:
  static constexpr double kDaysPerMonth = 30.436875;  ///< of the Gregorian calendar's 400 years

  Steps() = default;
  /// @param length at least 1 ms
  Steps(UnixMillis start, Milliseconds length) : start_(start), length_(length) {}
  /// @param months in a step, at least 1
  /// @param day of the month that steps begin on, from 1; 31 means the month's last
  static Steps of_months(UnixMillis start, int months, unsigned day);

  UnixMillis at(std::int64_t index) const;
  /// The step that a time falls into; negative before the start.
  std::int64_t index(UnixMillis time) const;

  UnixMillis start() const { return start_; }
  Milliseconds length() const { return length_; }  ///< the mean length for months
  int months() const { return months_; }           ///< 0: steps are of one length

 private:
  UnixMillis start_ = 0;
  Milliseconds length_{1};
  int months_ = 0;
  unsigned day_ = 1;
};

/// Months since January of the year 0 and the place within that month, in UTC.
struct MonthPlace {
  std::int64_t month = 0;
  unsigned day = 1;            ///< from 1
  Milliseconds time_of_day{};  ///< less than a day
  bool last_day = false;       ///< of its month
};
MonthPlace month_place(UnixMillis time);

/// Floored, unlike `/`.
constexpr std::int64_t floor_div(std::int64_t a, std::int64_t b) {
  return a / b - static_cast<std::int64_t>(a % b != 0 && (a < 0) != (b < 0));
}

}  // namespace umbra::forecast
