/// Why a VM should leave its host, each cause as a probability of its own.
#pragma once

#include <span>

#include "controller/brain/picture.hpp"
#include "controller/brain/settings.hpp"

namespace umbra::controller {

/// 1 − Π(1 − p): at least one of independent causes comes true.
double noisy_or(std::span<const v1::Cause> causes);

/// How likely `window` makes its host unusable for a VM, seen from `now`: 1 from `maintenance_lead` before the start to
/// the end, rising to that from 0 at `maintenance_notice` before the start.
double maintenance_probability(const v1::Maintenance& window, UnixMillis now, const BrainSettings& settings);

/// What threatens everything on a host: health of its zone, maintenance of host or zone. Causes of probability 0 are
/// left out.
std::vector<v1::Cause> location_causes(const Picture& picture, const HostPicture& host, const BrainSettings& settings);

/// A zone's health as its hosts' heartbeats tell it: falls at once with the share of hosts that are up, and recovers by
/// half of the way per half-life, so that a flapping zone stays suspect.
class HeartbeatHealth {
 public:
  explicit HeartbeatHealth(Milliseconds half_life) : half_life_(half_life) {}
  /// @param share of the zone's hosts that are up, 0 … 1
  double update(double share, std::chrono::steady_clock::time_point now);

 private:
  Milliseconds half_life_;
  double health_ = 1;
  std::chrono::steady_clock::time_point at_{};
};

}  // namespace umbra::controller
