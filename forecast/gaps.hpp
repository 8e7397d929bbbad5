/// Series without gaps, for what needs a number at each step.
#pragma once

#include <span>
#include <vector>

namespace umbra::forecast {

/// What is not finite takes the value before it, or the first there is; zeros where there is none at all.
std::vector<double> without_gaps(std::span<const double> values);

}  // namespace umbra::forecast
