#include "forecast/series.hpp"

#include <cmath>
#include <limits>

namespace umbra::forecast {

Series resample(std::span<const Point> points, UnixMillis start, Milliseconds step, std::size_t steps) {
  Series series{start, step, std::vector<double>(steps, 0.0)};
  std::vector<std::size_t> counts(steps, 0);
  for (const auto& point : points) {
    if (point.at < start || std::isnan(point.value)) continue;
    const auto index = static_cast<std::size_t>((point.at - start) / step.count());
    if (index >= steps) continue;
    series.values[index] += point.value;
    ++counts[index];
  }
  for (std::size_t i = 0; i < steps; ++i)
    series.values[i] =
        counts[i] == 0 ? std::numeric_limits<double>::quiet_NaN() : series.values[i] / static_cast<double>(counts[i]);
  return series;
}

}  // namespace umbra::forecast
