#include "forecast/seasons.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <optional>

#include "forecast/cycle_table.hpp"
#include "forecast/gaps.hpp"
#include "forecast/statistics.hpp"

namespace umbra::forecast {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t kCycles = 3;  // fewer cannot tell what repeats from what happened twice
constexpr double kChance = 0.001;   // that a series without a season seems to have one
constexpr double kWorth = 0.05;     // least share of what moves within a cycle that a season must explain
constexpr double kVisible = 0.01;   // and of the variance of the series, unless it is a natural one
constexpr double kAsGood = 0.8;     // a more natural length may explain this share of what the best one does
constexpr double kShorter = 0.3;    // and a much shorter one this, as a day does beside a week
constexpr std::size_t kHarmonics = 4;
constexpr std::size_t kSeasons = 4;  // searched for one after another, harmonics among them
constexpr double kNothing = 1e-13;   // relative to the values: less is rounding

/// Without gaps and a line through it, in robust deviations, outliers drawn in logarithmically: a peak counts, though
/// none for all others. Empty when nothing moves.
std::vector<double> prepared(std::span<const double> values) {
  auto out = without_gaps(values);
  double greatest = 0;
  for (const auto value : out) greatest = std::max(greatest, std::abs(value));
  if (greatest < std::numeric_limits<double>::min()) return {};
  for (auto& value : out) value /= greatest;  // so that no sum overflows
  const auto third = static_cast<std::ptrdiff_t>(out.size() / 3);
  const auto slope = (median({out.end() - third, out.end()}) - median({out.begin(), out.begin() + third})) /
                     static_cast<double>(2 * third);
  for (std::size_t i = 0; i < out.size(); ++i) out[i] -= slope * static_cast<double>(i);
  const auto middle = median(out);
  double mean_deviation = 0;
  std::vector<double> deviations(out.size());
  for (std::size_t i = 0; i < out.size(); ++i) {
    out[i] -= middle;
    deviations[i] = std::abs(out[i]);
    mean_deviation += deviations[i] / static_cast<double>(out.size());
  }
  auto scale = median(std::move(deviations));
  if (scale < kNothing) scale = mean_deviation;
  if (scale < kNothing) return {};
  for (auto& value : out) value = std::asinh(value / scale);
  return out;
}

class Search {
 public:
  Search(std::vector<double> values, std::vector<std::size_t> natural)
      : values_(std::move(values)), natural_(std::move(natural)) {
    for (const auto value : values_) variance_ += value * value / static_cast<double>(values_.size());
  }

  std::vector<std::size_t> run() {
    for (std::size_t round = 0; round < kSeasons; ++round) {
      sum_up();
      const auto period = best();
      if (!period) break;
      found_.push_back(*period);
      remove(*period);
    }
    std::sort(found_.begin(), found_.end());
    found_.erase(std::unique(found_.begin(), found_.end()), found_.end());
    std::vector<std::size_t> out;
    for (const auto period : found_)
      if (!is_harmonic(period)) out.push_back(period);
    return out;
  }

 private:
  struct Length {
    std::size_t period = 0;
    double explained = 0;
  };

  std::size_t longest() const { return values_.size() / kCycles; }
  double explained(std::size_t period) const { return CycleTable(sums_, period).explained(); }
  bool possible(std::size_t period) const { return period >= 2 && period <= longest(); }

  void sum_up() {
    sums_.assign(1, 0);
    for (const auto value : values_) sums_.push_back(sums_.back() + value);
  }

  /// The next length to look at: a cycle or so of phase lies between two over the whole series.
  std::size_t stride(std::size_t period) const {
    return std::max<std::size_t>(1, period * period / (4 * values_.size()));
  }

  /// The length that explains most of each octave, where it is a peak. Long lengths explain more by chance, so without
  /// the octaves they would crowd out the others.
  std::vector<Length> peaks() const {
    std::vector<Length> all, out;
    for (std::size_t period = 2; period <= longest(); period += stride(period))
      all.push_back({period, explained(period)});
    for (std::size_t i = 0; i < all.size(); ++i) {
      if (all[i].explained < kWorth || (i > 0 && all[i].explained < all[i - 1].explained) ||
          (i + 1 < all.size() && all[i].explained < all[i + 1].explained))
        continue;
      if (out.empty() || std::bit_width(out.back().period) < std::bit_width(all[i].period))
        out.push_back(all[i]);
      else if (out.back().explained < all[i].explained)
        out.back() = all[i];
    }
    return out;
  }

  /// Lengths were tried by the cycle of phase, and by the octave; those named beforehand were not searched for.
  bool is_no_chance(std::size_t period) const {
    const CycleTable table(sums_, period);
    const bool expected = std::find(natural_.begin(), natural_.end(), period) != natural_.end();
    if (table.explained() < kWorth || (!expected && table.variance() < kVisible * variance_)) return false;
    const auto size = static_cast<double>(values_.size());
    const auto tries = expected ? 2 : std::log2(size) * size / static_cast<double>(period);
    return table.chance() < kChance / tries;
  }

  std::optional<std::size_t> best() const {
    auto lengths = peaks();
    for (const auto period : natural_)
      if (possible(period)) lengths.push_back({period, explained(period)});
    std::sort(lengths.begin(), lengths.end(),
              [](const Length& a, const Length& b) { return a.explained > b.explained; });
    std::optional<Length> chosen;
    for (const auto& length : lengths)
      if (!is_beside_found(length.period) && (!chosen || is_rather(length, *chosen)) && is_no_chance(length.period))
        chosen = length;
    if (!chosen) return {};
    return settle(chosen->period);
  }

  /// A part of a longer season is either a season of its own or its harmonic.
  static bool is_rather(const Length& shorter, const Length& longer) {
    if (shorter.period >= longer.period) return false;
    const bool is_far = shorter.period * kHarmonics < longer.period;
    return shorter.explained >= (is_far ? kShorter : kAsGood) * longer.explained;
  }

  /// What a season leaves when its phase drifts or its length is no whole number.
  bool is_beside_found(std::size_t period) const {
    return std::any_of(found_.begin(), found_.end(), [&](std::size_t other) {
      return std::max(period, other) - std::min(period, other) < std::max(period, other) / kHarmonics;
    });
  }

  /// The best of the lengths around `period`, or one that cannot be told from it and has more to say for itself: a
  /// natural one, or a multiple of one found before.
  std::size_t settle(std::size_t period) const {
    Length top{period, explained(period)};
    const auto around = stride(period);
    for (auto other = period - std::min(around, period); other <= period + around; ++other)
      if (possible(other) && explained(other) > top.explained) top = {other, explained(other)};
    const auto reach = std::max<std::size_t>(1, top.period * top.period / (2 * values_.size()));
    const auto is_near = [&](std::size_t other) {
      return possible(other) && std::max(other, top.period) - std::min(other, top.period) <= reach;
    };
    for (const auto natural : natural_)
      if (is_near(natural) && is_no_chance(natural)) return natural;
    for (const auto shorter : found_) {
      const auto multiple = (top.period + shorter / 2) / shorter * shorter;
      if (is_near(multiple) && explained(multiple) >= kAsGood * top.explained) return multiple;
    }
    return top.period;
  }

  void remove(std::size_t period) {
    std::vector<double> sums(period), counts(period);
    for (std::size_t i = 0; i < values_.size(); ++i) {
      sums[i % period] += values_[i];
      counts[i % period] += 1;
    }
    for (std::size_t i = 0; i < values_.size(); ++i) values_[i] -= sums[i % period] / counts[i % period];
  }

  bool is_harmonic(std::size_t period) const {
    return std::any_of(found_.begin(), found_.end(), [&](std::size_t longer) {
      return longer > period && longer % period == 0 && longer / period <= kHarmonics;
    });
  }

  std::vector<double> values_, sums_;
  double variance_ = 0;  // of the whole, before anything is removed
  std::vector<std::size_t> natural_, found_;
};

}  // namespace

std::vector<std::size_t> find_seasons(std::span<const double> values, Milliseconds step) {
  if (values.size() < 2 * kCycles) return {};
  auto moving = prepared(values);
  if (moving.empty()) return {};
  std::vector<std::size_t> natural;
  for (const Milliseconds length : {Milliseconds(24h), Milliseconds(7 * 24h)})
    if (step > 0ms && length % step == 0ms && length / step >= 2)
      natural.push_back(static_cast<std::size_t>(length / step));
  return Search(std::move(moving), std::move(natural)).run();
}

}  // namespace umbra::forecast
