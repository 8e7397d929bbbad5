/// How much each of several distributions counts in their mixture, by how well the mixture would have done.
#pragma once

#include <array>
#include <cmath>
#include <span>
#include <vector>

#include "forecast/statistics.hpp"

namespace umbra::forecast {

/// Learns the shares of a linear pool (Stone 1961). Its CRPS, the integral of (Σ share F - [came <= x])² over x, is
/// quadratic in the shares: with the mean product of any two parts' deviations known, the best shares of all that has
/// come are too. They are held near those that are given first, and a part that alone does far worse than the best
/// gets next to nothing, or its tails would show.
class LinearPool {
 public:
  static constexpr std::size_t kParts = 4;
  using Shares = std::array<double, kParts>;
  using Parts = std::array<std::vector<Atom>, kParts>;  ///< each by value, and not empty

  explicit LinearPool(const Shares& first) : first_(first) {}

  /// @param counts as much, from 0 to 1
  void learn(const Parts& said, double came, double counts);

  /// They sum up to 1.
  Shares shares() const;

  template <class Self, class Io>
  static void describe(Self& self, Io& io) {
    io(self.count_);
    io.expect(std::isfinite(self.count_) && self.count_ >= 0);
    io.each(self.products_);
    for (std::size_t part = 0; part < kParts; ++part)
      for (std::size_t other = 0; other <= part; ++other) {
        const auto product = self.products_[place(part, other)];
        io.expect(std::isfinite(product) && (product >= 0 || part != other));
      }
  }

 private:
  static constexpr std::size_t place(std::size_t part, std::size_t other) {
    return part > other ? part * (part + 1) / 2 + other : other * (other + 1) / 2 + part;
  }
  using Products = std::array<float, kParts*(kParts + 1) / 2>;

  Shares first_;
  // Sums over all that came, older ones discounted.
  float count_ = 0;
  Products products_{};  // of two parts' deviations, integrated
};

}  // namespace umbra::forecast
