/// Search for the rates of a smoothing.
#pragma once

#include <algorithm>
#include <functional>
#include <limits>
#include <span>

namespace umbra::forecast {

/// One of the rates that are searched for: between 0 and `most`.
template <class Rates>
struct Knob {
  double Rates::*rate;
  double most = 1;
};

struct Descent {
  double stride = 0.25;  ///< at first; halved whenever no knob makes it better by so much
  double least = 0.01;   ///< stride at which the search ends
  int sweeps = std::numeric_limits<int>::max();
};

/// Coordinate descent: turns one knob after the other, each by a stride up or else down, while that lowers the loss.
/// @param rates where it begins
template <class Rates>
Rates descend(Rates rates, std::span<const Knob<Rates>> knobs, Descent how,
              const std::function<double(const Rates&)>& loss) {
  auto best = loss(rates);
  const auto improves = [&](const Knob<Rates>& knob) {
    for (const auto way : {how.stride, -how.stride}) {
      auto tried = rates;
      tried.*knob.rate = std::clamp(tried.*knob.rate + way, 0.0, knob.most);
      if (tried.*knob.rate == rates.*knob.rate) continue;
      const auto sum = loss(tried);
      if (sum >= best) continue;
      best = sum;
      rates = tried;
      return true;
    }
    return false;
  };
  for (int sweep = 0; sweep < how.sweeps && how.stride > how.least; ++sweep) {
    bool better = false;
    for (const auto& knob : knobs) better |= improves(knob);
    if (!better) how.stride /= 2;
  }
  return rates;
}

}  // namespace umbra::forecast
