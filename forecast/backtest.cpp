#include "forecast/backtest.hpp"

#include <algorithm>
#include <cmath>
#include <functional>

#include "forecast/gaps.hpp"
#include "forecast/score.hpp"
#include "forecast/series_forecaster.hpp"

namespace umbra::forecast {
namespace {

constexpr std::size_t kSeasonsNeeded = 2;

struct Said {
  std::vector<double> point;
  std::vector<std::vector<double>> quantiles;  // of backtest_levels()
  double above = 0;                            // probability, where a capacity is given
};

std::size_t main_season(const BacktestPlan& plan) {
  return plan.seasons.empty() ? 1 : plan.seasons.front();
}

/// Ascending; only those with past enough.
std::vector<std::size_t> places_of(std::size_t length, const BacktestPlan& plan) {
  std::vector<std::size_t> places;
  for (auto ago = plan.origins; ago > 0; --ago) {
    const auto back = ago * plan.horizon;
    if (back < length && length - back > kSeasonsNeeded * main_season(plan)) places.push_back(length - back);
  }
  return places;
}

double missed_below(const BacktestPlan& plan) {
  return (1 - plan.interval) / 2;
}

class Judge {
 public:
  Judge(std::span<const double> values, const BacktestPlan& plan) : values_(values), plan_(plan) {}

  void hear(std::size_t place, std::span<const double> past, const Said& said) {
    const auto unit = naive_error(past, main_season(plan_));
    if (!(unit > 0)) return;
    const auto levels = backtest_levels(plan_);
    // Steps at which a value was seen, of the point forecast and of each level.
    std::vector<double> came, point;
    std::vector<std::vector<double>> quantiles(levels.size());
    bool above = false;
    for (std::size_t ahead = 0; ahead < plan_.horizon; ++ahead) {
      const auto value = values_[place + ahead];
      if (!std::isfinite(value)) continue;
      came.push_back(value);
      point.push_back(said.point[ahead]);
      for (std::size_t level = 0; level < levels.size(); ++level)
        quantiles[level].push_back(said.quantiles[ahead][level]);
      above |= plan_.capacity && ahead < plan_.window && value > *plan_.capacity;
    }
    if (came.empty()) return;
    ++score_.origins;
    score_.smape += smape(point, came);
    score_.mase += mase(point, came, unit);
    // The interval may be narrower than the outer deciles.
    const auto lower =
        static_cast<std::size_t>(std::lower_bound(levels.begin(), levels.end(), missed_below(plan_)) - levels.begin());
    const auto upper = levels.size() - 1 - lower;
    score_.msis += msis(quantiles[lower], quantiles[upper], came, 1 - plan_.interval, unit);
    score_.coverage += coverage(quantiles[lower], quantiles[upper], came);
    for (std::size_t level = 0; level < levels.size(); ++level)
      if (level != lower && level != upper)
        loss_ += quantile_loss(quantiles[level], came, levels[level]) / static_cast<double>(levels.size() - 2);
    for (const auto value : came) size_ += std::abs(value) / static_cast<double>(came.size());
    if (plan_.capacity) {
      probabilities_.push_back(said.above);
      happened_.push_back(above ? 1 : 0);
    }
  }

  BacktestScore verdict() {
    const auto count = static_cast<double>(std::max<std::size_t>(1, score_.origins));
    for (auto* sum : {&score_.smape, &score_.mase, &score_.msis, &score_.coverage}) *sum /= count;
    score_.weighted_quantile_loss = size_ > 0 ? loss_ / size_ : 0;
    if (!probabilities_.empty()) score_.brier = brier(probabilities_, happened_);
    return score_;
  }

 private:
  std::span<const double> values_;
  const BacktestPlan& plan_;
  BacktestScore score_;
  double loss_ = 0, size_ = 0;
  std::vector<double> probabilities_, happened_;
};

/// A rule without paths knows no maximum: that of the step most likely to be above, as if all steps rose together.
double above_any(const BaselineForecast& said, const BacktestPlan& plan, std::span<const double> levels) {
  double below = 1;
  for (std::size_t ahead = 0; ahead < std::min(plan.window, said.quantiles.size()); ++ahead) {
    const auto& quantiles = said.quantiles[ahead];
    const auto place = std::upper_bound(quantiles.begin(), quantiles.end(), *plan.capacity) - quantiles.begin();
    const auto index = static_cast<std::size_t>(place);
    double level = 0;
    if (index == quantiles.size())
      level = 1 - (1 - levels.back()) / 2;
    else if (index == 0)
      level = levels.front() / 2;
    else {
      const auto width = quantiles[index] - quantiles[index - 1];
      const auto share = width > 0 ? (*plan.capacity - quantiles[index - 1]) / width : 0.5;
      level = std::lerp(levels[index - 1], levels[index], share);
    }
    below = std::min(below, level);
  }
  return 1 - below;
}

}  // namespace

std::vector<double> backtest_levels(const BacktestPlan& plan) {
  const auto missed = missed_below(plan);
  std::vector<double> levels{missed};
  for (int decile = 1; decile < 10; ++decile) levels.push_back(decile / 10.0);
  levels.push_back(1 - missed);
  std::sort(levels.begin(), levels.end());
  return levels;
}

BacktestScore backtest(std::span<const double> values, const BacktestPlan& plan, const Known& known,
                       const BacktestWitness& witness) {
  const auto filled = without_gaps(values);
  const auto levels = backtest_levels(plan);
  Judge judge(values, plan);
  SeriesForecaster series({plan.seasons, plan.horizon, known.width});
  std::size_t seen = 0;
  for (const auto place : places_of(values.size(), plan)) {
    for (; seen < place; ++seen) series.observe(values[seen], known.row(seen));
    if (series.empty()) continue;
    series.refit();
    const auto paths = plan.capacity ? SeriesForecaster::Paths::kYes : SeriesForecaster::Paths::kNo;
    auto outlook = series.look(plan.horizon, levels, paths, known.from(place, plan.horizon));
    const auto above = plan.capacity ? exceedance(outlook.paths, *plan.capacity, plan.window) : 0;
    if (witness) witness({place, outlook.point, outlook.quantiles});
    judge.hear(place, std::span(filled).first(place), {std::move(outlook.point), std::move(outlook.quantiles), above});
  }
  return judge.verdict();
}

BacktestScore backtest(std::span<const double> values, const BacktestPlan& plan, Baseline baseline) {
  const auto filled = without_gaps(values);
  const auto levels = backtest_levels(plan);
  Judge judge(values, plan);
  for (const auto place : places_of(values.size(), plan)) {
    const auto past = std::span(filled).first(place);
    auto said = baseline_forecast(baseline, past, main_season(plan), plan.horizon, levels);
    const auto above = plan.capacity ? above_any(said, plan, levels) : 0;
    judge.hear(place, past, {std::move(said.point), std::move(said.quantiles), above});
  }
  return judge.verdict();
}

}  // namespace umbra::forecast
