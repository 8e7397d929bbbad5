#include "forecast/cycle_table.hpp"

#include <algorithm>
#include <boost/math/special_functions/beta.hpp>
#include <cmath>

#include "forecast/statistics.hpp"

namespace umbra::forecast {
namespace {

constexpr std::size_t kCells = 28;  // four for a day of a week: more dilute a season in what is a single cell's own
constexpr double kNothing = 1e-9;   // of a square: less is rounding

}  // namespace

CycleTable::CycleTable(std::span<const double> sums, std::size_t period)
    : cycles_((sums.size() - 1) / period), cells_(std::min(period, kCells)), rows_(cycles_ * cells_) {
  const auto start = sums.size() - 1 - cycles_ * period;
  std::vector<double> levels(cycles_), rises(cycles_ - 1);
  for (std::size_t cycle = 0; cycle < cycles_; ++cycle) {
    const auto begin = start + cycle * period;
    levels[cycle] = (sums[begin + period] - sums[begin]) / static_cast<double>(period);
    if (cycle > 0) rises[cycle - 1] = levels[cycle] - levels[cycle - 1];
  }
  // A trend is the same line in every row, and no season.
  const auto rise = median(rises);
  for (std::size_t cell = 0; cell < cells_; ++cell) {
    const auto from = cell * period / cells_, to = (cell + 1) * period / cells_;
    const auto middle = static_cast<double>(from + to) / (2 * static_cast<double>(period)) - 0.5;
    double sum = 0, squares = 0;
    for (std::size_t cycle = 0; cycle < cycles_; ++cycle) {
      const auto begin = start + cycle * period;
      const auto mean = (sums[begin + to] - sums[begin + from]) / static_cast<double>(to - from);
      const auto value = mean - levels[cycle] - rise * middle;
      rows_[cycle * cells_ + cell] = value;
      sum += value;
      squares += value * value;
    }
    total_ += squares;
    within_ += squares - sum * sum / static_cast<double>(cycles_);
  }
  within_ = std::max(within_, kNothing * total_);
}

double CycleTable::explained() const {
  const auto cycles = static_cast<double>(cycles_);
  if (total_ < kNothing * static_cast<double>(rows_.size())) return 0;
  return 1 - std::pow(cycles / (cycles - 1), 2) * within_ / total_;
}

double CycleTable::chance() const {
  const auto cycles = static_cast<double>(cycles_);
  const auto freedom = independent();
  // The tail of F with `freedom` and `freedom` × (cycles - 1) degrees: F = (cycles - 1) × between / within.
  return boost::math::ibeta(freedom * (cycles - 1) / 2, freedom / 2, within_ / total_);
}

/// How many independent values have the same variance of their squares' sum as a row's neighbours allow.
double CycleTable::independent() const {
  std::vector<double> rest = rows_;
  for (std::size_t cell = 0; cell < cells_; ++cell) {
    double mean = 0;
    for (auto at = cell; at < rest.size(); at += cells_) mean += rest[at] / static_cast<double>(cycles_);
    for (auto at = cell; at < rest.size(); at += cells_) rest[at] -= mean;
  }
  double variance = 0, squares = 0;
  for (std::size_t lag = 0; lag < cells_; ++lag) {
    double product = 0;
    for (std::size_t row = 0; row < rest.size(); row += cells_)
      for (std::size_t cell = lag; cell < cells_; ++cell) product += rest[row + cell] * rest[row + cell - lag];
    const auto pairs = static_cast<double>(cycles_ * (cells_ - lag));
    const auto covariance = product / pairs;
    if (lag == 0) variance = covariance;
    squares += (lag == 0 ? 1 : 2) * static_cast<double>(cells_ - lag) * covariance * covariance;
  }
  const auto cells = static_cast<double>(cells_);
  if (squares <= 0) return 1;
  return std::clamp(std::pow(cells * variance, 2) / squares, 1.0, std::max(1.0, cells - 1));
}

}  // namespace umbra::forecast
