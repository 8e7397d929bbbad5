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

double weighted_median(std::vector<Atom>& atoms) {
  std::sort(atoms.begin(), atoms.end(), [](const Atom& a, const Atom& b) { return a.value < b.value; });
  double total = 0;
  for (const auto& atom : atoms) total += atom.weight;
  double below = 0, last_middle = 0;
  const Atom* last = nullptr;
  for (const auto& atom : atoms) {
    if (atom.weight <= 0) continue;
    const auto middle = (below + atom.weight / 2) / total;
    if (middle >= 0.5) {
      if (last == nullptr || middle == last_middle) return atom.value;
      return std::lerp(last->value, atom.value, (0.5 - last_middle) / (middle - last_middle));
    }
    below += atom.weight;
    last_middle = middle;
    last = &atom;
  }
  return last->value;
}

}  // namespace umbra::forecast
