#include "forecast/holt_winters.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <optional>

namespace umbra::forecast {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr std::array kLevels{0.005, 0.02, 0.1, 0.25, 0.5, 0.85};
constexpr std::array kTrends{0.0, 0.05, 0.2};
constexpr std::array kSeasons{0.0, 0.15, 0.4};
constexpr double kDamping = 0.9;

double mean_of(std::span<const double> values) {
  double sum = 0;
  std::size_t count = 0;
  for (const double value : values)
    if (!std::isnan(value)) {
      sum += value;
      ++count;
    }
  return count == 0 ? kNaN : sum / static_cast<double>(count);
}

/// What the model knows before it has seen the history, and how many steps that was taken from: their surprises are
/// in-sample and say nothing about the future.
struct Beginning {
  double level;
  std::vector<double> season;
  std::size_t warm_up;
};

Beginning without_season(std::span<const double> values) {
  const auto head = std::min<std::size_t>(values.size(), 12);
  const double level = mean_of(values.first(head));
  return {level, {}, values.size() >= 3 * head ? head : 1};
}

/// The season's shape from the first half of the history, at least two periods. Nothing when a phase was never seen.
std::optional<Beginning> with_season(std::span<const double> values, std::size_t period) {
  if (period < 2 || values.size() < 2 * period) return std::nullopt;
  const auto periods = std::max<std::size_t>(2, values.size() / period / 2);
  const auto head = values.first(periods * period);
  Beginning beginning{mean_of(head), std::vector<double>(period), values.size() > head.size() ? head.size() : period};
  for (std::size_t phase = 0; phase < period; ++phase) {
    std::vector<double> seen;
    for (auto at = phase; at < head.size(); at += period) seen.push_back(head[at]);
    beginning.season[phase] = mean_of(seen) - beginning.level;
    if (std::isnan(beginning.season[phase])) return std::nullopt;
  }
  return beginning;
}

/// Runs the model over the history. `score_from`: the surprises that count, the same for models that are compared.
double score(HoltWinters& model, std::span<const double> values, std::size_t score_from,
             std::vector<double>* surprises) {
  double squares = 0;
  std::size_t count = 0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const double surprise = std::isnan(values[i]) ? kNaN : values[i] - model.expected();
    if (i >= score_from && !std::isnan(surprise)) {
      squares += surprise * surprise;
      ++count;
    }
    if (surprises != nullptr) surprises->push_back(i >= score_from ? surprise : kNaN);
    model.advance(std::isnan(surprise) ? 0 : surprise);
  }
  return count == 0 ? 0 : squares / static_cast<double>(count);
}

void centre(std::vector<double>& surprises) {
  const double mean = mean_of(surprises);
  for (double& surprise : surprises) surprise -= mean;
}

}  // namespace

HoltWinters::HoltWinters(const Smoothing& smoothing, double level, std::vector<double> season)
    : smoothing_(smoothing), level_(level), season_(std::move(season)) {}

void HoltWinters::advance(double surprise) {
  const double slope = smoothing_.damping * slope_;
  level_ += slope + smoothing_.level * surprise;
  slope_ = slope + smoothing_.trend * smoothing_.level * surprise;
  if (season_.empty()) return;
  season_[phase_] += smoothing_.season * surprise;
  if (++phase_ == season_.size()) phase_ = 0;
}

Fit fit(std::span<const double> values, std::size_t period) {
  // Steps before the first value carry nothing; keeping them out lets a young series start at its own level.
  const auto first = std::ranges::find_if(values, [](double value) { return !std::isnan(value); });
  const auto lead = static_cast<std::size_t>(first - values.begin());
  const auto known = values.subspan(lead);

  const auto plain = without_season(known);
  const auto seasonal = with_season(known, period);
  const auto score_from = seasonal ? seasonal->warm_up : plain.warm_up;

  const Beginning* best_beginning = &plain;
  Smoothing best;
  double least = std::numeric_limits<double>::infinity();
  const auto consider = [&](const Beginning& beginning, const Smoothing& smoothing) {
    HoltWinters model(smoothing, beginning.level, beginning.season);
    // Akaike's price of a parameter keeps chance from choosing a trend.
    const double parameters = (smoothing.trend > 0) + (smoothing.season > 0) + !beginning.season.empty();
    const double error = score(model, known, score_from, nullptr) *
                         std::exp(2 * parameters / static_cast<double>(known.size() - score_from));
    if (error >= least) return;
    least = error;
    best = smoothing;
    best_beginning = &beginning;
  };
  for (const double level : kLevels)
    for (const double trend : kTrends) {
      consider(plain, {level, trend, 0, kDamping});
      if (seasonal)
        for (const double season : kSeasons) consider(*seasonal, {level, trend, season, kDamping});
    }

  Fit result{HoltWinters(best, best_beginning->level, best_beginning->season), std::vector<double>(lead, kNaN)};
  result.surprises.reserve(values.size());
  score(result.model, known, score_from, &result.surprises);
  centre(result.surprises);
  return result;
}

}  // namespace umbra::forecast
