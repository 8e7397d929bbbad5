#include "forecast/spread.hpp"

#include <gmock/gmock.h>

#include <cmath>
#include <limits>
#include <random>

namespace umbra::forecast {
namespace {

using testing::DoubleNear;
using testing::Each;
using testing::ElementsAre;
using testing::Pointwise;

constexpr auto kInfinity = std::numeric_limits<double>::infinity();

TEST(WeightedQuantiles, OfEvenAtomsLieBetweenTheirMiddles) {
  // Four atoms: middles of weight at 1/8, 3/8, 5/8, 7/8.
  const std::vector<Atom> atoms{{10, 1}, {20, 1}, {30, 1}, {40, 1}};
  EXPECT_THAT(weighted_quantiles(atoms, std::array{0.0, 0.125, 0.25, 0.5, 0.875, 1.0}),
              ElementsAre(10, 10, 15, 25, 40, 40));
}

TEST(WeightedQuantiles, GoWhereTheWeightIs) {
  const std::vector<Atom> atoms{{0, 0.1}, {1, 0.8}, {2, 0.1}};  // middles at 0.05, 0.5, 0.95
  EXPECT_THAT(weighted_quantiles(atoms, std::array{0.05, 0.275, 0.5, 0.95}),
              Pointwise(DoubleNear(1e-12), {0.0, 0.5, 1.0, 2.0}));
}

TEST(BoundsOf, AQuantityThatWasNeverNegativeEndAtZero) {
  const auto bounds = Bounds::of(std::array{3.0, 1.0, 2.0, 5.0, 4.0});
  EXPECT_EQ(bounds.least, 0);
  EXPECT_EQ(bounds.most, kInfinity);
  EXPECT_EQ(Bounds::of(std::array{3.0, -1.0, 2.0, 5.0}).least, -kInfinity);
}

TEST(BoundsOf, ACpuThatWasOftenFullEndThere) {
  const std::array cpu{100.0, 20.0, 100.0, 35.0, 100.0, 98.0, 50.0};
  EXPECT_EQ(Bounds::of(cpu).most, 100);
  const std::array once{100.0, 20.0, 35.0, 98.0, 50.0};
  EXPECT_EQ(Bounds::of(once).most, kInfinity);
}

TEST(BoundsOf, AFewStatesAreNoLimits) {
  EXPECT_EQ(Bounds::of(std::array{1.0, 1.0, 1.0, 2.0}).most, kInfinity);
  EXPECT_EQ(Bounds::of(std::array{7.0, 7.0, 7.0}).most, kInfinity);
  EXPECT_EQ(Bounds::of({}).least, -kInfinity);
}

TEST(Rounded, KeepsNumbersToAFewMillionthsOfTheirRange) {
  const std::vector<double> said{-5, 0.001, 17, 1000};
  const Rounded rounded(said);
  for (std::size_t i = 0; i < said.size(); ++i) EXPECT_NEAR(rounded[i], said[i], 1005.0 / 65535 / 2 * 1.01) << i;
  const std::vector<double> flat{3, 3};
  EXPECT_EQ(Rounded(flat)[1], 3);
}

/// A series around 100 with errors that the test knows, forecast as 100 throughout.
class ASpread : public testing::Test {
 protected:
  static constexpr std::size_t kHorizon = 8;

  void live(std::size_t steps, const std::function<double(std::size_t)>& value) {
    for (std::size_t i = 0; i < steps; ++i) {
      values_.push_back(value(values_.size()));
      if (values_.size() % spread_.stride() == 0) {
        spread_.record(values_.size(), said_);
        spread_.learn(History(values_), std::vector<bool>(values_.size(), true));
      }
    }
  }

  std::mt19937_64 random_{11};
  std::vector<double> values_;
  std::vector<double> said_ = std::vector<double>(kHorizon, 100.0);
  Spread spread_{24, kHorizon};
};

TEST_F(ASpread, HoldsWhatItPromises) {
  // Errors of an exponential distribution: intervals of a Gaussian would be wrong on both sides.
  std::exponential_distribution<double> late(0.1);
  const auto value = [&](std::size_t) { return 90 + late(random_); };
  live(600, value);
  constexpr std::array kAsked{0.1, 0.5, 0.9};
  int below[3] = {}, looks = 0;
  for (int round = 0; round < 150; ++round) {
    const auto said = spread_.quantiles(History(values_), said_, kAsked);
    live(3, value);
    for (std::size_t ahead = 0; ahead < 3; ++ahead, ++looks)
      for (std::size_t level = 0; level < 3; ++level)
        below[level] += values_[values_.size() - 3 + ahead] <= said[ahead][level] ? 1 : 0;
  }
  for (std::size_t level = 0; level < 3; ++level)
    EXPECT_NEAR(static_cast<double>(below[level]) / looks, kAsked[level], 0.06) << kAsked[level];
}

TEST_F(ASpread, KnowsATimeOfDayThatIsWorse) {
  std::normal_distribution<double> noise;
  live(24 * 40, [&](std::size_t at) { return 100 + (at % 24 < 3 ? 20 : 1) * noise(random_); });
  ASSERT_EQ(values_.size() % 24, 0U);
  constexpr std::array kAsked{0.05, 0.95};
  const auto said = spread_.quantiles(History(values_), said_, kAsked);
  const auto width = [&](std::size_t ahead) { return said[ahead][1] - said[ahead][0]; };
  EXPECT_GT(width(1), 2 * width(7)) << "steps 0 to 2 are the wild ones";
}

TEST_F(ASpread, GivesAscendingQuantilesWithinTheBounds) {
  live(100, [&](std::size_t) { return static_cast<double>(random_() % 3); });
  constexpr std::array kAsked{0.01, 0.2, 0.5, 0.8, 0.99};
  for (const auto& step : spread_.quantiles(History(values_), said_, kAsked)) {
    EXPECT_TRUE(std::is_sorted(step.begin(), step.end()));
    EXPECT_GE(step.front(), 0);
  }
}

TEST_F(ASpread, OfAConstantIsThatConstant) {
  live(100, [](std::size_t) { return 100.0; });
  EXPECT_THAT(spread_.quantiles(History(values_), said_, std::array{0.1, 0.9}), Each(ElementsAre(100, 100)));
  EXPECT_LT(exceedance(spread_.paths(History(values_), said_), 101, kHorizon), 0.05);
}

TEST_F(ASpread, OfASingleValueIsSane) {
  values_ = {5};
  for (const auto& step : spread_.quantiles(History(values_), said_, std::array{0.1, 0.9}))
    EXPECT_THAT(step, Each(testing::Truly([](double value) { return std::isfinite(value); })));
  const auto paths = spread_.paths(History(values_), said_);
  ASSERT_FALSE(paths.empty());
  EXPECT_EQ(paths.front().values.size(), kHorizon);
}

TEST_F(ASpread, HasPathsWhoseWeightsAddUpToOne) {
  std::normal_distribution<double> noise;
  live(24 * 10, [&](std::size_t) { return 100 + noise(random_); });
  double total = 0;
  for (const auto& path : spread_.paths(History(values_), said_)) {
    EXPECT_EQ(path.values.size(), kHorizon);
    total += path.weight;
  }
  EXPECT_NEAR(total, 1, 1e-9);
}

TEST(Exceedance, CountsPathsWhosePeakIsAboveAndDoubtsALittle) {
  const std::vector<Path> paths{{0.25, 0, {1, 9, 1}}, {0.75, 1, {1, 1, 5}}};
  // (16 p + 1/2) / 17, its odds to the power 1.15; worked out by hand for p of 1/4, 1 and 0
  const auto doubted = [](double p) {
    const auto shrunk = (16 * p + 0.5) / 17;
    const auto odds = std::pow(shrunk / (1 - shrunk), 1.15);
    return odds / (1 + odds);
  };
  EXPECT_NEAR(exceedance(paths, 6, 3), doubted(0.25), 1e-12);
  EXPECT_NEAR(exceedance(paths, 4, 3), doubted(1), 1e-12);
  EXPECT_NEAR(exceedance(paths, 4, 2), doubted(0.25), 1e-12) << "a window ends before the second peak";
  EXPECT_NEAR(exceedance(paths, 9, 3), doubted(0), 1e-12) << "at the capacity is not above it";
}

}  // namespace
}  // namespace umbra::forecast
