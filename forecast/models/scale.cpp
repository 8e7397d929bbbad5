#include "forecast/models/scale.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "forecast/statistics.hpp"

namespace umbra::forecast {
namespace {

constexpr double kFarFromZero = 0.02;  // of the median
constexpr double kOffset = 0.05;       // of the median
constexpr double kTiny = 1e-9;
constexpr double kLargestExponent = 700;  // exp() of more overflows

double log_offset(std::span<const double> values) {
  std::vector<double> positive;
  std::copy_if(values.begin(), values.end(), std::back_inserter(positive), [](double value) { return value > 0; });
  if (positive.empty()) return 1;
  const auto least = *std::min_element(values.begin(), values.end());
  const auto middle = median(positive);
  return (least > kFarFromZero * middle ? kTiny : kOffset) * middle;
}

}  // namespace

Scale Scale::fit(std::span<const double> values, Kind kind) {
  Scale scale(kind);
  if (kind == Kind::kLog) scale.offset_ = log_offset(values);
  double sum = 0, squares = 0;
  for (const auto value : values) sum += scale.to(value);
  const auto mean = sum / static_cast<double>(values.size());
  for (const auto value : values) squares += (scale.to(value) - mean) * (scale.to(value) - mean);
  const auto deviation = std::sqrt(squares / static_cast<double>(values.size()));
  scale.mean_ = mean;
  // A constant has no deviation of its own; a thousandth of it will do.
  scale.deviation_ = deviation > kTiny * std::abs(mean) ? deviation : std::max(kTiny, 1e-3 * std::abs(mean));
  return scale;
}

Scales Scales::of(std::span<const double> values) {
  Scales scales{Scale::fit(values, Scale::Kind::kLevel), {}};
  if (std::all_of(values.begin(), values.end(), [](double value) { return value >= 0; }))
    scales.log = Scale::fit(values, Scale::Kind::kLog);
  return scales;
}

double Scale::sum(std::span<const double> values) const {
  double sum = 0;
  if (kind_ == Kind::kLevel) {
    for (const auto value : values) sum += value;
  } else {
    // A sum of logarithms is that of the product, as long as a double can hold it.
    constexpr double kOne = 1e40, kAll = 1e200;
    double product = 1;
    for (const auto value : values) {
      const auto factor = std::max(value, 0.0) + offset_;
      if (factor < 1 / kOne || factor > kOne) {
        sum += std::log(factor);
        continue;
      }
      product *= factor;
      if (product < 1 / kAll || product > kAll) sum += std::log(std::exchange(product, 1));
    }
    sum += std::log(product);
  }
  return (sum - static_cast<double>(values.size()) * mean_) / deviation_;
}

double Scale::from(double scaled) const {
  const auto value = scaled * deviation_ + mean_;
  if (kind_ == Kind::kLevel) return value;
  return std::max(0.0, std::exp(std::min(value, kLargestExponent)) - offset_);
}

}  // namespace umbra::forecast
