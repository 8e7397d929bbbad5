/// Words for what protobuf numbers.
#pragma once

#include <string_view>

#include "proto/words.hpp"
#include "umbra/v1/fleet.pb.h"

namespace umbra::controller {

inline constexpr std::string_view kZoneHealth = "zone health";
inline constexpr std::string_view kMaintenance = "maintenance";
inline constexpr std::string_view kCapacity = "capacity";

inline std::string_view tier_name(v1::Tier tier) {
  switch (tier) {
    case v1::TIER_PROFILE:
      return "profile";
    case v1::TIER_STAGED:
      return "staged";
    case v1::TIER_WARM:
      return "warm";
    case v1::TIER_HOT:
      return "hot";
    default:
      return "unspecified";
  }
}

inline std::string_view state_name(v1::VmState state) {
  switch (state) {
    case v1::VM_STATE_RUNNING:
      return "running";
    case v1::VM_STATE_PAUSED:
      return "paused";
    case v1::VM_STATE_SHUT_OFF:
      return "shut off";
    case v1::VM_STATE_CRASHED:
      return "crashed";
    default:
      return "in an unknown state";
  }
}

/// For MoveProgress.phase.
inline std::string_view phase_name(v1::ShadowPhase phase) {
  switch (phase) {
    case v1::SHADOW_PHASE_PROFILE:
      return "profile";
    case v1::SHADOW_PHASE_STAGING:
      return "staging";
    case v1::SHADOW_PHASE_STAGED:
      return "staged";
    case v1::SHADOW_PHASE_PRECOPY:
      return "precopy";
    case v1::SHADOW_PHASE_WARM:
    case v1::SHADOW_PHASE_HOT:
      return "held";
    case v1::SHADOW_PHASE_ARMED:
      return "armed";
    case v1::SHADOW_PHASE_PROMISED:
      return "promised";
    case v1::SHADOW_PHASE_SERVING:
    case v1::SHADOW_PHASE_MOVED:
      return "moved";
    case v1::SHADOW_PHASE_DROPPED:
      return "dropped";
    default:
      return "unknown";
  }
}

}  // namespace umbra::controller
