#include "forecast/rounded.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace umbra::forecast {

Rounded::Rounded(std::span<const double> values) {
  const auto [least, most] = std::minmax_element(values.begin(), values.end());
  least_ = *least;
  unit_ = (*most - *least) / std::numeric_limits<std::uint16_t>::max();
  steps_.reserve(values.size());
  for (const auto value : values)
    steps_.push_back(unit_ > 0 ? static_cast<std::uint16_t>(std::lround((value - least_) / unit_)) : 0);
}

}  // namespace umbra::forecast
