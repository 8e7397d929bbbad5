#include "forecast/linear_pool.hpp"

#include <algorithm>
#include <numeric>
#include <utility>

namespace umbra::forecast {
namespace {

constexpr std::size_t kPoints = 20;   // that stand for a part, each as likely as any other
constexpr double kDiscount = 0.9995;  // from one thing that came to the one before
constexpr double kTolerated = 1.3;    // a part that does worse than the best by more loses its share, and …
constexpr double kSteepness = 12;     // … steeply
constexpr double kFaith = 0.02;       // in the first shares, …
constexpr double kFaithAtFirst = 50;  // … and as much again when so many things have come
constexpr int kMostSteps = 100;       // of the descent, which ends …
constexpr double kSettled = 1e-4;     // … when a stride wins less
constexpr double kStride = 0.25;      // halved where it was too far

constexpr std::array<double, kPoints> evenly() {
  std::array<double, kPoints> levels{};
  for (std::size_t i = 0; i < kPoints; ++i) levels[i] = (static_cast<double>(i) + 0.5) / kPoints;
  return levels;
}

void to_one(LinearPool::Shares& shares) {
  const auto total = std::accumulate(shares.begin(), shares.end(), 0.0);
  for (auto& share : shares) share /= total;
}

}  // namespace

void LinearPool::learn(const Parts& said, double came, double counts) {
  constexpr auto kLevels = evenly();
  struct Point {
    double value;
    std::size_t part;
  };
  std::vector<Point> points;
  points.reserve(kParts * kPoints);
  for (std::size_t part = 0; part < kParts; ++part)
    for (const auto value : weighted_quantiles(said[part], kLevels)) points.push_back({value, part});
  std::ranges::sort(points, {}, &Point::value);

  std::array<double, kParts> deviation{};  // of each part's distribution function from the step at what came
  Products now{};
  auto from = std::min(came, points.front().value);
  const auto up_to = [&](double value) {
    const auto width = value - std::exchange(from, value);
    for (std::size_t part = 0; part < kParts; ++part)
      for (std::size_t other = 0; other <= part; ++other)
        now[place(part, other)] += static_cast<float>(width * deviation[part] * deviation[other]);
  };
  bool passed = false;
  const auto pass = [&] {
    up_to(came);
    for (auto& of_part : deviation) of_part -= 1;
    passed = true;
  };
  for (const auto& [value, part] : points) {
    if (!passed && came <= value) pass();
    up_to(value);
    deviation[part] += 1.0 / kPoints;
  }
  if (!passed) pass();

  const auto kept = 1 - counts * (1 - kDiscount);
  const auto add = [&](float& sum, float more) {
    sum = static_cast<float>(kept * static_cast<double>(sum) + counts * static_cast<double>(more));
  };
  add(count_, 1);
  for (std::size_t product = 0; product < products_.size(); ++product) add(products_[product], now[product]);
}

/// Exponentiated gradient (Kivinen and Warmuth 1997) on the CRPS, relative to the best part's, plus faith times the
/// divergence from the first shares.
LinearPool::Shares LinearPool::shares() const {
  const auto loss = [&](std::size_t part, std::size_t other) {
    return static_cast<double>(products_[place(part, other)]);
  };
  auto least = loss(0, 0);
  for (std::size_t part = 1; part < kParts; ++part) least = std::min(least, loss(part, part));
  auto near = first_;
  if (!(least > 0)) return near;
  for (std::size_t part = 0; part < kParts; ++part)
    near[part] *= std::min(1.0, std::pow(kTolerated * least / loss(part, part), kSteepness));
  to_one(near);

  const auto faith = kFaith * (1 + kFaithAtFirst / static_cast<double>(count_));
  // Half of the slope of the CRPS, and the divergence's.
  const auto slopes = [&](const Shares& shares) {
    std::array<Shares, 2> out{};
    for (std::size_t part = 0; part < kParts; ++part) {
      if (!(shares[part] > 0)) continue;
      for (std::size_t other = 0; other < kParts; ++other) out[0][part] += shares[other] * loss(part, other) / least;
      out[1][part] = faith * std::log(shares[part] / near[part]);
    }
    return out;
  };
  const auto cost = [](const Shares& shares, const std::array<Shares, 2>& slope) {
    double sum = 0;
    for (std::size_t part = 0; part < kParts; ++part) sum += shares[part] * (slope[0][part] + slope[1][part]);
    return sum;
  };
  auto shares = near;
  auto slope = slopes(shares);
  auto stride = kStride;
  for (int step = 0; step < kMostSteps; ++step) {
    auto next = shares;
    for (std::size_t part = 0; part < kParts; ++part)
      next[part] *= std::exp(-stride * (2 * slope[0][part] + slope[1][part]));
    to_one(next);
    const auto there = slopes(next);
    const auto gain = cost(shares, slope) - cost(next, there);
    if (gain < 0) {
      stride /= 2;
      continue;
    }
    shares = next;
    slope = there;
    if (gain < kSettled) break;
  }
  return shares;
}

}  // namespace umbra::forecast
