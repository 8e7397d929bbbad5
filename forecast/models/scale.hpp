/// How a model sees a quantity: in levels or in logarithms, with mean 0 and standard deviation 1.
#pragma once

#include <span>

namespace umbra::forecast {

class Scale {
 public:
  enum class Kind { kLevel, kLog };

  /// @param values at least one, finite; kLog needs them non-negative. Zeros are kept finite by a small offset: a
  ///   twentieth of the median of the positive ones, unless all values stay well away from zero
  static Scale fit(std::span<const double> values, Kind kind);

  double to(double value) const;
  /// The inverse; never below zero for kLog.
  double from(double scaled) const;

 private:
  Kind kind_ = Kind::kLevel;
  double offset_ = 0, mean_ = 0, deviation_ = 1;
};

}  // namespace umbra::forecast
