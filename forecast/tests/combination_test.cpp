#include "forecast/combination.hpp"

#include <gmock/gmock.h>

#include <array>
#include <cmath>
#include <limits>
#include <numeric>
#include <random>
#include <set>

#include "forecast/models/repetition.hpp"

namespace umbra::forecast {
namespace {

using testing::DoubleNear;
using testing::Each;
using testing::ElementsAre;

/// Says a number, whatever the past.
class Stubborn final : public Model {
 public:
  explicit Stubborn(double value, std::string name = "stubborn") : value_(value), name_(std::move(name)) {}
  std::string_view name() const override { return name_; }
  std::size_t warmup() const override { return 1; }
  void observe(const History&, std::span<const double>) override {}
  void forecast(const History&, const Known&, std::span<double> out) override {
    std::fill(out.begin(), out.end(), value_);
  }

 private:
  double value_;
  std::string name_;
};

std::vector<double> sawtooth(std::size_t length) {
  std::vector<double> out(length);
  for (std::size_t i = 0; i < length; ++i) out[i] = static_cast<double>(i % 4);
  return out;
}

TEST(TrialPlaces, AreHalfAHorizonApartAndNotTooEarly) {
  EXPECT_THAT(trial_places(100, 4, 8), ElementsAre(52, 56, 60, 64, 68, 72, 76, 80, 84, 88, 92, 96));
  EXPECT_THAT(trial_places(20, 4, 8), ElementsAre(12, 16));
  EXPECT_THAT(trial_places(5, 4, 2), ElementsAre(3)) << "too short for any: one all the same";
  EXPECT_THAT(trial_places(1, 24, 24), ElementsAre(1));
}

TEST(Trials, AskEachModelAtEachPlace) {
  const auto past = sawtooth(20);
  Models models;
  models.push_back(std::make_unique<SeasonalNaive>("season", 4));
  models.push_back(std::make_unique<SeasonalNaive>("last", 1));
  const std::vector<std::size_t> places{2, 10, 20};
  const auto trials = rehearse(History(past), {}, models, places, 3);
  ASSERT_EQ(trials.size(), 3U);
  EXPECT_EQ(trials[0].place, 2U);
  EXPECT_THAT(trials[0].said.col(0), Each(1)) << "not warm yet: the last value";
  EXPECT_THAT(trials[1].said.col(0), ElementsAre(2, 3, 0));
  EXPECT_THAT(trials[1].said.col(1), Each(1));
  EXPECT_EQ(trials[2].place, 20U);
  EXPECT_THAT(trials[2].said.col(0), ElementsAre(0, 1, 2));
}

TEST(Trials, TameWhatAModelSays) {
  const std::vector<double> past{10, 20, 10, 20};
  Models models;
  for (const auto value : {1000.0, -1000.0, std::numeric_limits<double>::quiet_NaN()})
    models.push_back(std::make_unique<Stubborn>(value));
  EXPECT_THAT(ask(History(past), {}, models, 1).said.row(0), ElementsAre(23, 7, 20))
      << "three tenths of 10 beyond, or the last value";
  const std::vector<double> low{0, 1, 0, 1};
  EXPECT_EQ(ask(History(low), {}, models, 1).said(0, 1), 0) << "nothing was below zero";
}

TEST(ATrialRecord, KeepsAShortHorizonWholeAndOfALongOneTenStepsThatStandForAll) {
  Trial trial{40, Eigen::MatrixXd::Zero(48, 2)};
  for (Eigen::Index i = 0; i < 48; ++i) trial.said(i, 1) = static_cast<double>(i);
  std::set<std::size_t> seen;
  for (std::size_t place = 24; place < 24 * 30; place += 24) {
    trial.place = place;
    const TrialRecord record(trial, std::array<std::size_t, 1>{1});
    const auto steps = record.steps();
    ASSERT_EQ(steps.size(), 10U);
    double all = 0;
    for (std::size_t i = 0; i < steps.size(); ++i) {
      EXPECT_NEAR(record.said(i, 0), static_cast<double>(steps[i].ahead), 1e-3);
      EXPECT_EQ(steps[i].ahead < 6, i < 2) << "two of the first eighth";
      seen.insert(steps[i].ahead);
      all += steps[i].stands_for;
    }
    EXPECT_NEAR(all, 48, 1e-9);
  }
  EXPECT_GE(seen.size(), 44U) << "other steps each time";
  trial.said.conservativeResize(5, 2);
  const TrialRecord whole(trial, std::array<std::size_t, 2>{0, 1});
  ASSERT_EQ(whole.steps().size(), 5U);
  for (std::size_t i = 0; i < 5; ++i) EXPECT_NEAR(whole.said(i, 1), static_cast<double>(i), 1e-3);
}

TEST(BestOfFamilies, KeepsOneOfModelsThatDifferInScaleOnly) {
  Models models;
  for (const auto* name : {"a", "b", "a-log", "c", "b-log"}) models.push_back(std::make_unique<Stubborn>(0, name));
  Trial trial{4, Eigen::MatrixXd(2, 5)};
  for (Eigen::Index i = 0; i < 2; ++i) trial.said.row(i) << 12, 11, 11, 99, 12;
  const std::vector<double> past(6, 10.0);
  EXPECT_THAT(best_of_families({&trial, 1}, History(past), models), ElementsAre(1, 2, 3));
}

/// Three models over a sawtooth: one right, one wrong, one very wrong.
struct ThreeModels {
  std::vector<double> past = sawtooth(40);
  std::vector<TrialRecord> trials;
  Trial last;

  ThreeModels() {
    Models models;
    models.push_back(std::make_unique<SeasonalNaive>("right", 4));
    models.push_back(std::make_unique<Stubborn>(1.5));
    models.push_back(std::make_unique<Stubborn>(3.9));
    const auto places = trial_places(past.size(), 4, 8);
    constexpr std::array<std::size_t, 3> kAll{0, 1, 2};
    for (const auto& trial : rehearse(History(past), {}, models, places, 8)) trials.emplace_back(trial, kAll);
    last = ask(History(past), {}, models, 8);
  }
};

TEST(Weights, SumUpToOneAndGoToTheModelThatIsRight) {
  const ThreeModels of;
  const auto weights = weigh(of.trials, History(of.past), 0, 8);
  EXPECT_NEAR(std::accumulate(weights.begin(), weights.end(), 0.0), 1, 1e-12);
  EXPECT_GT(weights[0], 0.99);
}

TEST(Weights, AreEvenWithoutAnythingToGoBy) {
  const ThreeModels of;
  EXPECT_THAT(weigh(std::span(of.trials).first(1), History(std::span(of.past).first(of.trials[0].place())), 0, 8),
              Each(DoubleNear(1.0 / 3, 1e-12)));
}

/// Of two models that say the same all the time, where 10 comes all the time.
std::vector<double> weights_of_two(double one, double other) {
  const std::vector<double> past(8, 10.0);
  Trial trial{4, Eigen::MatrixXd(4, 2)};
  trial.said.col(0).setConstant(one);
  trial.said.col(1).setConstant(other);
  const TrialRecord record(trial, std::array<std::size_t, 2>{0, 1});
  return weigh({&record, 1}, History(past), 0, 4);
}

TEST(Weights, OfTheInversePowerPartFollowFromTheErrors) {
  // Errors 1 and 2 throughout: by error 4/5 and 1/5, by picking 1 and 0, so 0.9 and 0.1.
  EXPECT_THAT(weights_of_two(11, 12), ElementsAre(DoubleNear(0.9, 1e-5), DoubleNear(0.1, 1e-5)));
}

TEST(Weights, PickModelsWhoseMeanIsBetterThanEither) {
  // One is 1 above, the other 1 below: five picks each.
  EXPECT_THAT(weights_of_two(11, 9), Each(DoubleNear(0.5, 1e-5)));
}

TEST(Combination, FollowsTheModelThatWasRight) {
  const ThreeModels of;
  const auto said = combine(of.last.said, weigh(of.trials, History(of.past), 8));
  for (std::size_t i = 0; i < said.size(); ++i) EXPECT_NEAR(said[i], static_cast<double>(i % 4), 0.05) << i;
}

}  // namespace
}  // namespace umbra::forecast
