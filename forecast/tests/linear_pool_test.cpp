#include "forecast/linear_pool.hpp"

#include <gmock/gmock.h>

#include <random>

namespace umbra::forecast {
namespace {

using testing::Each;
using testing::Ge;

constexpr LinearPool::Shares kEven{0.25, 0.25, 0.25, 0.25};

/// Two atoms of the same weight.
std::vector<Atom> around(double middle, double width) {
  return {{middle - width / 2, 1}, {middle + width / 2, 1}};
}

double sum(const LinearPool::Shares& shares) {
  double total = 0;
  for (const auto share : shares) total += share;
  return total;
}

TEST(ALinearPool, KeepsItsFirstSharesUntilSomethingCame) {
  constexpr LinearPool::Shares kFirst{0.4, 0.3, 0.2, 0.1};
  EXPECT_EQ(LinearPool(kFirst).shares(), kFirst);
}

TEST(ALinearPool, KeepsThemWhereAllAreAlwaysRight) {
  LinearPool pool(kEven);
  const LinearPool::Parts same{{{{7, 1}}, {{7, 1}}, {{7, 1}}, {{7, 1}}}};
  for (int i = 0; i < 100; ++i) pool.learn(same, 7, 1);
  EXPECT_EQ(pool.shares(), kEven);
}

TEST(ALinearPool, LeavesNextToNothingToAPartThatIsFarOff) {
  LinearPool pool(kEven);
  const LinearPool::Parts said{{around(0, 1), around(0, 1), around(0, 1), around(50, 100)}};
  for (int i = 0; i < 100; ++i) pool.learn(said, i % 2 == 0 ? -0.5 : 0.5, 1);
  const auto shares = pool.shares();
  EXPECT_LT(shares[3], 1e-6);
  EXPECT_NEAR(shares[0], 1 / 3.0, 1e-3) << "those that say the same share what is left";
  EXPECT_NEAR(sum(shares), 1, 1e-12);
}

TEST(ALinearPool, MixesPartsOfWhichNeitherSeesAll) {
  // What comes is 0 or 10; one part knows of 0 alone, another of 10, as a part that is alone right half of the time.
  LinearPool pool(kEven);
  const LinearPool::Parts said{{{{0, 1}}, {{10, 1}}, {{0, 1}}, {{10, 1}}}};
  for (int i = 0; i < 4000; ++i) pool.learn(said, i % 20 < 9 ? 10 : 0, 1);
  // With a share p at 10: CRPS of 10 ((1-q) p² + q (1-p)²) at a rate q of tens: least at p = q.
  const auto shares = pool.shares();
  EXPECT_NEAR(shares[1] + shares[3], 0.45, 0.01);
}

TEST(ALinearPool, FollowsWhoIsRightNow) {
  LinearPool pool(kEven);
  const LinearPool::Parts said{{around(0, 1), around(5, 1), around(20, 1), around(20, 1)}};
  for (int i = 0; i < 500; ++i) pool.learn(said, i % 2, 1);
  EXPECT_GT(pool.shares()[0], 0.9);
  for (int i = 0; i < 3000; ++i) pool.learn(said, 4.6 + 0.8 * (i % 2), 1);
  EXPECT_GT(pool.shares()[1], 0.7);
}

TEST(ALinearPool, CountsByHowMuchItIsTold) {
  LinearPool heard(kEven), told(kEven);
  const LinearPool::Parts said{{around(0, 1), around(1, 1), around(2, 1), around(3, 1)}};
  for (int i = 0; i < 50; ++i) {
    heard.learn(said, i % 2, 1);
    told.learn(said, i % 2, 1);
    told.learn(said, 3, 0);
  }
  EXPECT_EQ(heard.shares(), told.shares());
}

TEST(ALinearPool, FindsNoBetterSharesNearby) {
  // Random parts, and what comes from the second of them: the shares found must do at least as well, in CRPS and
  // divergence from the first, as any that differ a little. Both are computed here from their definitions.
  std::mt19937_64 random(5);
  std::normal_distribution<double> noise;
  LinearPool pool(kEven);
  double products[4][4] = {};
  constexpr int kCame = 400;
  for (int i = 0; i < kCame; ++i) {
    LinearPool::Parts said;
    std::array<double, 4> at{};
    for (std::size_t part = 0; part < 4; ++part) said[part] = {{at[part] = noise(random), 1}};
    const auto came = at[1] + 0.8 * noise(random);
    pool.learn(said, came, 1);
    // Of two points a and b, the integral of the product is the length that both leave between them and what came.
    for (std::size_t a = 0; a < 4; ++a)
      for (std::size_t b = 0; b < 4; ++b)
        if ((at[a] < came) == (at[b] < came))
          products[a][b] += std::min(std::abs(at[a] - came), std::abs(at[b] - came)) / kCame;
  }
  double least = products[0][0];
  for (std::size_t part = 1; part < 4; ++part) least = std::min(least, products[part][part]);
  LinearPool::Shares near = kEven;
  for (std::size_t part = 0; part < 4; ++part)
    near[part] *= std::min(1.0, std::pow(1.3 * least / products[part][part], 12));
  const auto total = sum(near);
  for (auto& share : near) share /= total;
  const auto cost = [&](const LinearPool::Shares& shares) {
    double out = 0;
    for (std::size_t a = 0; a < 4; ++a) {
      for (std::size_t b = 0; b < 4; ++b) out += shares[a] * shares[b] * products[a][b] / least;
      if (shares[a] > 0) out += 0.02 * (1 + 50.0 / kCame) * shares[a] * std::log(shares[a] / near[a]);
    }
    return out;
  };
  const auto found = pool.shares();
  EXPECT_THAT(found, Each(Ge(0.0)));
  for (std::size_t from = 0; from < 4; ++from)
    for (std::size_t to = 0; to < 4; ++to) {
      if (from == to || found[from] < 0.001) continue;
      auto other = found;
      const auto moved = std::min(other[from], 0.05);
      other[from] -= moved;
      other[to] += moved;
      EXPECT_GT(cost(other), cost(found) - 1e-4) << from << " to " << to;
    }
}

}  // namespace
}  // namespace umbra::forecast
