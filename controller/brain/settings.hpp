/// The brain's knobs, with the defaults of the [brain] section.
#pragma once

#include <chrono>

#include "base/units.hpp"

namespace umbra::controller {

using namespace std::chrono_literals;

struct BrainSettings {
  std::chrono::milliseconds tick = 5s;

  // Forecast: history in steps of `forecast_step` gives P(demand > capacity) within `window` from now.
  std::chrono::milliseconds window = 30min;
  std::chrono::milliseconds forecast_step = 5min;
  std::chrono::milliseconds history = 24h * 14;

  // Tiers: reached at these probabilities, left `hysteresis` below them.
  double staged = 0.1;
  double warm = 0.3;
  double hot = 0.6;
  double cutover = 0.8;
  double hysteresis = 0.05;
  // A change counts once `confirm_k` of the last `confirm_n` ticks wanted it.
  unsigned confirm_k = 2;
  unsigned confirm_n = 3;

  bool automatic = true;  ///< false: shadows follow the probabilities, cutovers are left to the operator
  std::chrono::milliseconds cooldown = 5min;  ///< after a move, before the same VM is moved again
  double minimum_gain = 0.2;                  ///< probability here less probability there
  unsigned moves_per_host = 2;                ///< at once, in and out each
  Bytes memory_reserve{};                     ///< stays free on every standby host, on top of what its agent keeps back

  // Maintenance: probability rises from 0 at `maintenance_notice` before the start to 1 at `maintenance_lead` before
  // it.
  std::chrono::milliseconds maintenance_notice = 6h;
  std::chrono::milliseconds maintenance_lead = 30min;
  // A zone whose hosts came back is trusted again by half after this time.
  std::chrono::milliseconds zone_recovery = 2min;
};

}  // namespace umbra::controller
