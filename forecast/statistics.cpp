#include "forecast/statistics.hpp"

#include <algorithm>
#include <cmath>

namespace umbra::forecast {

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  if (values.size() % 2 == 1) return *middle;
  return (*middle + *std::max_element(values.begin(), middle)) / 2;
}

double quantile(std::span<const double> sorted, double q) {
  const auto place = q * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<std::size_t>(place);
  if (below + 1 >= sorted.size()) return sorted.back();
  return std::lerp(sorted[below], sorted[below + 1], place - static_cast<double>(below));
}

std::vector<double> weighted_quantiles(std::span<const Atom> sorted, std::span<const double> levels) {
  double total = 0;
  for (const auto& atom : sorted) total += atom.weight;
  std::vector<double> out;
  out.reserve(levels.size());
  double below = 0, last_middle = 0;  // in units of weight
  const Atom* last = nullptr;
  for (const auto& atom : sorted) {
    if (out.size() == levels.size()) break;
    if (atom.weight <= 0) continue;
    const auto middle = below + atom.weight / 2;
    while (out.size() < levels.size() && levels[out.size()] * total <= middle) {
      const bool between = last != nullptr && middle > last_middle;
      const auto share = between ? (levels[out.size()] * total - last_middle) / (middle - last_middle) : 1;
      out.push_back(between ? std::lerp(last->value, atom.value, share) : atom.value);
    }
    below += atom.weight;
    last_middle = middle;
    last = &atom;
  }
  out.resize(levels.size(), last->value);
  return out;
}

double weighted_median(std::vector<Atom>& atoms) {
  constexpr double kHalf = 0.5;
  std::sort(atoms.begin(), atoms.end());
  return weighted_quantiles(atoms, {&kHalf, 1}).front();
}

}  // namespace umbra::forecast
