#include "forecast/series_forecaster.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "forecast/models/peer_profile.hpp"

namespace umbra::forecast {
namespace {

constexpr double kSeasonsNeeded = 2.25;
constexpr double kGrowth = 1.5;
constexpr double kPeersAtFirst = 0.8;
constexpr std::size_t kLongest = 4;   // of the longest season, and …
constexpr std::size_t kMain = 7;      // … of the main one, is what models look back for
constexpr std::size_t kLeast = 1000;  // steps are worth remembering for any series
constexpr std::size_t kSlack = 64;    // of what is remembered is forgotten at once, rather than one value at a time
constexpr double kLargest = 1e30;     // so that sums of squares stay finite

// What a stored state may be of: far beyond what is sensible, and small enough to count with.
constexpr std::size_t kMostSeasons = 16;
constexpr std::size_t kMostSteps = 1'000'000;  // of a season, of the horizon
constexpr std::size_t kMostColumns = 1'000;
constexpr std::size_t kMostPlace = std::size_t{1} << 48;
constexpr double kRounding = 1e-9;  // that weights need not sum up to 1 by

std::size_t memory_of(const SeriesForecaster::Shape& shape) {
  if (shape.seasons.empty()) return kLeast;
  const auto main = shape.seasons.front();
  return std::max({kLeast, kLongest * shape.seasons.back() + main, (kMain + 1) * main});
}

std::vector<std::uint8_t> packed(const std::vector<bool>& bits) {
  std::vector<std::uint8_t> bytes((bits.size() + 7) / 8);
  for (std::size_t i = 0; i < bits.size(); ++i)
    if (bits[i]) bytes[i / 8] = static_cast<std::uint8_t>(bytes[i / 8] | 1 << i % 8);
  return bytes;
}

std::vector<std::size_t> all_of(const Models& models) {
  std::vector<std::size_t> all(models.size());
  std::iota(all.begin(), all.end(), 0);
  return all;
}

/// Those of `models` at the places `chosen`.
Models chosen_from(Models models, std::span<const std::uint8_t> chosen) {
  Models out;
  for (const auto index : chosen) out.push_back(std::move(models[index]));
  return out;
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
  return static_cast<double>(
      season > 0 && gap_ * 24 > season && recent_.size() >= season ? recent_[recent_.size() - season] : recent_.back());
}

void SeriesForecaster::remember(double value, bool real, std::span<const double> known) {
  if (const auto surplus = memory_ / kSlack; recent_.size() >= memory_ + surplus) {
    const auto forget = [](auto& values, std::size_t count) {
      values.erase(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(count));
    };
    forget(recent_, surplus);
    forget(real_, surplus);
    forget(known_, surplus * shape_.known);
    first_ += surplus;
  }
  if (recent_.size() == recent_.capacity())  // as usual, but never for more than will ever be remembered
    recent_.reserve(std::min(2 * recent_.size() + 1, memory_ + memory_ / kSlack));
  recent_.push_back(static_cast<float>(value));
  real_.push_back(real);
  for (const auto column : known) known_.push_back(static_cast<float>(column));
}

void SeriesForecaster::observe(double value, std::span<const double> known) {
  const bool real = std::isfinite(value);
  if (!real && empty()) {
    first_ = ++begun_;
    return;
  }
  gap_ = real ? 0 : gap_ + 1;
  remember(real ? std::clamp(value, -kLargest, kLargest) : filled(), real, known);
  // Models look no farther back than their warm-up, and a value is nearly always learned without a glance at the rest.
  std::size_t reach = 0;
  for (const auto& model : models_) reach = std::max(reach, model->warmup());
  const auto latest = past(reach + 1);
  const History seen(end() - latest.size(), latest);
  for (const auto& model : models_) model->observe(seen, known);
  const bool due = size() >= build_at_;
  if (!due && end() % spread_.stride() != 0) return;
  const auto values = past(recent_.size());
  const History history(first_, values);
  if (due) refit(history);
  if (end() % spread_.stride() == 0) rehearse_now(history);
}

/// Records what would be said now.
void SeriesForecaster::rehearse_now(const History& history) {
  // What is known of the steps ahead is not known here; nothing special is expected.
  const std::vector<double> nothing(shape_.horizon * shape_.known);
  const auto trial = ask(history, Known{nothing, shape_.known}, models_, shape_.horizon);
  spread_.record(history.size(), combine(trial.said, weights_));
  if (trials_.empty() || history.size() - trials_.back().place() >= trial_distance(main_season(), shape_.horizon)) {
    weights_ = weigh(trials_, history, shape_.horizon);
    lean_on_peers();
    if (trials_.size() > kMostTrials) trials_.erase(trials_.begin());
    trials_.emplace_back(trial, all_of(models_));
  }
}

PoolShape SeriesForecaster::pool_shape(std::vector<std::size_t> seasons, std::size_t at_first_trial,
                                       std::size_t at_forecast) const {
  PoolShape pool{std::move(seasons), shape_.known, at_first_trial, at_forecast, {}, 0};
  if (!shape_.seasons.empty() && !shape_.peers.empty()) {
    pool.peers = shape_.peers;
    pool.peers_season = shape_.seasons.front();
  }
  return pool;
}

/// What others do counts for four fifths at first, and the less the more of its own the series has shown.
void SeriesForecaster::lean_on_peers() {
  const auto peers = std::find_if(models_.begin(), models_.end(),
                                  [](const auto& model) { return model->name() == PeerProfile::kName; });
  if (peers == models_.end()) return;
  const auto season = static_cast<double>(shape_.seasons.front());
  const auto share = kPeersAtFirst * season / (season + static_cast<double>(size()));
  for (auto* weights : {&weights_.near, &weights_.far}) {
    for (auto& weight : *weights) weight *= 1 - share;
    (*weights)[static_cast<std::size_t>(peers - models_.begin())] += share;
  }
}

Profile SeriesForecaster::profile() const {
  if (shape_.seasons.empty()) return {};
  const auto values = past(recent_.size());
  return profile_of(History(first_, values), shape_.seasons.front());
}

void SeriesForecaster::refit() {
  if (empty()) return;
  const auto values = past(recent_.size());
  refit(History(first_, values));
}

void SeriesForecaster::refit(const History& history) {
  const auto had = main_season();
  std::vector<std::size_t> seasons;
  for (const auto season : shape_.seasons)
    if (kSeasonsNeeded * static_cast<double>(season) <= static_cast<double>(size())) seasons.push_back(season);
  auto places = trial_places(recent_.size(), seasons.empty() ? 0 : seasons.front(), shape_.horizon);
  pool_ = pool_shape(std::move(seasons), places.front(), recent_.size());
  scales_ = Scales::of(history.recent().first(places.front()));
  for (auto& place : places) place += first_;
  auto models = make_pool(pool_, scales_);
  std::vector<double> known(known_.begin(), known_.end());
  known.resize(known.size() + shape_.horizon * shape_.known);
  const auto trials = rehearse(history, Known{known, shape_.known}, models, places, shape_.horizon);
  // What is known of rare steps shows in too few trials to choose a scale by.
  const auto chosen = shape_.known == 0 ? best_of_families(trials, history, models) : all_of(models);
  chosen_.assign(chosen.begin(), chosen.end());
  models_ = chosen_from(std::move(models), chosen_);
  trials_.clear();
  std::vector<TrialRecord> whole;
  for (const auto& trial : trials) {
    trials_.emplace_back(trial, chosen);
    whole.emplace_back(trial, chosen, TrialRecord::Steps::kAll);
  }
  weights_ = weigh(whole, history, shape_.horizon);
  lean_on_peers();
  if (main_season() != had) spread_ = Spread(main_season(), shape_.horizon);

  const auto growth = std::min(static_cast<double>(size()) * (kGrowth - 1), static_cast<double>(memory_));
  build_at_ = size() + std::max<std::size_t>(1, static_cast<std::size_t>(growth));
  for (const auto season : shape_.seasons)
    if (const auto enough = static_cast<std::size_t>(std::ceil(kSeasonsNeeded * static_cast<double>(season)));
        enough > size())
      build_at_ = std::min(build_at_, enough);
}

SeriesForecaster::Outlook SeriesForecaster::look(std::size_t steps, std::span<const double> levels, Paths paths,
                                                 const Known& known) {
  const auto values = past(recent_.size());
  const History history(first_, values);
  Outlook outlook;
  outlook.point = combine(ask(history, known, models_, steps).said, weights_);
  if (levels.empty() && paths == Paths::kNo) return outlook;
  spread_.learn(history, real_);
  if (!levels.empty()) outlook.quantiles = spread_.quantiles(history, outlook.point, levels);
  if (paths == Paths::kYes) outlook.paths = spread_.paths(history, outlook.point);
  return outlook;
}

std::vector<std::pair<std::string, double>> SeriesForecaster::leaders(std::size_t most) const {
  std::vector<std::pair<std::string, double>> all;
  for (std::size_t i = 0; i < models_.size(); ++i) all.emplace_back(models_[i]->name(), share(i));
  std::stable_sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.second > b.second; });
  all.resize(std::min(most, all.size()));
  return all;
}

double SeriesForecaster::moved_from_prior() const {
  double moved = 0, shares = 0;
  for (std::size_t i = 0; i < models_.size(); ++i) {
    const auto of_model = models_[i]->moved_from_prior();
    if (!of_model) continue;
    moved += share(i) * *of_model;
    shares += share(i);
  }
  return shares > 0 ? moved / shares : 0;
}

std::string SeriesForecaster::save() const {
  StateWriter out;
  out.list(shape_.seasons, kMostSeasons);
  out(shape_.horizon);
  out(shape_.known);
  out(shape_.start);
  out.list(shape_.peers, kProfileBlocks);
  out(begun_);
  out(first_);
  out(gap_);
  out.list(recent_, recent_.size());
  out.each(known_);
  out.each(packed(real_));
  if (!empty()) {
    out(build_at_);
    out(static_cast<std::uint8_t>(pool_.seasons.size()));
    out(pool_.at_first_trial);
    out(pool_.at_forecast);
    Scales::describe(scales_, out);
    out.list(chosen_, chosen_.size());
    for (const auto& model : models_) model->save(out);
    out(static_cast<std::uint8_t>(trials_.size()));
    for (const auto& trial : trials_) TrialRecord::describe(trial, out);
    out.each(weights_.near);
    out.each(weights_.far);
    spread_.save(out);
  }
  return sealed(kStoredKind, kStoredVersion, out.take());
}

void SeriesForecaster::load_past(StateReader& in) {
  in(begun_);
  in(first_);
  in(gap_);
  in.expect(shape_.start <= begun_ && begun_ <= first_ && first_ <= kMostPlace && gap_ <= kMostPlace);
  in.list(recent_, memory_ + memory_ / kSlack);
  in.expect(in.holds(recent_.size() * shape_.known, sizeof(float)));
  if (in.failed()) return;
  known_.resize(recent_.size() * shape_.known);
  in.each(known_);
  std::vector<std::uint8_t> bytes((recent_.size() + 7) / 8);
  in.each(bytes);
  for (std::size_t i = 0; i < recent_.size(); ++i) real_.push_back((bytes[i / 8] >> i % 8 & 1) != 0);
  const auto small = [](float value) { return std::abs(static_cast<double>(value)) <= 2 * kLargest; };
  in.expect(std::all_of(recent_.begin(), recent_.end(), small) && std::all_of(known_.begin(), known_.end(), small));
}

void SeriesForecaster::load_models(StateReader& in) {
  std::uint8_t seasons = 0;
  in(build_at_);
  in(seasons);
  in.expect(seasons <= shape_.seasons.size());
  in(pool_.at_first_trial);
  in(pool_.at_forecast);
  Scales::describe(scales_, in);
  in.list(chosen_, std::numeric_limits<std::uint8_t>::max());
  // Each regression has a number for each pair of columns.
  in.expect(in.holds(shape_.known * shape_.known / 2, sizeof(float)));
  if (in.failed()) return;
  pool_ =
      pool_shape({shape_.seasons.begin(), shape_.seasons.begin() + seasons}, pool_.at_first_trial, pool_.at_forecast);
  auto models = make_pool(pool_, scales_);
  std::vector<bool> taken(models.size());
  in.expect(!chosen_.empty());
  for (const auto index : chosen_) {
    in.expect(index < models.size() && !taken[index]);
    if (in.failed()) return;
    taken[index] = true;
  }
  models_ = chosen_from(std::move(models), chosen_);
  for (const auto& model : models_) model->load(in);
}

void SeriesForecaster::load_trials(StateReader& in) {
  std::uint8_t trials = 0;
  in(trials);
  in.expect(trials <= kMostTrials + 1);
  for (std::uint8_t i = 0; i < trials && !in.failed(); ++i) {
    TrialRecord::describe(trials_.emplace_back(shape_.horizon, models_.size()), in);
    in.expect(trials_.back().place() <= end());
  }
  for (auto* weights : {&weights_.near, &weights_.far}) {
    weights->resize(models_.size());
    in.each(*weights);
    in.expect(std::all_of(weights->begin(), weights->end(), [](double weight) { return weight >= 0; }) &&
              std::abs(std::accumulate(weights->begin(), weights->end(), 0.0) - 1) < kRounding);
  }
  spread_ = Spread(main_season(), shape_.horizon);
  spread_.load(in, end());
}

Result<SeriesForecaster> SeriesForecaster::load(std::string_view state) {
  UMBRA_TRY(const auto body, opened(kStoredKind, kStoredVersion, state));
  StateReader in(body);
  Shape shape;
  in.list(shape.seasons, kMostSeasons);
  in(shape.horizon);
  in(shape.known);
  in(shape.start);
  in.list(shape.peers, kProfileBlocks);
  const auto share = [](float part) { return part >= 0 && part < 1e6F; };
  in.expect(shape.peers.empty() || (shape.peers.size() == kProfileBlocks && !shape.seasons.empty() &&
                                    std::ranges::all_of(shape.peers, share)));
  std::size_t last = 0;
  for (const auto season : shape.seasons) in.expect(season > std::exchange(last, season) && season <= kMostSteps);
  in.expect(shape.horizon > 0 && shape.horizon <= kMostSteps && shape.known <= kMostColumns);
  if (!in.failed()) {
    SeriesForecaster loaded(std::move(shape));
    loaded.load_past(in);
    if (!in.failed() && !loaded.empty()) {
      loaded.load_models(in);
      if (!in.failed()) loaded.load_trials(in);
    }
    if (!in.failed() && in.at_end()) return loaded;
  }
  return fail(Errc::kInvalid, "reading a forecaster's state: what it says does not fit together");
}

}  // namespace umbra::forecast
