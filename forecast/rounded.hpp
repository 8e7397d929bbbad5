/// Numbers that need not be exact, in two bytes each.
#pragma once

#include <cmath>
#include <cstdint>
#include <span>
#include <vector>

namespace umbra::forecast {

/// Keeps numbers of up to ±1e32 to within 1/65535 of their range.
class Rounded {
 public:
  explicit Rounded(std::span<const double> values);
  /// So many zeros, to be read over.
  explicit Rounded(std::size_t size) : steps_(size) {}

  std::size_t size() const { return steps_.size(); }
  double operator[](std::size_t index) const { return least_ + unit_ * static_cast<double>(steps_[index]); }

  static constexpr double kLargest = 1e32;
  template <class Self, class Io>
  static void describe(Self& self, Io& io) {
    io(self.least_);
    io(self.unit_);
    io.each(self.steps_);
    io.expect(std::abs(self.least_) <= kLargest && self.unit_ >= 0 && self.unit_ <= kLargest);
  }

 private:
  double least_ = 0, unit_ = 0;
  std::vector<std::uint16_t> steps_;
};

}  // namespace umbra::forecast
