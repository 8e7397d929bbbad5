#include "forecast/score.hpp"

#include <cmath>

namespace umbra::forecast {
namespace {

double over(double sum, std::size_t count) {
  return count == 0 ? 0 : sum / static_cast<double>(count);
}

/// Of a quantile (Koenker and Bassett 1978).
double pinball(double said, double came, double q) {
  const auto above = came - said;
  return above > 0 ? q * above : (q - 1) * above;
}

}  // namespace

double smape(std::span<const double> said, std::span<const double> came) {
  double sum = 0;
  for (std::size_t i = 0; i < came.size(); ++i) {
    const auto both = std::abs(said[i]) + std::abs(came[i]);
    if (both > 0) sum += 200 * std::abs(said[i] - came[i]) / both;
  }
  return over(sum, came.size());
}

double naive_error(std::span<const double> past, std::size_t season) {
  if (season == 0 || past.size() <= season) season = 1;
  double sum = 0;
  for (auto i = season; i < past.size(); ++i) sum += std::abs(past[i] - past[i - season]);
  return past.size() <= season ? 0 : over(sum, past.size() - season);
}

double mase(std::span<const double> said, std::span<const double> came, double unit) {
  double sum = 0;
  for (std::size_t i = 0; i < came.size(); ++i) sum += std::abs(said[i] - came[i]);
  return over(sum, came.size()) / unit;
}

double msis(std::span<const double> lower, std::span<const double> upper, std::span<const double> came, double alpha,
            double unit) {
  double sum = 0;
  for (std::size_t i = 0; i < came.size(); ++i)
    sum += upper[i] - lower[i] + 2 / alpha * (std::max(0.0, lower[i] - came[i]) + std::max(0.0, came[i] - upper[i]));
  return over(sum, came.size()) / unit;
}

double coverage(std::span<const double> lower, std::span<const double> upper, std::span<const double> came) {
  double within = 0;
  for (std::size_t i = 0; i < came.size(); ++i) within += came[i] >= lower[i] && came[i] <= upper[i] ? 1 : 0;
  return over(within, came.size());
}

double quantile_loss(std::span<const double> said, std::span<const double> came, double q) {
  double sum = 0;
  for (std::size_t i = 0; i < came.size(); ++i) sum += 2 * pinball(said[i], came[i], q);
  return over(sum, came.size());
}

double brier(std::span<const double> said, std::span<const double> happened) {
  double sum = 0;
  for (std::size_t i = 0; i < said.size(); ++i) sum += (said[i] - happened[i]) * (said[i] - happened[i]);
  return over(sum, said.size());
}

}  // namespace umbra::forecast
