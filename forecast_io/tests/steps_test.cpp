#include "forecast_io/steps.hpp"

#include <gmock/gmock.h>

namespace umbra::forecast {
namespace {

constexpr UnixMillis kDay = 86'400'000;

// Days since 1970, as `date -u -d … +%s` / 86400 gives them.
constexpr UnixMillis k20240131 = 19'753 * kDay;
constexpr UnixMillis k20240229 = 19'782 * kDay;
constexpr UnixMillis k20240331 = 19'813 * kDay;
constexpr UnixMillis k20250228 = 20'147 * kDay;

TEST(Steps, OfOneLengthReachIntoThePast) {
  const Steps steps(1000, Milliseconds(300));
  EXPECT_EQ(steps.at(2), 1600);
  EXPECT_EQ(steps.index(1599), 1);
  EXPECT_EQ(steps.index(1600), 2);
  EXPECT_EQ(steps.index(999), -1);
  EXPECT_EQ(steps.index(700), -1);
  EXPECT_EQ(steps.index(699), -2);
}

TEST(Steps, OfMonthsBeginOnTheSameDayOrOnTheLast) {
  const auto ends = Steps::of_months(k20240131, 1, 31);
  EXPECT_EQ(ends.at(1), k20240229);
  EXPECT_EQ(ends.at(2), k20240331);
  EXPECT_EQ(ends.at(13), k20250228);
  for (std::int64_t i = -30; i < 30; ++i) {
    EXPECT_EQ(ends.index(ends.at(i)), i);
    EXPECT_EQ(ends.index(ends.at(i) - 1), i - 1);
  }
  EXPECT_EQ(Steps::of_months(k20240229, 12, 29).at(1), k20250228) << "no 29 February: the last day";
  EXPECT_EQ(ends.length().count(), 2'629'746'000) << "a twelfth of 365.2425 days";
}

}  // namespace
}  // namespace umbra::forecast
