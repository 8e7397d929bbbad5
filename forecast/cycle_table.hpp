/// A series written with a cycle a row, to see whether it repeats itself.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace umbra::forecast {

/// The last whole cycles of a series, a row for each (Buys Ballot 1847), cut into at most 28 cells of the cycle, each
/// row without its level and without the trend that all have in common.
class CycleTable {
 public:
  /// @param sums of the series' values before each place, one more than it has values; about 1 in robust deviations
  /// @param period in steps, from 2 to a half of the series
  CycleTable(std::span<const double> sums, std::size_t period);

  /// Share of the squares within rows that the mean of the other rows predicts (phase dispersion, Stellingwerf 1978,
  /// but out of sample): 1 when all rows are alike, below 0 when they have nothing in common.
  double explained() const;
  /// What repeats, in squares a cell.
  double variance() const { return explained() * total_ / static_cast<double>(rows_.size()); }
  /// Probability that rows which have nothing in common are as much alike: the tail of an F distribution whose degrees
  /// of freedom are as many as a row has independent values (Satterthwaite 1946).
  double chance() const;

 private:
  double independent() const;

  std::size_t cycles_, cells_;
  std::vector<double> rows_;  // cycles × cells
  double total_ = 0, within_ = 0;
};

}  // namespace umbra::forecast
