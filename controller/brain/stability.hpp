/// From a probability that wavers to a level that does not: hysteresis, and k-of-n confirmation.
#pragma once

#include <deque>

#include "controller/brain/settings.hpp"
#include "umbra/v1/fleet.pb.h"

namespace umbra::controller {

/// How far the brain wants to go. Ordered.
enum class Level : std::uint8_t { kProfile = 0, kStaged = 1, kWarm = 2, kHot = 3, kCutover = 4 };

/// The tier that a level asks for; at kCutover the shadow is kept hot until the moment.
v1::Tier tier_of(Level level);
/// The level that has `tier`, never kCutover.
Level level_of(v1::Tier tier);

/// The level for a probability: entered at its threshold, left only `hysteresis` below it.
Level level_for(double probability, Level current, const BrainSettings& settings);

/// Raises the level once k of the last n looks wanted it, and lowers it once all n wanted less: warm memory is cheap to
/// keep and dear to build, and a signal that flaps settles at the upper level.
class Confirmation {
 public:
  Confirmation(unsigned k, unsigned n, Level from) : k_(k), looks_(n, from), confirmed_(from) {}
  /// Takes one more look. @return what is confirmed
  Level look(Level wanted);
  Level confirmed() const { return confirmed_; }

 private:
  unsigned k_;
  std::deque<Level> looks_;
  Level confirmed_;
};

}  // namespace umbra::controller
