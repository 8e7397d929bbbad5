#include "forecast/emergence.hpp"

#include <gmock/gmock.h>

#include <cmath>
#include <functional>
#include <limits>
#include <random>

namespace umbra::forecast {
namespace {

using testing::Each;

using Surprises = std::function<double(std::mt19937_64&, double last)>;

double normal(std::mt19937_64& random, double) {
  return std::normal_distribution<double>()(random);
}
double heavy(std::mt19937_64& random, double) {
  return std::student_t_distribution<double>(2)(random);
}
double lognormal(std::mt19937_64& random, double) {
  return std::exp(2 * std::normal_distribution<double>()(random));
}
double few(std::mt19937_64& random, double) {
  return std::bernoulli_distribution(0.1)(random) ? 1 : 0;
}
double following(std::mt19937_64& random, double last) {
  return 0.7 * last + std::normal_distribution<double>()(random);
}

constexpr double kPatience = 5000;

/// In how many of 250 series of 1000 surprises the probability exceeds a half, and nine tenths.
struct Alarms {
  int half = 0, nine_tenths = 0;
};

Alarms alarms(const Surprises& surprises) {
  Alarms count;
  for (std::uint64_t seed = 0; seed < 250; ++seed) {
    std::mt19937_64 random(seed);
    Emergence emergence(kPatience);
    double last = 0, most = 0;
    for (int step = 0; step < 1000; ++step) {
      last = surprises(random, last);
      most = std::max(most, emergence.observe(10, 3, 10 + 3 * last).probability);
    }
    count.half += most > 0.5;
    count.nine_tenths += most > 0.9;
  }
  return count;
}

TEST(Emergence, WithoutGrowthAlarmsAreAsRareAsPromised) {
  // More than a half once in 5000 steps: 50 of 250 series of 1000. More than nine tenths: a ninth of that.
  for (const auto surprises : {normal, heavy, lognormal, few, following}) {
    const auto count = alarms(surprises);
    EXPECT_LE(count.half, 50);
    EXPECT_LE(count.nine_tenths, 50 / 9);
  }
}

TEST(Emergence, NeitherAConstantErrorNorAWrongSpreadIsGrowth) {
  EXPECT_LE(alarms([](auto& random, double) { return 5 + 20 * normal(random, 0); }).half, 50);
  EXPECT_LE(alarms([](auto& random, double) { return -5 + normal(random, 0) / 20; }).half, 50);
}

struct Detection {
  int missed = 0;
  double delay = 0, begun = 0;  ///< means over those detected; begun is how far it is from the truth
};

/// Growth from step 500 on, over 50 series.
Detection detect(const Surprises& surprises, const std::function<double(int since)>& growth, int patience = 600) {
  Detection found;
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    std::mt19937_64 random(seed);
    Emergence emergence(kPatience);
    double last = 0;
    for (int step = 0; step < 500; ++step) emergence.observe(0, 1, last = surprises(random, last));
    int since = 0;
    for (; since < patience; ++since) {
      last = surprises(random, last);
      const auto evidence = emergence.observe(0, 1, last + growth(since));
      if (evidence.probability <= 0.5) continue;
      found.delay += since + 1;
      found.begun += std::abs(static_cast<double>(evidence.begun) - 500);
      break;
    }
    found.missed += since == patience;
  }
  found.delay /= 50 - found.missed;
  found.begun /= 50 - found.missed;
  return found;
}

TEST(Emergence, SeesAStepTheSoonerTheGreaterItIs) {
  const auto great = detect(normal, [](int) { return 4.0; });
  EXPECT_EQ(great.missed, 0);
  EXPECT_LE(great.delay, 8);
  EXPECT_LE(great.begun, 3);
  const auto small = detect(normal, [](int) { return 1.0; });
  EXPECT_EQ(small.missed, 0);
  EXPECT_LE(small.delay, 40);
  EXPECT_LE(small.begun, 15);
  const auto smaller = detect(normal, [](int) { return 0.5; });
  EXPECT_LE(smaller.missed, 2);
  EXPECT_LE(smaller.delay, 150);
}

TEST(Emergence, SeesAStepAmongHeavyTailsAndAmongSurprisesThatFollowEachOther) {
  const auto among_heavy = detect(heavy, [](int) { return 2.0; });
  EXPECT_EQ(among_heavy.missed, 0);
  EXPECT_LE(among_heavy.delay, 40);
  const auto among_following = detect(following, [](int) { return 4.0; });
  EXPECT_EQ(among_following.missed, 0);
  EXPECT_LE(among_following.delay, 60);
}

TEST(Emergence, SeesASlowRamp) {
  const auto found = detect(normal, [](int since) { return 0.01 * since; });  // a deviation in a hundred steps
  EXPECT_EQ(found.missed, 0);
  EXPECT_LE(found.delay, 130);
}

TEST(Emergence, ShrinkingIsNotGrowth) {
  const auto found = detect(normal, [](int) { return -3.0; });
  EXPECT_GE(found.missed, 45);
}

TEST(Emergence, AFewOutliersAreNoGrowth) {
  std::mt19937_64 random(1);
  Emergence emergence(kPatience);
  for (int step = 0; step < 500; ++step) emergence.observe(0, 1, normal(random, 0));
  const auto before = emergence.evidence().probability;
  const auto after = emergence.observe(0, 1, 1e12).probability;
  // 5.5 times the odds at most, and of one bet of three.
  EXPECT_LE(after / (1 - after), 5.5 * before / (1 - before) + 1e-12);
  EXPECT_LT(emergence.observe(0, 1, 1e300).probability, 0.5);
}

TEST(Emergence, EachBetWinsWhatItsRankIsWorth) {
  // Positions that alternate teach no autocorrelation that counts. From the 51st surprise on they are ranked: ranks of
  // a rising series are always the highest, [n / (n + 1), 1] of n + 1.
  Emergence emergence(1);
  double last = 0;
  for (int step = 0; step < 60; ++step) last = emergence.observe(0, 1, step % 2 == 0 ? -1 : 1).probability;
  EmergenceState fresh = emergence.state();
  fresh.past = {1, 2, 3, 4};
  fresh.oldest = 0;
  fresh.bets = {};
  Emergence ranked(fresh);
  // Innovation 9 is above four others: rank [0.8, 1], of which the upper half is above 0.9.
  last = ranked.observe(0, 1, 9).probability;
  const auto won = (1 + 0.3 * 0.8 + 1 + 0.8 * 0.8 + 0.5 + 5 * 0.5) / 3;
  EXPECT_NEAR(last, won / (1 + won), 1e-12);
  EXPECT_EQ(ranked.evidence().begun, 60u);
}

TEST(Emergence, PositionsServeAsWellAsValues) {
  std::mt19937_64 random(3);
  std::uniform_real_distribution<double> uniform(0, 1);
  Emergence emergence(kPatience);
  for (int step = 0; step < 500; ++step) emergence.observe(uniform(random));
  EXPECT_LT(emergence.evidence().probability, 0.5);
  for (int step = 0; step < 15; ++step) emergence.observe(0.95 + 0.05 * uniform(random));
  EXPECT_GT(emergence.evidence().probability, 0.9);
  EXPECT_NEAR(static_cast<double>(emergence.evidence().begun), 500, 5);
}

TEST(Emergence, GoesOnFromWhatWasKept) {
  std::mt19937_64 random(4);
  Emergence emergence;
  for (int step = 0; step < 1300; ++step) emergence.observe(0, 1, normal(random, 0));
  Emergence loaded(emergence.state());
  for (int step = 0; step < 100; ++step) {
    const auto came = normal(random, 0) + 1;
    EXPECT_EQ(emergence.observe(0, 1, came).probability, loaded.observe(0, 1, came).probability);
  }
}

TEST(Emergence, AnyInputHasAnAnswer) {
  const auto nan = std::numeric_limits<double>::quiet_NaN(), infinite = std::numeric_limits<double>::infinity();
  Emergence emergence(-1);
  EXPECT_EQ(emergence.evidence().begun, 0u);
  std::vector<double> said;
  for (int round = 0; round < 100; ++round)
    for (const auto mean : {0.0, nan, infinite, 1.7e308, -1.7e308})
      for (const auto spread : {0.0, -1.0, nan, 1e-308, 1e308}) {
        said.push_back(emergence.observe(mean, spread, -mean).probability);
        said.push_back(emergence.observe(mean).probability);
      }
  EXPECT_THAT(said, Each(testing::AllOf(testing::Ge(0), testing::Le(1))));

  Emergence constant;
  for (int step = 0; step < 500; ++step) constant.observe(7, 0, 7);
  EXPECT_LT(constant.evidence().probability, 0.01);
  EXPECT_EQ(constant.evidence().begun, 500u);
}

}  // namespace
}  // namespace umbra::forecast
