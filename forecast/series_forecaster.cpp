#include "forecast/series_forecaster.hpp"

#include <algorithm>
#include <cmath>

#include "forecast/models/pool.hpp"

namespace umbra::forecast {
namespace {

constexpr double kSeasonsNeeded = 2.25;
constexpr double kGrowth = 1.5;
constexpr std::size_t kLongest = 4;   // of the longest season, and …
constexpr std::size_t kMain = 7;      // … of the main one, is what models look back for
constexpr std::size_t kLeast = 1000;  // steps are worth remembering for any series
constexpr double kLargest = 1e100;    // so that sums of squares stay finite

std::size_t memory_of(const SeriesForecaster::Shape& shape) {
  if (shape.seasons.empty()) return kLeast;
  const auto main = shape.seasons.front();
  return std::max({kLeast, kLongest * shape.seasons.back() + main, (kMain + 1) * main});
}

}  // namespace

SeriesForecaster::SeriesForecaster(Shape shape)
    : shape_(std::move(shape)),
      memory_(memory_of(shape_)),
      begun_(shape_.start),
      first_(shape_.start),
      spread_(0, shape_.horizon) {}

double SeriesForecaster::filled() const {
  const auto season = main_season();
  return season > 0 && gap_ * 24 > season && recent_.size() >= season ? recent_[recent_.size() - season]
                                                                      : recent_.back();
}

void SeriesForecaster::remember(double value, bool real, std::span<const double> known) {
  if (recent_.size() >= 2 * memory_) {  // now and then, rather than one at a time
    const auto surplus = static_cast<std::ptrdiff_t>(recent_.size() - memory_);
    recent_.erase(recent_.begin(), recent_.begin() + surplus);
    real_.erase(real_.begin(), real_.begin() + surplus);
    known_.erase(known_.begin(), known_.begin() + surplus * static_cast<std::ptrdiff_t>(shape_.known));
    first_ += static_cast<std::size_t>(surplus);
  }
  recent_.push_back(value);
  real_.push_back(real ? 1 : 0);
  known_.insert(known_.end(), known.begin(), known.end());
}

void SeriesForecaster::observe(double value, std::span<const double> known) {
  const bool real = std::isfinite(value);
  if (!real && empty()) {
    first_ = ++begun_;
    return;
  }
  gap_ = real ? 0 : gap_ + 1;
  remember(real ? std::clamp(value, -kLargest, kLargest) : filled(), real, known);
  for (const auto& model : models_) model->observe(history(), known);
  if (size() >= build_at_) refit();
  const auto place = history().size();
  if (place % spread_.stride() != 0) return;

  // What is known of the steps ahead is not known here; nothing special is expected.
  const std::vector<double> nothing(shape_.horizon * shape_.known);
  auto trial = ask(history(), Known{nothing, shape_.known}, models_, shape_.horizon);
  spread_.record(place, combine(trial.said, weights_));
  if (trials_.empty() || place - trials_.back().place >= trial_distance(main_season(), shape_.horizon)) {
    weights_ = weigh(trials_, history(), shape_.horizon);
    trials_.push_back(std::move(trial));
    if (trials_.size() > kMostTrials + 1) trials_.erase(trials_.begin());
  }
}

void SeriesForecaster::refit() {
  if (empty()) return;
  const auto had = main_season();
  seasons_.clear();
  for (const auto season : shape_.seasons)
    if (kSeasonsNeeded * static_cast<double>(season) <= static_cast<double>(size())) seasons_.push_back(season);
  const auto now = history();
  auto places = trial_places(recent_.size(), main_season(), shape_.horizon);
  models_ = make_pool({seasons_, shape_.known, places.front(), recent_.size()}, now.recent().first(places.front()));
  for (auto& place : places) place += first_;
  auto known = known_;
  known.resize(known.size() + shape_.horizon * shape_.known);
  trials_ = rehearse(now, Known{known, shape_.known}, models_, places, shape_.horizon);
  weights_ = weigh(trials_, now, shape_.horizon);
  if (main_season() != had) spread_ = Spread(main_season(), shape_.horizon);

  const auto growth = std::min(static_cast<double>(size()) * (kGrowth - 1), static_cast<double>(memory_));
  build_at_ = size() + std::max<std::size_t>(1, static_cast<std::size_t>(growth));
  for (const auto season : shape_.seasons)
    if (const auto enough = static_cast<std::size_t>(std::ceil(kSeasonsNeeded * static_cast<double>(season)));
        enough > size())
      build_at_ = std::min(build_at_, enough);
}

std::vector<double> SeriesForecaster::point(std::size_t steps, const Known& known) {
  return combine(ask(history(), known, models_, steps).said, weights_);
}

SeriesForecaster::Outlook SeriesForecaster::look(std::size_t steps, std::span<const double> levels, Paths paths,
                                                 const Known& known) {
  Outlook outlook;
  outlook.point = point(steps, known);
  if (levels.empty() && paths == Paths::kNo) return outlook;
  spread_.learn(history(), real_);
  if (!levels.empty()) outlook.quantiles = spread_.quantiles(history(), outlook.point, levels);
  if (paths == Paths::kYes) outlook.paths = spread_.paths(history(), outlook.point);
  return outlook;
}

}  // namespace umbra::forecast
