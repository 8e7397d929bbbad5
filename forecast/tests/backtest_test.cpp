#include "forecast/backtest.hpp"

#include <gmock/gmock.h>

#include <cmath>
#include <limits>
#include <numbers>
#include <random>

namespace umbra::forecast {
namespace {

using testing::DoubleNear;

constexpr auto kGap = std::numeric_limits<double>::quiet_NaN();

std::vector<double> noisy_days(std::size_t days) {
  std::mt19937_64 random(5);
  std::normal_distribution<double> noise;
  std::vector<double> out;
  for (std::size_t hour = 0; hour < 24 * days; ++hour)
    out.push_back(50 + 20 * std::sin(2 * std::numbers::pi * static_cast<double>(hour) / 24) + noise(random));
  return out;
}

BacktestPlan day_ahead(std::size_t origins) {
  BacktestPlan plan;
  plan.seasons = {24};
  plan.horizon = 24;
  plan.origins = origins;
  return plan;
}

TEST(Backtest, OfNaiveOnAStaircaseIsWhatAHandWorksOut) {
  // One step up each step: naive is off by 1, 2 at horizon 2, and so was it on average by 1 in the past.
  std::vector<double> values;
  for (int i = 0; i < 20; ++i) values.push_back(i);
  BacktestPlan plan;
  plan.horizon = 2;
  plan.origins = 3;
  const auto score = backtest(values, plan, Baseline::kNaive);
  EXPECT_EQ(score.origins, 3U);
  EXPECT_DOUBLE_EQ(score.mase, 1.5);
  EXPECT_DOUBLE_EQ(score.coverage, 1) << "errors of the past are all the same";
  EXPECT_NEAR(score.msis, 0, 1e-9);
}

TEST(Backtest, JudgesTheIntervalThatWasAskedForAlsoWhereItIsNarrowerThanTheDeciles) {
  const auto values = noisy_days(60);
  auto plan = day_ahead(20);
  const auto wide = backtest(values, plan);
  plan.interval = 0.5;
  const auto narrow = backtest(values, plan);
  EXPECT_NEAR(narrow.coverage, 0.5, 0.1);
  EXPECT_DOUBLE_EQ(narrow.weighted_quantile_loss, wide.weighted_quantile_loss) << "over the same deciles";
}

TEST(Backtest, TellsEachForecastThatItJudges) {
  const auto values = noisy_days(30);
  const auto plan = day_ahead(3);
  const auto levels = backtest_levels(plan);
  ASSERT_EQ(levels.size(), 11U);
  EXPECT_NEAR(levels.back() - levels.front(), plan.interval, 1e-12);
  std::vector<std::size_t> places;
  double within = 0;
  const auto score = backtest(values, plan, {}, [&](const BacktestForecast& said) {
    places.push_back(said.place);
    EXPECT_EQ(said.point.size(), plan.horizon);
    for (std::size_t step = 0; step < plan.horizon; ++step) {
      const auto& quantiles = said.quantiles[step];
      EXPECT_EQ(quantiles.size(), levels.size());
      const auto came = values[said.place + step];
      within += came >= quantiles.front() && came <= quantiles.back() ? 1 : 0;
    }
  });
  EXPECT_EQ(places, (std::vector<std::size_t>{27 * 24, 28 * 24, 29 * 24}));
  EXPECT_NEAR(score.coverage, within / (3 * 24), 1e-12);
}

TEST(Backtest, FindsUmbraBetterThanTheRulesOnNoisyDays) {
  const auto values = noisy_days(30);
  auto plan = day_ahead(5);
  const auto umbra = backtest(values, plan);
  EXPECT_EQ(umbra.origins, 5U);
  EXPECT_GT(umbra.coverage, 0.85);
  for (const auto baseline : {Baseline::kNaive, Baseline::kSeasonalNaive, Baseline::kSimpleSmoothing}) {
    const auto rule = backtest(values, plan, baseline);
    EXPECT_LT(umbra.mase, 0.95 * rule.mase) << to_string(baseline);
    EXPECT_LT(umbra.weighted_quantile_loss, rule.weighted_quantile_loss) << to_string(baseline);
  }
}

TEST(Backtest, JudgesTheProbabilityOfExceeding) {
  const auto values = noisy_days(30);
  auto plan = day_ahead(5);
  plan.window = 24;
  plan.capacity = 60;  // the day goes up to 70: certain
  EXPECT_LT(backtest(values, plan).brier.value(), 0.02);
  plan.capacity = 90;  // never
  EXPECT_LT(backtest(values, plan).brier.value(), 0.02);
  plan.window = 4;  // and in the first hours of a day it goes from 50 to 67
  plan.capacity = 63;
  EXPECT_LT(backtest(values, plan).brier.value(), 0.25);
  EXPECT_FALSE(backtest(values, {{24}, 24, 2, 0.95, std::nullopt, 1}).brier);
}

TEST(Backtest, LeavesOutWhatWasNotSeen) {
  auto values = noisy_days(20);
  auto plan = day_ahead(2);
  for (std::size_t i = values.size() - 24; i < values.size(); ++i) values[i] = kGap;
  EXPECT_EQ(backtest(values, plan).origins, 1U);
  EXPECT_EQ(backtest(values, plan, Baseline::kSeasonalNaive).origins, 1U);
}

TEST(Backtest, OfTooLittleOrOfAConstantJudgesNothing) {
  auto plan = day_ahead(3);
  for (const auto& values : {std::vector<double>{}, std::vector<double>{1}, std::vector<double>(30, 1.0),
                             std::vector<double>(400, 2.0), std::vector<double>(400, kGap)})
    EXPECT_EQ(backtest(values, plan).origins, 0U) << values.size();
}

}  // namespace
}  // namespace umbra::forecast
