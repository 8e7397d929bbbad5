/// The known past of one series, addressed by place: 0 is its first step, size() the one that comes next.
#pragma once

#include <cstddef>
#include <span>

namespace umbra::forecast {

/// A view of the last values of a series. All are finite: gaps were filled before. What is older than
/// first() has been forgotten, since a model needs only so much of the past.
class History {
 public:
  explicit History(std::span<const double> whole) : recent_(whole) {}
  History(std::size_t first, std::span<const double> recent) : first_(first), recent_(recent) {}

  std::size_t size() const { return first_ + recent_.size(); }
  std::size_t first() const { return first_; }
  bool empty() const { return recent_.empty(); }
  double operator[](std::size_t place) const { return recent_[place - first_]; }
  double back() const { return recent_.back(); }
  std::span<const double> recent() const { return recent_; }
  /// The last `count` values, or as many as are known.
  std::span<const double> last(std::size_t count) const {
    return count < recent_.size() ? recent_.last(count) : recent_;
  }

 private:
  std::size_t first_ = 0;
  std::span<const double> recent_;
};

}  // namespace umbra::forecast
