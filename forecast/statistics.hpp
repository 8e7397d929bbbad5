/// Order statistics of small samples.
#pragma once

#include <span>
#include <vector>

namespace umbra::forecast {

/// The middle value, or the mean of the two in the middle. `values` must not be empty.
double median(std::vector<double> values);

/// Linear between order statistics (Hyndman and Fan 1996, definition 7). `sorted` must not be empty; q in [0, 1].
double quantile(std::span<const double> sorted, double q);

/// A value and how much it counts.
struct Atom {
  double value = 0;
  double weight = 0;
  friend bool operator<(const Atom& a, const Atom& b) { return a.value < b.value; }
};

/// Linear between the middles of the atoms' weights, so that an atom in the middle of its own weight counts half.
/// @param sorted by value; atoms without weight count for nothing, and one must have some
/// @param levels ascending, in [0, 1]
/// @return one for each level
std::vector<double> weighted_quantiles(std::span<const Atom> sorted, std::span<const double> levels);

/// The value at which half of the weight lies below, in the same sense. Sorts `atoms`.
double weighted_median(std::vector<Atom>& atoms);

}  // namespace umbra::forecast
