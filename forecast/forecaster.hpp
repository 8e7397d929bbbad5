/// What a series will do next, as a distribution: pure functions of histories, no clock, no I/O, deterministic.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "base/clock.hpp"

namespace umbra::forecast {

/// Evenly spaced values; NaN is a gap. Each value stands for the step that begins at its time.
struct Series {
  UnixMillis start = 0;  ///< of values[0]
  Milliseconds step{};
  std::vector<double> values;
  double least = -std::numeric_limits<double>::infinity();  ///< what is measured cannot be below …
  double most = std::numeric_limits<double>::infinity();    ///< … or above
};

/// One look at something, at any time.
struct Point {
  UnixMillis at = 0;
  double value = 0;
};

/// The means of `points` (oldest first) per step over [start, start + steps × step); steps without a point are gaps.
Series resample(std::span<const Point> points, UnixMillis start, Milliseconds step, std::size_t steps);

struct Horizon {
  std::size_t steps = 0;    ///< how far to look, in steps of the series, from the series' end
  std::size_t paths = 500;  ///< sampled futures; a probability p is known to about ± sqrt(p(1-p)/paths)
  std::uint64_t seed = 1;   ///< the same seed and history give the same forecast
};

/// Sampled futures of one series, or of a sum of several.
///
/// Paths with the same number belong together: forecasts made with the same seed and step from histories of the same
/// length draw their shocks from the same moments of the past, so what rose together then rises together in a sum.
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

/// Forecasts one series. A history without any value gives an empty forecast; a single value, that value for ever.
Forecast forecast(const Series& history, const Horizon& horizon);

/// The forecast of the sum, path by path. Empty parts count as nothing; all parts must share step and horizon.
Forecast sum(std::span<const Forecast> parts);

}  // namespace umbra::forecast
