#include "forecast/markov.hpp"

#include <gmock/gmock.h>

#include <cmath>
#include <functional>
#include <limits>
#include <numbers>
#include <random>

namespace umbra::forecast {
namespace {

using testing::DoubleNear;
using testing::Each;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::Pointwise;

using Moves = std::vector<std::vector<double>>;

std::vector<Demand> demand(const std::vector<double>& amounts) {
  static const std::vector<std::string> kNames{"berlin", "delhi", "osaka", "quito"};
  std::vector<Demand> out;
  for (std::size_t i = 0; i < amounts.size(); ++i) out.push_back({kNames[i], amounts[i]});
  return out;
}

std::vector<double> moved(const std::vector<double>& share, const Moves& moves) {
  std::vector<double> out(share.size());
  for (std::size_t from = 0; from < share.size(); ++from)
    for (std::size_t to = 0; to < share.size(); ++to) out[to] += share[from] * moves[from][to];
  return out;
}

/// Clients who each move by themselves; only how many are where is seen.
class Crowd {
 public:
  Crowd(std::uint64_t seed, std::vector<int> where) : random_(seed), where_(std::move(where)) {}

  void move(const Moves& moves) {
    std::vector<int> next(where_.size());
    for (std::size_t from = 0; from < where_.size(); ++from) {
      std::discrete_distribution<std::size_t> to(moves[from].begin(), moves[from].end());
      for (int client = 0; client < where_[from]; ++client) ++next[to(random_)];
    }
    where_ = next;
  }
  std::vector<double> amounts() const { return {where_.begin(), where_.end()}; }
  std::vector<double> share() const {
    auto out = amounts();
    double total = 0;
    for (const auto amount : out) total += amount;
    for (auto& amount : out) amount /= total;
    return out;
  }

 private:
  std::mt19937_64 random_;
  std::vector<int> where_;
};

/// The sun's place at a step of a day of 24, as what three locations a third of the way around ask for.
std::vector<double> sun(std::size_t step) {
  std::vector<double> out;
  for (int place = 0; place < 3; ++place)
    out.push_back(1 + std::cos(2 * std::numbers::pi * (static_cast<double>(step % 24) / 24 - place / 3.0)));
  return out;
}

const Moves kMoves{{0.8, 0.15, 0.05}, {0.1, 0.7, 0.2}, {0.25, 0.05, 0.7}};

TEST(LocationChain, IsRecoveredFromSharesThatObeyItExactly) {
  // Started anew now and then, since shares that have settled say nothing of who moves. A start is not a move, and is
  // learnt as one: a fortieth of the steps are errors.
  ChainShape shape;
  shape.keep = 1;
  LocationChain chain(shape);
  std::mt19937_64 random(3);
  std::uniform_real_distribution<double> uniform(0, 1);
  for (int start = 0; start < 60; ++start) {
    std::vector<double> share{uniform(random), uniform(random), uniform(random)};
    const auto total = share[0] + share[1] + share[2];
    for (auto& value : share) value /= total;
    for (int step = 0; step < 40; ++step, share = moved(share, kMoves)) chain.observe(demand(share));
  }
  for (std::size_t from = 0; from < 3; ++from)
    for (std::size_t to = 0; to < 3; ++to) EXPECT_NEAR(chain.move(from, to), kMoves[from][to], 0.08) << from << to;
}

TEST(LocationChain, IsRecoveredFromACrowdOfWhichOnlySharesAreSeen) {
  ChainShape shape;
  shape.keep = 1;
  LocationChain chain(shape);
  Crowd crowd(1, {200, 200, 200});
  for (int step = 0; step < 4000; ++step, crowd.move(kMoves)) chain.observe(demand(crowd.amounts()));
  for (std::size_t from = 0; from < 3; ++from) {
    double sum = 0;
    for (std::size_t to = 0; to < 3; ++to) {
      EXPECT_NEAR(chain.move(from, to), kMoves[from][to], 0.06) << from << to;
      EXPECT_GE(chain.move(from, to), 0);
      sum += chain.move(from, to);
    }
    EXPECT_NEAR(sum, 1, 1e-12);
  }
}

TEST(LocationChain, FollowsACrowdThatChangesItsWays) {
  // Both chains' long-run shares differ: that shift, seen once, looks like staying until it is all but forgotten.
  const Moves other{{0.6, 0.1, 0.3}, {0.3, 0.6, 0.1}, {0.1, 0.3, 0.6}};
  ChainShape shape;
  shape.keep = 0.9985;
  LocationChain chain(shape);
  Crowd crowd(2, {200, 200, 200});
  for (int step = 0; step < 9000; ++step, crowd.move(step < 5000 ? kMoves : other))
    chain.observe(demand(crowd.amounts()));
  for (std::size_t from = 0; from < 3; ++from)
    for (std::size_t to = 0; to < 3; ++to) EXPECT_NEAR(chain.move(from, to), other[from][to], 0.1) << from << to;
}

TEST(LocationChain, ItsDeviationsCoverAsManyFuturesAsTheyShould) {
  LocationChain chain;
  Crowd crowd(5, {300, 300, 300});
  std::vector<std::vector<double>> came;
  std::vector<ShareForecast> said;  // 6 steps before
  constexpr std::size_t kAhead = 6;
  for (int step = 0; step < 3000; ++step, crowd.move(kMoves)) {
    chain.observe(demand(crowd.amounts()));
    came.push_back(crowd.share());
    said.push_back(chain.forecast(kAhead).back());
  }
  int within = 0, all = 0;
  for (std::size_t at = 500; at + kAhead < came.size(); ++at)
    for (std::size_t place = 0; place < 3; ++place, ++all)
      within += std::abs(came[at + kAhead][place] - said[at].mean[place]) < 1.645 * said[at].deviation[place];
  EXPECT_NEAR(static_cast<double>(within) / all, 0.9, 0.03);
}

TEST(LocationChain, BeforeAnyMoveItIsThePrior) {
  ChainShape shape;
  shape.stay = 0.8;
  LocationChain chain(shape);
  chain.observe(demand({3, 1, 0}));  // osaka has never been seen
  const auto said = chain.forecast(2);
  ASSERT_THAT(chain.locations(), ElementsAre("berlin", "delhi"));
  EXPECT_THAT(said[0].mean, Pointwise(DoubleNear(1e-12), {0.75 * 0.8 + 0.25 * 0.2, 0.75 * 0.2 + 0.25 * 0.8}));
  EXPECT_THAT(said[1].mean, Pointwise(DoubleNear(1e-12), {0.65 * 0.8 + 0.35 * 0.2, 0.65 * 0.2 + 0.35 * 0.8}));
  EXPECT_GT(said[1].deviation[0], said[0].deviation[0]);
}

TEST(LocationChain, ALocationMayAppearAtAnyTime) {
  LocationChain chain;
  for (int step = 0; step < 50; ++step) chain.observe(demand({2, 1}));
  for (int step = 0; step < 400; ++step) chain.observe({{{"lima", 3}, {"berlin", 2}, {"delhi", 1}}});
  ASSERT_THAT(chain.locations(), ElementsAre("berlin", "delhi", "lima"));
  EXPECT_THAT(chain.forecast(20).back().mean, Pointwise(DoubleNear(0.02), {2 / 6.0, 1 / 6.0, 0.5}));
}

TEST(LocationChain, FollowsTheSunInStepsOfAThirdOfADay) {
  // Everybody hands over to the next: a permutation, which one chain for all times of the day can be.
  LocationChain chain;
  for (std::size_t step = 0; step < 300; ++step) {
    std::vector<double> share{0.1, 0.1, 0.1};
    share[step % 3] = 0.8;
    chain.observe(demand(share));
  }
  // Step 299 was osaka's, so step 300 is berlin's.
  EXPECT_THAT(chain.forecast(4)[3].mean, Pointwise(DoubleNear(0.05), {0.8, 0.1, 0.1}));
}

TEST(LocationChain, FollowsTheSunByTheHourOnlyWithPhasesOfTheDay) {
  ChainShape phases;
  phases.day = phases.phases = 24;
  LocationChain plain, phased(phases);
  constexpr std::size_t kSteps = 20 * 24 + 7;
  for (std::size_t step = 0; step < kSteps; ++step) {
    plain.observe(demand(sun(step)));
    phased.observe(demand(sun(step)));
  }
  const auto truth = sun(kSteps + 11);
  double error = 0, plain_error = 0;
  for (std::size_t place = 0; place < 3; ++place) {
    error += std::abs(phased.forecast(12).back().mean[place] - truth[place] / 3);
    plain_error += std::abs(plain.forecast(12).back().mean[place] - truth[place] / 3);
  }
  EXPECT_LT(error, 0.1);
  EXPECT_GT(plain_error, 0.4) << "the sum of |share - 1/3|, once the rotation has died out, is 0.58 on average";
}

TEST(LocationChain, StepsWithoutDemandTeachNothing) {
  LocationChain with, without;
  for (const std::vector<double>& amounts : {std::vector<double>{1, 2}, {2, 2}, {3, 1}, {3, 2}}) {
    with.observe(demand(amounts));
    without.observe(demand(amounts));
    with.observe({});
    with.observe(demand({0, 0}));
  }
  EXPECT_EQ(with.state().pooled, without.state().pooled);
  EXPECT_EQ(with.forecast(3)[2].mean, without.forecast(3)[2].mean);
  EXPECT_EQ(with.forecast(3)[2].deviation, without.forecast(3)[2].deviation);
}

TEST(LocationChain, GoesOnFromWhatWasKept) {
  ChainShape shape;
  shape.day = 24;
  shape.phases = 4;
  LocationChain chain(shape);
  for (std::size_t step = 0; step < 50; ++step) chain.observe(demand(sun(step)));
  LocationChain loaded(chain.state());
  for (std::size_t step = 50; step < 80; ++step) {
    chain.observe(demand(sun(step)));
    loaded.observe(demand(sun(step)));
  }
  EXPECT_EQ(chain.forecast(30).back().mean, loaded.forecast(30).back().mean);
  EXPECT_EQ(chain.state().errors, loaded.state().errors);

  auto damaged = chain.state();
  damaged.squares.pop_back();
  LocationChain anew(damaged);
  EXPECT_THAT(anew.locations(), IsEmpty());
  EXPECT_EQ(anew.state().shape.phases, 4u);
}

TEST(LocationChain, AnyDemandGivesShares) {
  const auto nan = std::numeric_limits<double>::quiet_NaN(), infinite = std::numeric_limits<double>::infinity();
  LocationChain chain;
  EXPECT_THAT(chain.forecast(3), IsEmpty());
  chain.observe(demand({nan, -1, infinite}));
  EXPECT_THAT(chain.forecast(3), IsEmpty());
  chain.observe(demand({5}));
  EXPECT_THAT(chain.forecast(1)[0].mean, ElementsAre(1));
  for (int step = 0; step < 20; ++step) {
    chain.observe(demand({1e308, 1.7e308, step % 2 == 0 ? 1e-308 : 0, nan}));
    chain.observe({{{"delhi", 1}, {"delhi", 1}, {"berlin", 2}}});
  }
  for (const auto& step : chain.forecast(50)) {
    double sum = 0;
    for (const auto share : step.mean) sum += share;
    EXPECT_NEAR(sum, 1, 1e-9);
    EXPECT_THAT(step.mean, Each(testing::Ge(0)));
    EXPECT_THAT(step.deviation, Each(testing::AllOf(testing::Ge(0), testing::Lt(10))));
  }
}

}  // namespace
}  // namespace umbra::forecast
