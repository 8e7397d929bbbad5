/// Evenly spaced values, and how looks at any time become such.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "base/clock.hpp"

namespace umbra::forecast {

/// NaN is a gap. Each value stands for the step that begins at its time.
struct Series {
  UnixMillis start = 0;  ///< of values[0]
  Milliseconds step{};
  std::vector<double> values;
};

/// One look at something, at any time.
struct Point {
  UnixMillis at = 0;
  double value = 0;
};

/// The means of `points` per step over [start, start + steps × step); steps without a point are gaps.
Series resample(std::span<const Point> points, UnixMillis start, Milliseconds step, std::size_t steps);

}  // namespace umbra::forecast
