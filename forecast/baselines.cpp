#include "forecast/baselines.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <limits>

#include "forecast/descent.hpp"
#include "forecast/statistics.hpp"

namespace umbra::forecast {
namespace {

constexpr std::size_t kMostErrors = 2000;  // of the newest places; quantiles need no more

/// Level, trend and season, and how fast each follows.
struct Rates {
  double level = 0.2, trend = 0.01, season = 0.1;
};

/// Runs over the past; with a season of 1 and no trend it is simple smoothing.
class Smoother {
 public:
  Smoother(std::span<const double> past, std::size_t season, bool trend, const Rates& rates)
      : season_(season, 0.0), trend_(trend), rates_(rates) {
    if (season < 2) {
      level_ = past.front();
      return;
    }
    double first = 0, second = 0;
    const auto length = static_cast<double>(season);
    for (std::size_t i = 0; i < season; ++i) {
      first += past[i] / length;
      second += past[i + season] / length;
    }
    level_ = first;
    slope_ = trend ? (second - first) / length : 0;
    for (std::size_t i = 0; i < season; ++i) season_[i] = (past[i] - first + past[i + season] - second) / 2;
  }

  double ahead(std::size_t place, std::size_t steps) const {
    return level_ + slope_ * static_cast<double>(steps) + season_[(place + steps - 1) % season_.size()];
  }
  /// @return the error of what was expected
  double take(std::size_t place, double value) {
    const auto error = value - ahead(place, 1);
    auto& phase = season_[place % season_.size()];
    const auto before = level_;
    level_ = rates_.level * (value - phase) + (1 - rates_.level) * (level_ + slope_);
    if (trend_) slope_ = rates_.trend * (level_ - before) + (1 - rates_.trend) * slope_;
    if (season_.size() > 1) phase = rates_.season * (value - level_) + (1 - rates_.season) * phase;
    return error;
  }

 private:
  double level_ = 0, slope_ = 0;
  std::vector<double> season_;
  bool trend_;
  Rates rates_;
};

double loss(std::span<const double> past, std::size_t season, bool trend, const Rates& rates) {
  Smoother smoother(past, season, trend, rates);
  double sum = 0;
  for (std::size_t place = 0; place < past.size(); ++place) {
    const auto error = smoother.take(place, past[place]);
    sum += error * error;
  }
  return std::isfinite(sum) ? sum : std::numeric_limits<double>::infinity();
}

Rates fitted(std::span<const double> past, std::size_t season, bool trend) {
  std::vector<Knob<Rates>> knobs{{&Rates::level}};
  if (trend) knobs.push_back({&Rates::trend});
  if (season > 1) knobs.push_back({&Rates::season});
  return descend<Rates>({}, knobs, {.stride = 0.2},
                        [&](const Rates& rates) { return loss(past, season, trend, rates); });
}

/// A rule's word on the steps after each place of the past, without what came then.
using Rule = std::function<void(std::size_t place, std::span<double> said)>;

/// Asks the rule everywhere, and adds the quantiles of its errors to what it says now.
BaselineForecast with_errors(std::span<const double> past, std::size_t first, std::size_t steps,
                             std::span<const double> levels, const Rule& rule) {
  BaselineForecast out{std::vector<double>(steps), std::vector<std::vector<double>>(steps)};
  rule(past.size(), out.point);
  if (levels.empty()) return out;
  std::vector<std::vector<double>> errors(steps);
  std::vector<double> said(steps);
  const auto from = past.size() > kMostErrors ? std::max(first, past.size() - kMostErrors) : first;
  for (auto place = from; place < past.size(); ++place) {
    rule(place, said);
    for (std::size_t ahead = 0; ahead < steps && place + ahead < past.size(); ++ahead)
      errors[ahead].push_back(past[place + ahead] - said[ahead]);
  }
  const bool positive = *std::min_element(past.begin(), past.end()) >= 0;
  for (std::size_t ahead = 0; ahead < steps; ++ahead) {
    auto& of = errors[ahead].empty() && ahead > 0 ? errors[ahead - 1] : errors[ahead];
    if (of.empty()) of.push_back(0);
    std::sort(of.begin(), of.end());
    for (const auto level : levels) {
      const auto value = out.point[ahead] + quantile(of, level);
      out.quantiles[ahead].push_back(positive ? std::max(0.0, value) : value);
    }
    if (errors[ahead].empty()) errors[ahead] = errors[ahead - 1];
  }
  return out;
}

BaselineForecast smoothed(std::span<const double> past, std::size_t season, bool trend, std::size_t steps,
                          std::span<const double> levels) {
  const auto rates = fitted(past, season, trend);
  // The state before each place, in order: asked for the end first, then from the beginning on.
  Smoother now(past, season, trend, rates);
  for (std::size_t place = 0; place < past.size(); ++place) now.take(place, past[place]);
  Smoother then(past, season, trend, rates);
  std::size_t taken = 0;
  return with_errors(past, 2 * season, steps, levels, [&](std::size_t place, std::span<double> said) {
    if (place < past.size())
      for (; taken < place; ++taken) then.take(taken, past[taken]);
    const auto& smoother = place == past.size() ? now : then;
    for (std::size_t ahead = 0; ahead < said.size(); ++ahead) said[ahead] = smoother.ahead(place, ahead + 1);
  });
}

}  // namespace

std::string_view to_string(Baseline baseline) {
  switch (baseline) {
    case Baseline::kNaive:
      return "naive";
    case Baseline::kSeasonalNaive:
      return "seasonal-naive";
    case Baseline::kSimpleSmoothing:
      return "simple-smoothing";
    case Baseline::kHoltWinters:
      return "holt-winters";
  }
  return "?";
}

BaselineForecast baseline_forecast(Baseline baseline, std::span<const double> past, std::size_t season,
                                   std::size_t steps, std::span<const double> levels) {
  if (season == 0 || past.size() < 2 * season || baseline == Baseline::kNaive || baseline == Baseline::kSimpleSmoothing)
    season = 1;
  switch (baseline) {
    case Baseline::kNaive:
    case Baseline::kSeasonalNaive:
      return with_errors(past, season, steps, levels, [&](std::size_t place, std::span<double> said) {
        for (std::size_t ahead = 0; ahead < said.size(); ++ahead) said[ahead] = past[place - season + ahead % season];
      });
    case Baseline::kSimpleSmoothing:
      return smoothed(past, 1, false, steps, levels);
    case Baseline::kHoltWinters:
      return smoothed(past, season, season > 1, steps, levels);
  }
  return {};
}

}  // namespace umbra::forecast
