/// How a model sees a quantity: in levels or in logarithms, with mean 0 and standard deviation 1.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <optional>
#include <span>
#include <type_traits>

namespace umbra::forecast {

class Scale {
 public:
  enum class Kind : std::uint8_t { kLevel, kLog };

  /// With mean 0 and deviation 1 as it is.
  explicit Scale(Kind kind = Kind::kLevel) : kind_(kind) {}
  /// @param values at least one, finite; kLog needs them non-negative. Zeros are kept finite by a small offset: a
  ///   twentieth of the median of the positive ones, unless all values stay well away from zero
  static Scale fit(std::span<const double> values, Kind kind);

  double to(double value) const {
    if (kind_ == Kind::kLog) value = std::log(std::max(value, 0.0) + offset_);
    return (value - mean_) / deviation_;
  }
  /// Of all of them, added up; with far fewer logarithms than values.
  double sum(std::span<const double> values) const;
  /// The inverse; never below zero for kLog.
  double from(double scaled) const;

  template <class Self, class Io>
  static void describe(Self& self, Io& io) {
    io(self.offset_);
    io(self.mean_);
    io(self.deviation_);
  }

 private:
  Kind kind_;
  double offset_ = 0, mean_ = 0, deviation_ = 1;
};

/// Both ways to see a quantity; in logarithms only one that was never negative.
struct Scales {
  Scale level;
  std::optional<Scale> log;

  /// @param values as in Scale::fit
  static Scales of(std::span<const double> values);

  template <class Self, class Io>
  static void describe(Self& self, Io& io) {
    std::uint8_t logs = self.log ? 1 : 0;
    io(logs);
    if constexpr (!std::is_const_v<Self>)
      if (logs != 0) self.log = Scale(Scale::Kind::kLog);
    Scale::describe(self.level, io);
    if (self.log) Scale::describe(*self.log, io);
  }
};

}  // namespace umbra::forecast
