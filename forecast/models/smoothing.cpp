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

DoubleSeasonal::State DoubleSeasonal::begin(std::span<const double> scaled, std::size_t first) const {
  const auto start = scaled.first(std::min(scaled.size(), std::max(day_, week_)));
  State state;
  for (const auto value : start) state.level += value / static_cast<double>(start.size());
  std::vector<double> day(day_), seen(day_);
  for (std::size_t i = 0; i < start.size(); ++i) {
    day[(first + i) % day_] += start[i] - state.level;
    ++seen[(first + i) % day_];
  }
  for (std::size_t phase = 0; phase < day_; ++phase)
    state.day.push_back(static_cast<float>(day[phase] / std::max(1.0, seen[phase])));
  state.week.resize(week_);
  if (week_ > 0)  // what is left of one week alone is half noise
    for (std::size_t i = 0; i < start.size(); ++i)
      state.week[(first + i) % week_] =
          static_cast<float>((start[i] - state.level - static_cast<double>(state.day[(first + i) % day_])) / 2);
  return state;
}

DoubleSeasonal::Phase DoubleSeasonal::phase_of(std::size_t place) const {
  return {place % day_, week_ > 0 ? place % week_ : 0};
}

void DoubleSeasonal::next(Phase& phase) const {
  if (++phase.day == day_) phase.day = 0;
  if (++phase.week >= week_) phase.week = 0;
}

double DoubleSeasonal::expected(const State& state, const Shares& shares, Phase phase) const {
  const auto season = state.day[phase.day] + (week_ > 0 ? state.week[phase.week] : 0);
  return state.level + static_cast<double>(season) + shares.carry * state.error;
}

double DoubleSeasonal::advance(State& state, const Shares& shares, Phase phase, double value) const {
  float none = 0;
  auto& day = state.day[phase.day];
  auto& week = week_ > 0 ? state.week[phase.week] : none;
  const auto missed = [&] { return value - state.level - static_cast<double>(day + week); };
  const auto surprise = missed() - shares.carry * state.error;
  state.level += shares.level * surprise;
  day += static_cast<float>(shares.day * surprise);
  if (week_ > 0) week += static_cast<float>(shares.week * surprise);
  state.error = missed();
  return surprise;
}

double DoubleSeasonal::loss(State state, const Shares& shares, std::span<const double> scaled,
                            std::size_t first) const {
  const auto start = std::max(day_, week_);
  double sum = 0;
  auto phase = phase_of(first + start);
  for (auto i = start; i < scaled.size(); ++i, next(phase)) sum += huber(advance(state, shares, phase, scaled[i]));
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
  for (auto i = std::max(day_, week_); i < scaled.size(); ++i) advance(state_, shares_, phase_of(first + i), scaled[i]);
  searched_at_ = seen_;
}

void DoubleSeasonal::observe(const History& history, std::span<const double> /*known*/) {
  ++seen_;
  if (searched_at_ > 0) advance(state_, shares_, phase_of(history.size() - 1), scale_.to(history.back()));
}

void DoubleSeasonal::forecast(const History& history, const Known& /*known*/, std::span<double> out) {
  if (searched_at_ == 0 || static_cast<double>(seen_) >= kGrowth * static_cast<double>(searched_at_)) search(history);
  auto state = state_;
  for (std::size_t ahead = 0; ahead < out.size(); ++ahead) {
    out[ahead] = scale_.from(expected(state, shares_, phase_of(history.size() + ahead)));
    state.error *= shares_.carry;
  }
}

void DoubleSeasonal::save(StateWriter& out) const {
  out(static_cast<std::uint64_t>(seen_));
  out(static_cast<std::uint64_t>(searched_at_));
  if (searched_at_ == 0) return;
  for (const auto share : {shares_.level, shares_.day, shares_.week, shares_.carry}) out(share);
  out(state_.level);
  out(state_.error);
  out.each(state_.day);
  out.each(state_.week);
}

void DoubleSeasonal::load(StateReader& in) {
  in(seen_);
  in(searched_at_);
  in.expect(in.holds(day_ + week_, sizeof(float)));
  if (in.failed() || searched_at_ == 0) return;
  for (auto* share : {&shares_.level, &shares_.day, &shares_.week, &shares_.carry}) in(*share);
  in(state_.level);
  in(state_.error);
  state_.day.resize(day_);
  state_.week.resize(week_);
  in.each(state_.day);
  in.each(state_.week);
}

}  // namespace umbra::forecast
