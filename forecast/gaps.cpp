#include "forecast/gaps.hpp"

#include <algorithm>
#include <cmath>

namespace umbra::forecast {

std::vector<double> without_gaps(std::span<const double> values) {
  std::vector<double> out;
  out.reserve(values.size());
  const auto first = std::find_if(values.begin(), values.end(), [](double value) { return std::isfinite(value); });
  auto last = first == values.end() ? 0.0 : *first;
  for (const auto value : values) out.push_back(last = std::isfinite(value) ? value : last);
  return out;
}

}  // namespace umbra::forecast
