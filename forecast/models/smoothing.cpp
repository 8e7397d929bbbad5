#include "forecast/models/smoothing.hpp"

#include <cmath>

#include "forecast/descent.hpp"

namespace umbra::forecast {
namespace {

constexpr double kHuber = 3;  // standard deviations of the series; its surprises are far smaller
constexpr double kGrowth = 1.3;
constexpr int kSweeps = 40;
constexpr double kMostCarry = 0.98;

double huber(double error) {
  const auto size = std::abs(error);
  return size < kHuber ? size * size : kHuber * (2 * size - kHuber);
}

}  // namespace

DoubleSeasonal::DoubleSeasonal(std::string name, Scale::Kind scale, std::size_t day, std::size_t week,
                               std::span<const double> past)
    : name_(std::move(name)), scale_(Scale::fit(past, scale)), day_(day), week_(week) {}

DoubleSeasonal::State DoubleSeasonal::begin(std::span<const double> scaled, std::size_t first) const {
  const auto start = scaled.first(std::min(scaled.size(), std::max(day_, week_)));
  State state;
  for (const auto value : start) state.level += value / static_cast<double>(start.size());
  state.day.resize(day_);
  std::vector<double> seen(day_);
  for (std::size_t i = 0; i < start.size(); ++i) {
    state.day[(first + i) % day_] += start[i] - state.level;
    ++seen[(first + i) % day_];
  }
  for (std::size_t phase = 0; phase < day_; ++phase) state.day[phase] /= std::max(1.0, seen[phase]);
  state.week.resize(week_);
  if (week_ > 0)  // what is left of one week alone is half noise
    for (std::size_t i = 0; i < start.size(); ++i)
      state.week[(first + i) % week_] = (start[i] - state.level - state.day[(first + i) % day_]) / 2;
  return state;
}

double DoubleSeasonal::expected(const State& state, const Shares& shares, std::size_t place) const {
  return state.level + state.day[place % day_] + (week_ > 0 ? state.week[place % week_] : 0) +
         shares.carry * state.error;
}

double DoubleSeasonal::advance(State& state, const Shares& shares, std::size_t place, double value) const {
  const auto surprise = value - expected(state, shares, place);
  state.level += shares.level * surprise;
  state.day[place % day_] += shares.day * surprise;
  if (week_ > 0) state.week[place % week_] += shares.week * surprise;
  state.error = 0;
  state.error = value - expected(state, shares, place);
  return surprise;
}

double DoubleSeasonal::loss(State state, const Shares& shares, std::span<const double> scaled,
                            std::size_t first) const {
  double sum = 0;
  for (auto i = std::max(day_, week_); i < scaled.size(); ++i)
    sum += huber(advance(state, shares, first + i, scaled[i]));
  return sum;
}

void DoubleSeasonal::search(const History& history) {
  std::vector<double> scaled;
  scaled.reserve(history.recent().size());
  for (const auto value : history.recent()) scaled.push_back(scale_.to(value));
  const auto first = history.first();
  const auto start = begin(scaled, first);

  std::vector<Knob<Shares>> knobs{{&Shares::level}, {&Shares::day}};
  if (week_ > 0) knobs.push_back({&Shares::week});
  knobs.push_back({&Shares::carry, kMostCarry});
  shares_ = descend<Shares>(shares_, knobs, {.sweeps = kSweeps},
                            [&](const Shares& shares) { return loss(start, shares, scaled, first); });

  state_ = start;
  for (auto i = std::max(day_, week_); i < scaled.size(); ++i) advance(state_, shares_, first + i, scaled[i]);
  searched_at_ = seen_;
}

void DoubleSeasonal::observe(const History& history, std::span<const double> /*known*/) {
  ++seen_;
  if (searched_at_ > 0) advance(state_, shares_, history.size() - 1, scale_.to(history.back()));
}

void DoubleSeasonal::forecast(const History& history, const Known& /*known*/, std::span<double> out) {
  if (searched_at_ == 0 || static_cast<double>(seen_) >= kGrowth * static_cast<double>(searched_at_))
    search(history);
  auto state = state_;
  for (std::size_t ahead = 0; ahead < out.size(); ++ahead) {
    out[ahead] = scale_.from(expected(state, shares_, history.size() + ahead));
    state.error *= shares_.carry;
  }
}

}  // namespace umbra::forecast
