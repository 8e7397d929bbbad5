#include "forecast/series_forecaster.hpp"

#include <gmock/gmock.h>

#include <cmath>
#include <limits>
#include <numbers>
#include <random>

namespace umbra::forecast {
namespace {

using testing::DoubleNear;
using testing::Each;
using testing::ElementsAre;

constexpr auto kGap = std::numeric_limits<double>::quiet_NaN();
constexpr std::array kLevels{0.025, 0.5, 0.975};

double day_wave(std::size_t hour) {
  return 50 + 20 * std::sin(2 * std::numbers::pi * static_cast<double>(hour) / 24);
}

SeriesForecaster fed(SeriesForecaster::Shape shape, std::size_t steps,
                     const std::function<double(std::size_t)>& value) {
  SeriesForecaster series(std::move(shape));
  for (std::size_t i = 0; i < steps; ++i) series.observe(value(i));
  return series;
}

bool sane(const SeriesForecaster::Outlook& outlook) {
  const auto finite = [](double value) { return std::isfinite(value); };
  for (const auto& step : outlook.quantiles)
    if (!std::all_of(step.begin(), step.end(), finite) || !std::is_sorted(step.begin(), step.end())) return false;
  return std::all_of(outlook.point.begin(), outlook.point.end(), finite);
}

TEST(ASeriesForecaster, ContinuesADay) {
  auto series = fed({{24}, 24, 0}, 24 * 14, day_wave);
  const auto outlook = series.look(24, kLevels);
  for (std::size_t i = 0; i < 24; ++i) EXPECT_NEAR(outlook.point[i], day_wave(i), 1.5) << i;
  EXPECT_TRUE(sane(outlook));
}

TEST(ASeriesForecaster, KnowsTheWeekend) {
  const auto value = [](std::size_t hour) { return hour / 24 % 7 >= 5 ? 10.0 : day_wave(hour); };
  auto series = fed({{24, 168}, 48, 0}, 168 * 5 + 4 * 24, value);  // Friday comes next, then Saturday
  const auto said = series.look(48, {}).point;
  for (std::size_t i = 30; i < 48; ++i) EXPECT_NEAR(said[i], 10, 6) << i;
  for (std::size_t i = 0; i < 24; ++i) EXPECT_NEAR(said[i], day_wave(i), 8) << i;
}

TEST(ASeriesForecaster, SaysTheSameForTheSameValues) {
  std::mt19937_64 random(3);
  std::vector<double> values(400);
  for (auto& value : values) value = static_cast<double>(random() % 1000);
  const auto value = [&](std::size_t i) { return values[i]; };
  auto one = fed({{24}, 24, 0}, values.size(), value), other = fed({{24}, 24, 0}, values.size(), value);
  EXPECT_EQ(one.look(24, kLevels).quantiles, other.look(24, kLevels).quantiles);
}

TEST(ASeriesForecaster, OfAnyShortSeriesIsSane) {
  for (std::size_t length = 1; length < 80; ++length) {
    auto series = fed({{24, 168}, 24, 0}, length, day_wave);
    const auto outlook = series.look(30, kLevels, SeriesForecaster::Paths::kYes);
    EXPECT_TRUE(sane(outlook)) << "after " << length;
    EXPECT_FALSE(outlook.paths.empty());
  }
}

TEST(ASeriesForecaster, OfOddSeriesIsSane) {
  const auto odd = std::vector<std::function<double(std::size_t)>>{
      [](std::size_t) { return 0.0; },
      [](std::size_t) { return -7.5; },
      [](std::size_t i) { return i == 200 ? 1e12 : 1.0; },
      [](std::size_t i) { return i % 2 == 0 ? 1e-300 : 1e300; },
      [](std::size_t i) { return i % 50 == 0 ? 5.0 : 0.0; },
      [](std::size_t i) { return -static_cast<double>(i) * static_cast<double>(i); },
      [](std::size_t i) { return i % 3 == 0 ? kGap : static_cast<double>(i % 7); },
      [](std::size_t i) { return i > 20 ? kGap : 3.0; },
      [](std::size_t i) { return i == 0 ? std::numeric_limits<double>::infinity() : 2.0; },
  };
  for (std::size_t i = 0; i < odd.size(); ++i) {
    auto series = fed({{24}, 24, 0}, 400, odd[i]);
    EXPECT_TRUE(sane(series.look(24, kLevels, SeriesForecaster::Paths::kYes))) << i;
  }
}

TEST(ASeriesForecaster, BeginsWithTheFirstValue) {
  SeriesForecaster series({{}, 4, 0});
  series.observe(kGap);
  EXPECT_TRUE(series.empty());
  series.observe(3);
  EXPECT_EQ(series.size(), 1U);
  EXPECT_THAT(series.look(2, {}).point, ElementsAre(3, 3));
}

TEST(ASeriesForecaster, DoesNotTakeAGapForAFall) {
  const auto value = [](std::size_t hour) { return hour >= 300 && hour < 320 ? kGap : day_wave(hour); };
  auto series = fed({{24}, 24, 0}, 336, value);
  const auto said = series.look(24, {}).point;
  for (std::size_t i = 0; i < 24; ++i) EXPECT_NEAR(said[i], day_wave(i), 3) << i;
}

TEST(ASeriesForecaster, ForgetsWhatIsLongPast) {
  auto series = fed({{24}, 24, 0}, 10'000, day_wave);
  EXPECT_EQ(series.size(), 10'000U);
  const auto said = series.look(24, kLevels);
  for (std::size_t i = 0; i < 24; ++i) EXPECT_NEAR(said.point[i], day_wave(10'000 + i), 1.5) << i;
}

TEST(ASeriesForecaster, NamesTheModelsThatLead) {
  EXPECT_TRUE(SeriesForecaster({{24}, 24, 0}).leaders(3).empty());
  const auto series = fed({{24}, 24, 0}, 24 * 14, day_wave);
  const auto all = series.leaders(100);
  double total = 0;
  for (const auto& [name, weight] : all) total += weight;
  EXPECT_NEAR(total, 1, 1e-9);
  EXPECT_TRUE(std::is_sorted(all.begin(), all.end(), [](auto& a, auto& b) { return a.second > b.second; }));
  ASSERT_EQ(series.leaders(2).size(), 2U);
  EXPECT_EQ(series.leaders(2)[1], all[1]);
}

TEST(ASeriesForecaster, SaysHowFarDataHaveMovedItFromItsPrior) {
  EXPECT_EQ(SeriesForecaster({{24}, 24, 0}).moved_from_prior(), 0);
  const auto moved = [](double launch_adds) {
    SeriesForecaster series({{24}, 24, 1});
    for (std::size_t hour = 0; hour < 24 * 20; ++hour) {
      const std::array launch{hour * hour % 61 == 5 ? 1.0 : 0.0};
      series.observe(day_wave(hour) + launch_adds * launch.front(), launch);
    }
    return series.moved_from_prior();
  };
  const auto by_the_day = moved(0), by_launches = moved(40);
  EXPECT_GT(by_the_day, 0);
  EXPECT_GT(by_launches, 2 * by_the_day) << "a prior expects little of what is known beforehand";
}

TEST(ASeriesForecaster, UsesWhatIsKnownOfTheStepsAhead) {
  // A launch every two or three days, at no regular time, known beforehand, adds 40.
  const auto launch = [](std::size_t hour) { return hour * hour % 61 == 5 ? 1.0 : 0.0; };
  SeriesForecaster series({{24}, 24, 1});
  for (std::size_t hour = 0; hour < 24 * 20; ++hour) {
    const std::array row{launch(hour)};
    series.observe(day_wave(hour) + 40 * launch(hour), row);
  }
  std::vector<double> rows(24), none(24);
  rows[5] = 1;
  series.refit();
  const auto with = series.look(24, {}, SeriesForecaster::Paths::kNo, Known{rows, 1}).point;
  const auto without = series.look(24, {}, SeriesForecaster::Paths::kNo, Known{none, 1}).point;
  EXPECT_GT(with[5] - without[5], 10) << "models that know no columns hold it back";
  EXPECT_NEAR(with[4], without[4], 1e-9);
}

}  // namespace
}  // namespace umbra::forecast
