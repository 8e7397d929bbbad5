#include "forecast/emergence.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace umbra::forecast {
namespace {

constexpr std::size_t kMemory = 1000;  // innovations; three and a half days of five minutes
constexpr double kKeep = 0.999;        // what a surprise counts for the autocorrelation one step later
constexpr double kWanders = 0.9;       // an autocorrelation that cannot be told from 1: a level that never returns
constexpr double kWarm = 50;           // surprises; before, their autocorrelation is anyone's guess
constexpr double kSurest = 2;          // standard errors that an autocorrelation must be away from none to count
constexpr double kClip = 4;            // deviations
constexpr double kMost = 1e9;          // of a surprise; more is as much
constexpr double kTop = 0.9;           // ranks above are what the boldest bet is on
constexpr double kBoldLeft = 0.5;      // of its stake, otherwise
constexpr double kMostGain = 600;      // so that evidence stays finite

/// Where an innovation stands among `past`, as the part of [0, 1] that it shares with its equals.
struct Rank {
  double low = 0, high = 1;
};

Rank rank(const std::vector<double>& past, double value) {
  double below = 0, equal = 1;
  for (const auto other : past) {
    below += other < value;
    equal += other == value;
  }
  const auto all = static_cast<double>(past.size() + 1);
  return {below / all, (below + equal) / all};
}

/// What a stake of 1 becomes. Its mean over all ranks is 1.
double linear(const Rank& rank, double slope) {
  return 1 + slope * (rank.low + rank.high - 1);
}
double bold(const Rank& rank) {
  const auto in_top = std::max(0.0, rank.high - std::max(rank.low, kTop)) / (rank.high - rank.low);
  return kBoldLeft + (1 - kBoldLeft) / (1 - kTop) * in_top;
}

}  // namespace

Emergence::Emergence(double patience) {
  state_.patience = std::max(1.0, patience);
}

Emergence::Emergence(EmergenceState state) : state_(std::move(state)) {
  state_.patience = std::max(1.0, state_.patience);
  if (state_.past.size() > kMemory) state_.past.resize(kMemory);
  if (state_.oldest >= kMemory) state_.oldest = 0;
}

Evidence Emergence::observe(double mean, double spread, double came) {
  const auto usual = std::max(spread, std::numeric_limits<double>::min());
  // Halves, since the difference of two huge values may be infinite.
  const auto surprise = std::clamp((came / 2 - mean / 2) / usual * 2, -kMost, kMost);
  if (std::isfinite(mean) && std::isfinite(spread) && std::isfinite(came)) learn(surprise);
  ++state_.steps;
  return evidence();
}

Evidence Emergence::observe(double position) {
  const auto inside = std::clamp(position, 1 / kMost, 1 - 1 / kMost);
  if (std::isfinite(position)) learn(std::log(inside / (1 - inside)));
  ++state_.steps;
  return evidence();
}

Evidence Emergence::evidence() const {
  const auto& bets = state_.bets;
  const auto best =
      std::max_element(bets.begin(), bets.end(), [](const auto& a, const auto& b) { return a.gain < b.gain; });
  double won = 0;
  for (const auto& bet : bets) won += std::exp(bet.gain) / static_cast<double>(bets.size());
  const auto odds = won / state_.patience;
  return {odds / (1 + odds), best->gain > 0 ? best->begun : state_.steps};
}

void Emergence::learn(double surprise) {
  auto& state = state_;
  // Taken before the surprise has a say in it, which must not explain itself.
  const bool warm = state.weight >= kWarm * 0.97 && state.variance > 0;
  const auto correlation = warm ? state.lagged / state.variance : 0;
  const auto carry = correlation > kWanders ? 1 : correlation > kSurest / std::sqrt(state.weight) ? correlation : 0;
  const auto limit = warm ? kClip * std::sqrt(state.variance / state.weight) : kMost;
  const auto clipped = std::clamp(surprise, state.level - limit, state.level + limit);
  if (warm) bet(surprise - carry * state.last);
  const auto away = clipped - state.level;
  state.variance = kKeep * state.variance + away * away;
  state.lagged = kKeep * state.lagged + away * (state.last - state.level);
  state.weight = kKeep * state.weight + 1;
  state.level += away / state.weight;
  state.last = clipped;
}

void Emergence::bet(double innovation) {
  auto& state = state_;
  const auto place = rank(state.past, innovation);
  const std::array becomes{linear(place, 0.3), linear(place, 0.8), bold(place)};
  for (std::size_t i = 0; i < state.bets.size(); ++i) {
    auto& [gain, begun] = state.bets[i];
    if (gain <= 0) begun = state.steps;
    gain = std::clamp(gain + std::log(becomes[i]), 0.0, kMostGain);
  }

  if (state.past.size() < kMemory) {
    state.past.push_back(innovation);
  } else {
    state.past[state.oldest] = innovation;
    state.oldest = (state.oldest + 1) % kMemory;
  }
}

}  // namespace umbra::forecast
