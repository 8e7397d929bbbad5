#include "forecast/forecaster.hpp"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <random>

#include "forecast/holt_winters.hpp"

namespace umbra::forecast {
namespace {

constexpr Milliseconds kDay{std::chrono::hours(24)};

std::size_t steps_in(Milliseconds window, Milliseconds step) {
  return static_cast<std::size_t>((window.count() + step.count() - 1) / step.count());
}

/// Draws shocks for the paths from the past surprises, in blocks, so that bursts stay bursts (Künsch's moving-block
/// bootstrap). Blocks are chosen by position in the history, the same for every series of that length and seed.
class Shocks {
 public:
  Shocks(std::span<const double> surprises, std::uint64_t seed)
      : surprises_(surprises), blocks_(seed), spare_draws_(seed ^ 0x9e3779b97f4a7c15) {
    for (const double surprise : surprises)
      if (!std::isnan(surprise)) spares_.push_back(surprise);
    block_ = std::max<std::size_t>(1, static_cast<std::size_t>(std::cbrt(static_cast<double>(surprises.size()))));
  }

  void begin_path() { left_ = 0; }

  double next() {
    if (left_ == 0) {
      at_ = blocks_() % surprises_.size();
      left_ = block_;
    }
    --left_;
    const double surprise = surprises_[at_++ % surprises_.size()];
    if (!std::isnan(surprise)) return surprise;
    return spares_.empty() ? 0 : spares_[spare_draws_() % spares_.size()];
  }

 private:
  std::span<const double> surprises_;
  std::vector<double> spares_;  // stands in where the history has a gap
  std::mt19937_64 blocks_;
  std::mt19937_64 spare_draws_;  // apart, so that one series' gaps do not shift the blocks of the next draw
  std::size_t block_ = 1;
  std::size_t at_ = 0;
  std::size_t left_ = 0;
};

}  // namespace

Series resample(std::span<const Point> points, UnixMillis start, Milliseconds step, std::size_t steps) {
  Series series{start, step, std::vector<double>(steps, 0.0)};
  std::vector<std::size_t> counts(steps, 0);
  for (const auto& point : points) {
    if (point.at < start || std::isnan(point.value)) continue;
    const auto index = static_cast<std::size_t>((point.at - start) / step.count());
    if (index >= steps) continue;
    series.values[index] += point.value;
    ++counts[index];
  }
  for (std::size_t i = 0; i < steps; ++i)
    series.values[i] =
        counts[i] == 0 ? std::numeric_limits<double>::quiet_NaN() : series.values[i] / static_cast<double>(counts[i]);
  return series;
}

Forecast::Forecast(UnixMillis start, Milliseconds step, std::vector<double> mean, std::vector<double> paths)
    : start_(start), step_(step), mean_(std::move(mean)), paths_(std::move(paths)) {
  assert(mean_.empty() ? paths_.empty() : paths_.size() % mean_.size() == 0);
}

namespace {

double quantile_of(std::vector<double> values, double q) {
  if (values.empty()) return std::numeric_limits<double>::quiet_NaN();
  const auto rank = static_cast<std::ptrdiff_t>(std::clamp(q, 0.0, 1.0) * static_cast<double>(values.size() - 1) + 0.5);
  std::nth_element(values.begin(), values.begin() + rank, values.end());
  return values[static_cast<std::size_t>(rank)];
}

}  // namespace

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

Forecast forecast(const Series& history, const Horizon& horizon) {
  const bool unknown = std::ranges::all_of(history.values, [](double value) { return std::isnan(value); });
  if (unknown || horizon.steps == 0 || horizon.paths == 0) return {};
  const auto period = static_cast<std::size_t>(kDay / history.step);
  const auto fitted = fit(history.values, kDay % history.step == Milliseconds::zero() ? period : 0);
  const auto bounded = [&](double value) { return std::clamp(value, history.least, history.most); };

  std::vector<double> mean;
  mean.reserve(horizon.steps);
  for (auto model = fitted.model; mean.size() < horizon.steps; model.advance(0))
    mean.push_back(bounded(model.expected()));

  Shocks shocks(fitted.surprises, horizon.seed);
  std::vector<double> paths;
  paths.reserve(horizon.paths * horizon.steps);
  for (std::size_t i = 0; i < horizon.paths; ++i) {
    shocks.begin_path();
    auto model = fitted.model;
    for (std::size_t at = 0; at < horizon.steps; ++at) {
      const double value = bounded(model.expected() + shocks.next());
      model.advance(value - model.expected());
      paths.push_back(value);
    }
  }
  const auto end = history.start + history.step.count() * static_cast<UnixMillis>(history.values.size());
  return {end, history.step, std::move(mean), std::move(paths)};
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
