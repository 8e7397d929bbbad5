#include "forecast/forecaster.hpp"

#include <gmock/gmock.h>

#include <cmath>
#include <numbers>
#include <random>

namespace umbra::forecast {
namespace {

using namespace std::chrono_literals;
using testing::DoubleNear;
using testing::Each;

constexpr double kGap = std::numeric_limits<double>::quiet_NaN();

Series hourly(std::vector<double> values) {
  return {1'700'000'000'000, 1h, std::move(values)};
}

double day_wave(std::size_t hour) {
  return 2 + std::sin(2 * std::numbers::pi * static_cast<double>(hour % 24) / 24);
}

TEST(Forecaster, SaysNothingWithoutAPast) {
  for (const auto& history : {hourly({}), hourly({kGap, kGap, kGap})}) {
    const auto future = forecast(history, {6});
    EXPECT_TRUE(future.empty());
    EXPECT_EQ(future.exceedance(0.0, 6h), 0);
  }
}

TEST(Forecaster, RepeatsAConstantWithCertainty) {
  const auto future = forecast(hourly(std::vector<double>(30, 1.5)), {6});
  EXPECT_THAT(future.mean(), Each(DoubleNear(1.5, 1e-9)));
  EXPECT_NEAR(future.quantile(5, 0.99), 1.5, 1e-9);
  EXPECT_EQ(future.exceedance(1.6, 6h), 0);
  EXPECT_EQ(future.exceedance(1.4, 6h), 1);
}

TEST(Forecaster, TakesASingleValueForTheFuture) {
  const auto future = forecast(hourly({kGap, 0.25}), {3});
  EXPECT_THAT(future.mean(), Each(DoubleNear(0.25, 1e-9)));
  EXPECT_EQ(future.start(), 1'700'000'000'000 + 2 * 3'600'000);
}

TEST(Forecaster, ContinuesANoiselessDay) {
  std::vector<double> values;
  for (std::size_t hour = 0; hour < 24 * 5 + 7; ++hour) values.push_back(day_wave(hour));
  const auto future = forecast(hourly(values), {24});
  for (std::size_t i = 0; i < 24; ++i) EXPECT_NEAR(future.mean()[i], day_wave(values.size() + i), 1e-6) << "step " << i;
}

TEST(Forecaster, BridgesGapsInADay) {
  std::vector<double> values;
  for (std::size_t hour = 0; hour < 24 * 6; ++hour)
    values.push_back(hour % 7 == 0 && hour > 48 ? kGap : day_wave(hour));
  const auto future = forecast(hourly(values), {24});
  for (std::size_t i = 0; i < 24; ++i) EXPECT_NEAR(future.mean()[i], day_wave(i), 1e-3) << "step " << i;
}

TEST(Forecaster, FollowsATrendAndDampsIt) {
  std::vector<double> values;
  for (int i = 0; i < 40; ++i) values.push_back(i);
  const auto future = forecast(hourly(values), {10});
  EXPECT_NEAR(future.mean()[0], 40, 1.0);
  EXPECT_GT(future.mean()[9], future.mean()[0]);
  EXPECT_LT(future.mean()[9], 50) << "a trend is not believed for ever";
}

TEST(Forecaster, StaysWithinWhatCanBeMeasured) {
  std::mt19937_64 draw(3);
  std::exponential_distribution<double> burst(2);
  auto history = hourly({});
  for (int i = 0; i < 200; ++i) history.values.push_back(std::min(1.0, burst(draw)));
  history.least = 0;
  history.most = 1;
  const auto future = forecast(history, {12});
  EXPECT_EQ(future.exceedance(1.0, 12h), 0);
  for (std::size_t i = 0; i < 12; ++i) EXPECT_GE(future.quantile(i, 0), 0);
}

TEST(Forecaster, IsTheSameForTheSameSeed) {
  std::mt19937_64 draw(5);
  std::normal_distribution<double> noise(0, 1);
  std::vector<double> values;
  for (int i = 0; i < 100; ++i) values.push_back(noise(draw));
  const auto once = forecast(hourly(values), {8, 100, 42});
  const auto again = forecast(hourly(values), {8, 100, 42});
  const auto other = forecast(hourly(values), {8, 100, 43});
  EXPECT_EQ(once.quantile(3, 0.9), again.quantile(3, 0.9));
  EXPECT_NE(once.quantile(3, 0.9), other.quantile(3, 0.9));
}

TEST(Forecaster, KnowsThePeakOfAWindowOfIndependentNoise) {
  std::mt19937_64 draw(11);
  std::normal_distribution<double> noise(10, 1);
  double hour = 0, six_hours = 0;
  constexpr int kSeries = 8;
  for (int series = 0; series < kSeries; ++series) {
    std::vector<double> values;
    for (int i = 0; i < 2000; ++i) values.push_back(noise(draw));
    const auto future = forecast(hourly(values), {6, 1000});
    hour += future.exceedance(11.5, 1h) / kSeries;
    six_hours += future.exceedance(11.5, 6h) / kSeries;
  }
  // P(max of n normals > 10 + 1.5) = 1 - Φ(1.5)^n
  EXPECT_NEAR(hour, 1 - 0.9332, 0.015);
  EXPECT_NEAR(six_hours, 1 - std::pow(0.9332, 6), 0.05);
}

TEST(Forecaster, AddsWhatRisesTogetherAsOne) {
  std::mt19937_64 draw(13);
  std::normal_distribution<double> noise(0, 1);
  std::vector<double> one, opposite;
  for (int i = 0; i < 1000; ++i) {
    one.push_back(10 + noise(draw));
    opposite.push_back(20 - one.back());
  }
  const Horizon horizon{4, 1000, 7};
  const std::array together{forecast(hourly(one), horizon), forecast(hourly(one), horizon)};
  const std::array against{forecast(hourly(one), horizon), forecast(hourly(opposite), horizon), Forecast{}};
  EXPECT_NEAR(sum(together).exceedance(23, 4h), together[0].exceedance(11.5, 4h), 1e-9);
  EXPECT_GT(sum(together).exceedance(23, 4h), 0.15);
  EXPECT_EQ(sum(against).exceedance(23, 4h), 0) << "their sum was always 20";
  EXPECT_NEAR(sum(against).mean()[0], 20, 1e-6);
}

TEST(Forecaster, KeepsBurstsTogether) {
  // Bursts of 12 steps, one in ten steps hot: independent draws would see a peak in nearly every window of 12.
  std::mt19937_64 draw(17);
  std::vector<double> values;
  while (values.size() < 4000) {
    values.insert(values.end(), 60 + draw() % 96, 1.0);
    values.insert(values.end(), 12, 5.0);
  }
  values.insert(values.end(), 30, 1.0);
  const auto future = forecast(hourly(values), {12, 2000});
  EXPECT_GT(future.exceedance(4, 12h), 0.04);
  EXPECT_LT(future.exceedance(4, 12h), 0.35);
}

/// How often the truth was inside the interval, and the Brier score of the exceedance, from rolling origins.
struct Calibration {
  double coverage = 0;
  double brier = 0;
  double base_rate_brier = 0;
};

Calibration calibrate(const std::vector<double>& values, double capacity) {
  Calibration result;
  double hits = 0;
  int origins = 0;
  constexpr std::size_t kWindow = 6, kHistory = 24 * 14;
  for (std::size_t at = kHistory; at + kWindow < values.size(); at += 7, ++origins) {
    const auto from = values.begin() + static_cast<std::ptrdiff_t>(at - kHistory);
    const auto future = forecast(hourly({from, from + kHistory}), {kWindow, 300});
    const double truth = values[at + 2];
    result.coverage += truth >= future.quantile(2, 0.05) && truth <= future.quantile(2, 0.95);
    const auto next = values.begin() + static_cast<std::ptrdiff_t>(at);
    const double happened = *std::max_element(next, next + kWindow) > capacity;
    hits += happened;
    result.brier += std::pow(future.exceedance(capacity, 6h) - happened, 2);
  }
  result.coverage /= origins;
  result.brier /= origins;
  const double rate = hits / origins;
  result.base_rate_brier = rate * (1 - rate);
  return result;
}

TEST(Forecaster, IsCalibratedOnANoisyDay) {
  std::mt19937_64 draw(19);
  std::normal_distribution<double> noise(0, 0.25);
  std::vector<double> values;
  double carried = 0;
  for (std::size_t hour = 0; hour < 24 * 90; ++hour) {
    carried = 0.6 * carried + noise(draw);
    values.push_back(day_wave(hour) + carried);
  }
  const auto found = calibrate(values, 2.9);
  EXPECT_GT(found.coverage, 0.83);
  EXPECT_LT(found.coverage, 0.97);
  EXPECT_LT(found.brier, 0.5 * found.base_rate_brier) << "must know more than how often it happens";
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
