#include "forecast/forecast.hpp"

#include <gmock/gmock.h>

#include <cmath>
#include <numbers>
#include <random>

#include "forecast/series.hpp"
#include "forecast/series_forecaster.hpp"

namespace umbra::forecast {
namespace {

using namespace std::chrono_literals;

Forecast future_of(const std::vector<double>& values, std::size_t steps, std::size_t count = 400,
                   std::size_t start = 0) {
  SeriesForecaster series({{24}, steps, 0, start});
  for (const auto value : values) series.observe(value);
  auto outlook = series.look(steps, {}, SeriesForecaster::Paths::kYes);
  return {0, 1h, std::move(outlook.point), draw(outlook.paths, count)};
}

TEST(AForecast, OfNothingSaysNothing) {
  const Forecast nothing;
  EXPECT_TRUE(nothing.empty());
  EXPECT_EQ(nothing.exceedance(0.0, 6h), 0);
  EXPECT_TRUE(sum({}).empty());
}

TEST(AForecast, CountsPathsThatExceedTheCapacityAnywhereInTheWindow) {
  const Forecast forecast(0, 1h, {1, 1, 1}, {1, 1, 5, /**/ 1, 3, 1, /**/ 1, 1, 1, /**/ 2, 1, 1});
  EXPECT_EQ(forecast.paths(), 4u);
  EXPECT_EQ(forecast.exceedance(1.5, 1h), 0.25);
  EXPECT_EQ(forecast.exceedance(1.5, 2h), 0.5);
  EXPECT_EQ(forecast.exceedance(1.5, 3h), 0.75);
  EXPECT_EQ(forecast.exceedance(5, 3h), 0);
  EXPECT_EQ(forecast.exceedance(1.5, 90min), 0.5) << "a step that the window touches counts";
  EXPECT_EQ(forecast.peak_quantile(3h, 1), 5);
  EXPECT_EQ(forecast.quantile(1, 1), 3);
}

TEST(Drawing, TakesEachPathAsOftenAsItsWeightSays) {
  const std::array paths{Path{0.6, 10, {1}}, Path{0.3, 11, {2}}, Path{0.1, 12, {3}}, Path{0, 13, {4}}};
  constexpr std::size_t kCount = 20'000;
  const auto drawn = draw(paths, kCount);
  std::map<double, double> share;
  for (const auto value : drawn) share[value] += 1.0 / kCount;
  // Three standard deviations of a share p are 3 sqrt(p (1-p) / 20,000), at most 0.0104.
  EXPECT_NEAR(share[1], 0.6, 0.0105);
  EXPECT_NEAR(share[2], 0.3, 0.0105);
  EXPECT_NEAR(share[3], 0.1, 0.0105);
  EXPECT_EQ(share[4], 0);
}

TEST(Drawing, FollowsTheOriginAndNotThePlaceInTheList) {
  const std::array one{Path{0.5, 7, {1}}, Path{0.5, 8, {2}}};
  const std::array other{Path{0.5, 8, {2}}, Path{0.5, 7, {1}}};
  EXPECT_EQ(draw(one, 100), draw(other, 100));
  // One that knows less of the past agrees wherever it can.
  const std::array older{Path{0.4, 7, {1}}, Path{0.4, 8, {2}}, Path{0.2, 9, {3}}};
  const std::array younger{Path{0.4 / 0.6, 8, {2}}, Path{0.2 / 0.6, 9, {3}}};
  const auto drawn = draw(older, 100), with = draw(younger, 100);
  for (std::size_t i = 0; i < drawn.size(); ++i) EXPECT_TRUE(drawn[i] == 1 || with[i] == drawn[i]) << i;
}

TEST(ASum, AddsWhatRoseTogetherAsOne) {
  std::mt19937_64 random(13);
  std::normal_distribution<double> noise(0, 1);
  std::vector<double> one, opposite;
  for (int i = 0; i < 1000; ++i) {
    one.push_back(10 + noise(random));
    opposite.push_back(20 - one.back());
  }
  const auto single = future_of(one, 4);
  const std::array together{single, single};
  const std::array against{single, future_of(opposite, 4), Forecast{}};
  EXPECT_EQ(sum(together).exceedance(23, 4h), single.exceedance(11.5, 4h));
  EXPECT_GT(sum(together).exceedance(23, 4h), 0.1);
  EXPECT_LT(sum(against).exceedance(23, 4h), 0.02) << "their sum was always 20";
  EXPECT_NEAR(sum(against).mean()[0], 20, 0.3);
}

TEST(ASum, KeepsTogetherASeriesAndAYoungerOneOfTheSamePlaces) {
  std::mt19937_64 random(17);
  std::normal_distribution<double> noise(0, 1);
  std::vector<double> old;
  for (int i = 0; i < 1000; ++i) old.push_back(10 + noise(random));
  const std::vector<double> young(old.end() - 500, old.end());
  const auto first = future_of(old, 4);
  const std::array same_places{first, future_of(young, 4, 400, 500)}, other_places{first, future_of(young, 4, 400, 1)};
  const auto variance = [](const Forecast& sum) {
    double squares = 0;
    for (std::size_t i = 0; i < sum.paths(); ++i)
      for (std::size_t step = 0; step < 4; ++step) squares += std::pow(sum.path(i)[step] - sum.mean()[step], 2);
    return squares / static_cast<double>(4 * sum.paths());
  };
  EXPECT_GT(variance(sum(same_places)), 1.25 * variance(sum(other_places)));
}

TEST(AForecast, KeepsBurstsTogether) {
  // Bursts of 12 steps, one in ten steps hot: independent draws would see a peak in nearly every window of 12.
  std::mt19937_64 random(17);
  std::vector<double> values;
  while (values.size() < 4000) {
    values.insert(values.end(), 60 + random() % 96, 1.0);
    values.insert(values.end(), 12, 5.0);
  }
  values.insert(values.end(), 30, 1.0);
  const auto future = future_of(values, 12);
  EXPECT_GT(future.exceedance(4, 12h), 0.02);
  EXPECT_LT(future.exceedance(4, 12h), 0.35);
}

TEST(Resample, AveragesStepsAndLeavesGaps) {
  const std::array points{Point{1000, 1}, Point{1500, 3}, Point{3999, 5}, Point{9000, 7}, Point{500, 9}};
  const auto series = resample(points, 1000, 1s, 4);
  EXPECT_EQ(series.values[0], 2);
  EXPECT_TRUE(std::isnan(series.values[1]));
  EXPECT_EQ(series.values[2], 5);
  EXPECT_TRUE(std::isnan(series.values[3]));
}

}  // namespace
}  // namespace umbra::forecast
