#include "forecast/baselines.hpp"

#include <gmock/gmock.h>

#include <array>
#include <cmath>

namespace umbra::forecast {
namespace {

using testing::DoubleNear;
using testing::Each;
using testing::ElementsAre;

constexpr std::array kMedian{0.5};

TEST(Baselines, NaiveRepeatsTheLastValueWithTheQuantilesOfChanges) {
  const std::vector<double> past{1, 3, 2, 6};  // changes of one step: 2 -1 4; of two: 1 3
  constexpr std::array kAsked{0.0001, 0.5, 0.9999};
  const auto said = baseline_forecast(Baseline::kNaive, past, 24, 2, kAsked);
  EXPECT_THAT(said.point, ElementsAre(6, 6));
  EXPECT_THAT(said.quantiles[0], ElementsAre(DoubleNear(5, 0.01), DoubleNear(8, 1e-9), DoubleNear(10, 0.01)));
  EXPECT_THAT(said.quantiles[1], ElementsAre(DoubleNear(7, 0.01), DoubleNear(8, 1e-9), DoubleNear(9, 0.01)));
}

TEST(Baselines, SeasonalNaiveRepeatsTheSeason) {
  const std::vector<double> past{109, 109, 109, 101, 102, 103, 102, 104, 106};
  const auto said = baseline_forecast(Baseline::kSeasonalNaive, past, 3, 5, kMedian);
  EXPECT_THAT(said.point, ElementsAre(102, 104, 106, 102, 104));
  EXPECT_DOUBLE_EQ(said.quantiles[0][0], 102 - 2.5) << "errors one step ahead: -8 -7 -6 1 2 3, their median -2.5";
}

TEST(Baselines, SimpleSmoothingOfALevelIsThatLevel) {
  const std::vector<double> past{5, 5, 5, 5};
  const auto said = baseline_forecast(Baseline::kSimpleSmoothing, past, 0, 3, kMedian);
  EXPECT_THAT(said.point, Each(DoubleNear(5, 1e-12)));
}

TEST(Baselines, SimpleSmoothingOfARandomWalkFollowsAndOfNoiseAverages) {
  std::vector<double> steps, noise;
  for (int i = 0; i < 200; ++i) {
    steps.push_back(i / 20 * 10.0);
    noise.push_back(i % 2 == 0 ? 1.0 : -1.0);
  }
  EXPECT_NEAR(baseline_forecast(Baseline::kSimpleSmoothing, steps, 0, 1, {}).point[0], 90, 0.5);
  EXPECT_NEAR(baseline_forecast(Baseline::kSimpleSmoothing, noise, 0, 1, {}).point[0], 0, 0.1);
}

TEST(Baselines, HoltWintersContinuesTrendAndSeason) {
  const auto value = [](std::size_t i) { return 10 + 0.5 * static_cast<double>(i) + (i % 4 == 0 ? 8 : 0); };
  std::vector<double> past;
  for (std::size_t i = 0; i < 80; ++i) past.push_back(value(i));
  const auto said = baseline_forecast(Baseline::kHoltWinters, past, 4, 8, {});
  for (std::size_t i = 0; i < 8; ++i) EXPECT_NEAR(said.point[i], value(80 + i), 0.7) << i;
}

TEST(Baselines, TakeAnyShortPast) {
  for (const auto baseline :
       {Baseline::kNaive, Baseline::kSeasonalNaive, Baseline::kSimpleSmoothing, Baseline::kHoltWinters})
    for (std::size_t length = 1; length < 8; ++length) {
      const std::vector<double> past(length, 3.0);
      const auto said = baseline_forecast(baseline, past, 3, 10, kMedian);
      EXPECT_THAT(said.point, Each(DoubleNear(3, 1e-9))) << to_string(baseline) << " of " << length;
      EXPECT_EQ(said.quantiles.back().size(), 1U);
    }
}

}  // namespace
}  // namespace umbra::forecast
