#include "forecast/seasons.hpp"

#include <gmock/gmock.h>

#include <cmath>
#include <functional>
#include <limits>
#include <numbers>
#include <random>

#include "forecast/cycle_table.hpp"

namespace umbra::forecast {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::IsEmpty;

class Noise {
 public:
  explicit Noise(std::uint64_t seed) : random_(seed) {}
  double operator()() { return normal_(random_); }

 private:
  std::mt19937_64 random_;
  std::normal_distribution<double> normal_;
};

std::vector<double> series(std::size_t length, const std::function<double(std::size_t)>& value) {
  std::vector<double> out(length);
  for (std::size_t i = 0; i < length; ++i) out[i] = value(i);
  return out;
}

double wave(std::size_t step, std::size_t period) {
  return std::sin(2 * std::numbers::pi * static_cast<double>(step % period) / static_cast<double>(period));
}

/// Busy by day, and less so on two days of seven.
double office(std::size_t step, std::size_t day) {
  return (step / day % 7 < 5 ? 10.0 : 4.0) * (1 + wave(step, day));
}

TEST(CycleTable, IsAnFTestOfTheRowsLikeness) {
  // Rows (1 -1), (2 -2), (3 -3): squares are 28, around the mean row 4; each around the mean of the others, 9/4 times
  // that. One value of a row is independent, so F = 2 × 24 / 4 is t² with 2 degrees of freedom.
  const std::vector<double> sums{0, 1, 0, 2, 0, 3, 0};
  const CycleTable table(sums, 2);
  EXPECT_DOUBLE_EQ(table.explained(), 1 - 9.0 / 28);
  EXPECT_NEAR(table.chance(), 1 - std::sqrt(12.0 / (12 + 2)), 1e-12);
}

TEST(CycleTable, DoesNotSeeLevelsNorATrend) {
  // Rows 1 2 3, 4 5 6, 7 8 9 have nothing left.
  const std::vector<double> sums{0, 1, 3, 6, 10, 15, 21, 28, 36, 45};
  EXPECT_EQ(CycleTable(sums, 3).explained(), 0);
}

TEST(Seasons, AreFoundInNoiseWhateverTheirLength) {
  for (const std::size_t period : {2U, 3U, 7U, 17U, 24U, 100U, 144U, 331U}) {
    Noise noise(period);
    const auto values = series(
        1000, [&](std::size_t i) { return (period == 2 ? (i % 2 == 0 ? 1 : -1) : 1.5 * wave(i, period)) + noise(); });
    const auto found = find_seasons(values);
    ASSERT_EQ(found.size(), 1u) << period;
    // Over C cycles a length is known to about a quarter of its C-th part.
    EXPECT_NEAR(static_cast<double>(found[0]), static_cast<double>(period), static_cast<double>(period * period) / 4000)
        << period;
  }
}

TEST(Seasons, AWeekIsFoundBeyondTheDay) {
  for (const std::size_t day : {24U, 48U, 288U})
    for (const auto step : {Milliseconds(0), Milliseconds(24h) / static_cast<int>(day)}) {
      Noise noise(day);
      const auto values = series(28 * day, [&](std::size_t i) { return office(i, day) + noise(); });
      EXPECT_THAT(find_seasons(values, step), ElementsAre(day, 7 * day)) << step.count();
    }
}

TEST(Seasons, AWeekIsNotFoundWhereAllDaysAreAlike) {
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    Noise noise(seed);
    const auto values = series(42 * 24, [&](std::size_t i) { return 3 * wave(i, 24) + noise(); });
    EXPECT_THAT(find_seasons(values, 1h), ElementsAre(24)) << seed;
    EXPECT_THAT(find_seasons(values), ElementsAre(24)) << seed;
  }
}

TEST(Seasons, TwoPeaksADayAreADayAndNotAHalf) {
  Noise noise(1);
  const auto values = series(30 * 24, [&](std::size_t i) { return 5 * wave(i, 12) + 3 * wave(i, 24) + noise(); });
  EXPECT_THAT(find_seasons(values), ElementsAre(24));
}

TEST(Seasons, TwoThatHaveNothingToDoWithEachOtherAreBothFound) {
  Noise noise(1);
  const auto values =
      series(4000, [&](std::size_t i) { return (i % 17 == 0 ? 9.0 : 0.0) + 3 * wave(i, 288) + noise(); });
  EXPECT_THAT(find_seasons(values, 5min), ElementsAre(17, 288));
}

TEST(Seasons, AJobOfAQuarterOfAnHourADayIsFound) {
  Noise noise(1);
  const auto values = series(20 * 288, [&](std::size_t i) { return (i % 288 < 3 ? 60.0 : 5.0) + noise(); });
  EXPECT_THAT(find_seasons(values, 5min), ElementsAre(288));
}

TEST(Seasons, AreFoundDespiteTrendLevelShiftAndOutliers) {
  Noise noise(1);
  auto values = series(1000, [&](std::size_t i) {
    return 0.05 * static_cast<double>(i) + (i < 600 ? 0 : 20) + 3 * wave(i, 24) + noise();
  });
  values[100] = 1e6;
  values[731] = -1e11;
  EXPECT_THAT(find_seasons(values), ElementsAre(24));
}

TEST(Seasons, TheDayIsTakenWhereItDoesAsWell) {
  // The sun is off by a step and a half a day, which 10 days do not show.
  Noise noise(2);
  const auto values = series(2880, [&](std::size_t i) {
    return 3 * std::sin(2 * std::numbers::pi * static_cast<double>(i) / 289.5) + noise();
  });
  EXPECT_THAT(find_seasons(values, 5min), ElementsAre(288));
  EXPECT_THAT(find_seasons(values, 7min), testing::Not(testing::Contains(288)));
}

/// How many of `runs` series get a season, of 400 values that are each made of the last and of noise.
int found(int runs, const std::function<double(double last, double noise)>& next) {
  int count = 0;
  for (int run = 0; run < runs; ++run) {
    Noise noise(static_cast<std::uint64_t>(run));
    double last = 0;
    count += !find_seasons(series(400, [&](std::size_t) { return last = next(last, noise()); }), 1h).empty();
  }
  return count;
}

TEST(Seasons, ChanceSeldomHasOne) {
  constexpr int kRuns = 500, kFew = 10;
  EXPECT_LT(found(kRuns, [](double, double noise) { return noise; }), kFew);
  EXPECT_LT(found(kRuns, [](double, double noise) { return std::exp(2 * noise); }), kFew);
  EXPECT_LT(found(kRuns, [](double last, double noise) { return last + noise; }), kFew) << "random walk";
  EXPECT_LT(found(kRuns, [](double last, double noise) { return last + noise + 0.5; }), kFew) << "with drift";
  EXPECT_LT(found(kRuns, [](double last, double noise) { return 0.9 * last + noise; }), kFew);
}

TEST(Seasons, NeitherConstantsNorTrendsHaveOne) {
  EXPECT_THAT(find_seasons(series(500, [](std::size_t) { return 0.1; })), IsEmpty());
  EXPECT_THAT(find_seasons(series(500, [](std::size_t i) { return 0.1 * static_cast<double>(i); })), IsEmpty());
  EXPECT_THAT(find_seasons(series(500, [](std::size_t i) { return static_cast<double>(i * i); })), IsEmpty());
  EXPECT_THAT(find_seasons(series(500, [](std::size_t i) { return std::exp(static_cast<double>(i) / 50); })),
              IsEmpty());
  EXPECT_THAT(find_seasons(series(500, [](std::size_t i) { return i < 300 ? 1.0 : 7.0; })), IsEmpty());
  EXPECT_THAT(find_seasons(series(500, [](std::size_t i) { return i == 250 ? 1.0 : 0.0; })), IsEmpty());
}

TEST(Seasons, AnyInputHasAnAnswer) {
  const auto nan = std::numeric_limits<double>::quiet_NaN(), infinite = std::numeric_limits<double>::infinity();
  for (std::size_t length = 0; length < 20; ++length)
    for (const auto value : {0.0, nan, infinite, 1e308, -1e308, 1e-308}) {
      EXPECT_THAT(find_seasons(std::vector<double>(length, value)), IsEmpty()) << length << " of " << value;
      EXPECT_THAT(find_seasons(std::vector<double>(length, value), 1ms), IsEmpty());
    }
  const auto huge = series(240, [](std::size_t i) { return 1.7e308 * wave(i, 24); });
  EXPECT_THAT(find_seasons(huge), ElementsAre(24));
  auto gaps = series(240, [](std::size_t i) { return wave(i, 24); });
  gaps[0] = nan;
  gaps[100] = infinite;
  EXPECT_THAT(find_seasons(gaps), ElementsAre(24));
  EXPECT_THAT(find_seasons(gaps, 48h), ElementsAre(24)) << "a step longer than a day";
  EXPECT_THAT(find_seasons(gaps, -1h), ElementsAre(24));
}

}  // namespace
}  // namespace umbra::forecast
