/// Sampled futures of one series, or of a sum of several.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "base/clock.hpp"
#include "forecast/spread.hpp"

namespace umbra::forecast {

/// Paths with the same number belong together: see draw().
class Forecast {
 public:
  Forecast() = default;
  /// @param paths row by row, each as long as `mean`
  Forecast(UnixMillis start, Milliseconds step, std::vector<double> mean, std::vector<double> paths);

  /// Nothing was known of the past, so nothing is said of the future.
  bool empty() const { return mean_.empty(); }
  UnixMillis start() const { return start_; }
  Milliseconds step() const { return step_; }
  std::size_t steps() const { return mean_.size(); }
  std::size_t paths() const { return empty() ? 0 : paths_.size() / mean_.size(); }
  /// Expected value per step.
  const std::vector<double>& mean() const { return mean_; }
  std::span<const double> path(std::size_t index) const { return {&paths_[index * steps()], steps()}; }
  /// The value that the series stays below at `step` with probability q in [0, 1].
  double quantile(std::size_t step, double q) const;
  /// The value that the whole of the next `window` stays below with probability q.
  double peak_quantile(Milliseconds window, double q) const;
  /// Probability that the series is above `capacity` in at least one step of the next `window`.
  double exceedance(double capacity, Milliseconds window) const;

 private:
  std::vector<double> peaks(Milliseconds window) const;

  UnixMillis start_ = 0;
  Milliseconds step_{};
  std::vector<double> mean_;
  std::vector<double> paths_;
};

/// Draws `count` of the weighted `paths`, one below the other, such that series which look back at the same stretch of
/// time do so under the same number: what rose together in the past then rises together in a sum. Each path has a mark
/// of its own for each number, made from its origin alone; a series takes the one whose mark, raised by its weight, is
/// the highest (the Gumbel-max trick with common random numbers). Deterministic.
std::vector<double> draw(std::span<const Path> paths, std::size_t count);

/// The forecast of the sum, path by path. Empty parts count as nothing; all parts must share step and horizon.
Forecast sum(std::span<const Forecast> parts);

}  // namespace umbra::forecast
