#include "forecast/forecast.hpp"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <cstdint>
#include <limits>

namespace umbra::forecast {
namespace {

std::size_t steps_in(Milliseconds window, Milliseconds step) {
  return static_cast<std::size_t>((window.count() + step.count() - 1) / step.count());
}

double quantile_of(std::vector<double> values, double q) {
  if (values.empty()) return std::numeric_limits<double>::quiet_NaN();
  const std::ptrdiff_t rank = std::lround(std::clamp(q, 0.0, 1.0) * static_cast<double>(values.size() - 1));
  std::nth_element(values.begin(), values.begin() + rank, values.end());
  return values[static_cast<std::size_t>(rank)];
}

/// Evenly distributed over (0, 1], by the finaliser of SplitMix64 (Steele, Lea and Flood 2014).
double mark(std::uint64_t number, std::uint64_t origin) {
  auto bits = number * 0x9e3779b97f4a7c15 + (origin + 1) * 0xd1342543de82ef95;
  bits = (bits ^ (bits >> 30)) * 0xbf58476d1ce4e5b9;
  bits = (bits ^ (bits >> 27)) * 0x94d049bb133111eb;
  bits ^= bits >> 31;
  return (static_cast<double>(bits >> 11) + 1) * 0x1p-53;
}

}  // namespace

Forecast::Forecast(UnixMillis start, Milliseconds step, std::vector<double> mean, std::vector<double> paths)
    : start_(start), step_(step), mean_(std::move(mean)), paths_(std::move(paths)) {
  assert(mean_.empty() ? paths_.empty() : paths_.size() % mean_.size() == 0);
}

double Forecast::quantile(std::size_t step, double q) const {
  std::vector<double> values(paths());
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = path(i)[step];
  return quantile_of(std::move(values), q);
}

std::vector<double> Forecast::peaks(Milliseconds window) const {
  std::vector<double> peaks(paths());
  if (peaks.empty()) return peaks;
  const auto count = std::clamp<std::size_t>(steps_in(window, step_), 1, steps());
  for (std::size_t i = 0; i < peaks.size(); ++i) peaks[i] = std::ranges::max(path(i).first(count));
  return peaks;
}

double Forecast::peak_quantile(Milliseconds window, double q) const {
  return quantile_of(peaks(window), q);
}

double Forecast::exceedance(double capacity, Milliseconds window) const {
  const auto highest = peaks(window);
  if (highest.empty()) return 0;
  const auto above = std::ranges::count_if(highest, [&](double peak) { return peak > capacity; });
  return static_cast<double>(above) / static_cast<double>(highest.size());
}

std::vector<double> draw(std::span<const Path> paths, std::size_t count) {
  std::vector<double> drawn;
  if (paths.empty()) return drawn;
  drawn.reserve(count * paths.front().values.size());
  for (std::size_t number = 0; number < count; ++number) {
    // Of exponential times with these rates the first is each path's with the probability of its weight.
    const Path* first = &paths.front();
    auto earliest = std::numeric_limits<double>::infinity();
    for (const auto& path : paths) {
      const auto time = path.weight > 0 ? -std::log(mark(number, path.origin)) / path.weight
                                        : std::numeric_limits<double>::infinity();
      if (time < earliest) earliest = time, first = &path;
    }
    drawn.insert(drawn.end(), first->values.begin(), first->values.end());
  }
  return drawn;
}

Forecast sum(std::span<const Forecast> parts) {
  const Forecast* model = nullptr;
  std::vector<double> mean;
  std::vector<double> paths;
  for (const auto& part : parts) {
    if (part.empty()) continue;
    if (model == nullptr) {
      model = &part;
      mean.assign(part.steps(), 0.0);
      paths.assign(part.steps() * part.paths(), 0.0);
    }
    assert(part.step() == model->step() && part.steps() == model->steps() && part.paths() == model->paths());
    for (std::size_t i = 0; i < mean.size(); ++i) mean[i] += part.mean()[i];
    for (std::size_t i = 0; i < part.paths(); ++i)
      for (std::size_t at = 0; at < mean.size(); ++at) paths[i * mean.size() + at] += part.path(i)[at];
  }
  if (model == nullptr) return {};
  return {model->start(), model->step(), std::move(mean), std::move(paths)};
}

}  // namespace umbra::forecast
