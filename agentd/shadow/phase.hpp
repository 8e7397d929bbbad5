/// The life of a shadow, on both hosts: one enum, one table of edges, one place that reads it.
///
/// Source: profile → staging → staged → precopy → warm ⇄ hot → armed → promised → moved, and from anywhere before the
/// promise to dropped. Standby: profile → staging → staged → armed → promised → serving → moved; its memory fills while
/// it is staged. "Promised" means on the source: *I shall not resume in this epoch unless the standby refuses it*; on
/// the standby: *the source's promise has arrived, and the guest may have run here since*.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

namespace umbra::shadow {

/// Stored and sent (umbra.v1.ShadowPhase): append only.
enum class Phase : std::uint8_t {
  kProfile = 0,   ///< nothing but metadata
  kStaging = 1,   ///< the standby starts the paused QEMU
  kStaged = 2,    ///< it waits for memory
  kPrecopy = 3,   ///< the first full copy of memory runs
  kWarm = 4,      ///< held: parked, refreshed every interval
  kHot = 5,       ///< held: refreshed continuously
  kArmed = 6,     ///< a cutover is authorised: epoch known, standby accepts
  kPromised = 7,  ///< past the point of no return for the source
  kMoved = 8,     ///< the standby serves
  kDropped = 9,   ///< given up; nothing of it is left, or will be soon
  kServing = 10,  ///< standby: the guest runs, and is not yet defined as it was
};

inline constexpr Phase kLastPhase = Phase::kServing;  ///< the highest number that can be stored

enum class Event : std::uint8_t {
  kStage,    ///< wanted: at least the staged tier
  kStaged,   ///< the standby's QEMU waits
  kMigrate,  ///< wanted: at least the warm tier
  kSynced,   ///< memory is there, the hold is parked
  kHeat,     ///< wanted: hot
  kCool,     ///< wanted: warm again
  kArm,      ///< cutover authorised (source), accepted (standby)
  kDisarm,   ///< cutover given up before the promise; the hold goes on
  kPromise,  ///< promise written (source), released received (standby)
  kResume,   ///< standby: the guest runs
  kServe,    ///< the standby's guest runs, and all is settled there
  kRefuse,   ///< the standby refused the epoch, durably
  kDrop,     ///< not wanted, or lost
  kRetract,  ///< source: the promise is taken back, as the standby was never told to run
};

struct Edge {
  Phase from;
  Event on;
  Phase to;
};

inline constexpr std::array kEdges{
    Edge{Phase::kProfile, Event::kStage, Phase::kStaging},
    Edge{Phase::kStaging, Event::kStaged, Phase::kStaged},
    Edge{Phase::kStaging, Event::kDrop, Phase::kDropped},
    Edge{Phase::kStaged, Event::kMigrate, Phase::kPrecopy},
    Edge{Phase::kStaged, Event::kArm, Phase::kArmed},  // standby: it cannot see how far the memory is
    Edge{Phase::kStaged, Event::kDrop, Phase::kDropped},
    Edge{Phase::kPrecopy, Event::kSynced, Phase::kWarm},
    Edge{Phase::kPrecopy, Event::kDrop, Phase::kDropped},
    Edge{Phase::kWarm, Event::kHeat, Phase::kHot},
    Edge{Phase::kWarm, Event::kArm, Phase::kArmed},
    Edge{Phase::kWarm, Event::kDrop, Phase::kDropped},
    Edge{Phase::kHot, Event::kCool, Phase::kWarm},
    Edge{Phase::kHot, Event::kArm, Phase::kArmed},
    Edge{Phase::kHot, Event::kDrop, Phase::kDropped},
    Edge{Phase::kArmed, Event::kArm, Phase::kArmed},  // standby: a newer epoch; the older one was never released
    Edge{Phase::kArmed, Event::kDisarm, Phase::kWarm},
    Edge{Phase::kArmed, Event::kPromise, Phase::kPromised},
    Edge{Phase::kArmed, Event::kRefuse, Phase::kDropped},
    Edge{Phase::kArmed, Event::kDrop, Phase::kDropped},
    Edge{Phase::kPromised, Event::kServe, Phase::kMoved},
    Edge{Phase::kPromised, Event::kRefuse, Phase::kDropped},
    Edge{Phase::kPromised, Event::kRetract, Phase::kDropped},
    Edge{Phase::kPromised, Event::kResume, Phase::kServing},
    Edge{Phase::kServing, Event::kServe, Phase::kMoved},
    Edge{Phase::kMoved, Event::kDrop, Phase::kDropped},  // source: what was left of it here is gone
    Edge{Phase::kDropped, Event::kStage, Phase::kStaging},
};

/// Where `on` leads from `from`; nothing when it is not allowed there.
constexpr std::optional<Phase> next(Phase from, Event on) {
  for (const auto& edge : kEdges)
    if (edge.from == from && edge.on == on) return edge.to;
  return std::nullopt;
}

static_assert(!next(Phase::kPromised, Event::kDrop), "after the promise only the destination can refuse");
static_assert(!next(Phase::kPromised, Event::kDisarm), "a promise is not taken back by who gave it");
static_assert(!next(Phase::kServing, Event::kRefuse), "a guest that has run here is not given back");
static_assert(!next(Phase::kMoved, Event::kStage), "what moved away is cleared away before anything new begins");

/// Source: memory is on the standby, and kept fresh.
constexpr bool is_held(Phase phase) {
  return phase == Phase::kWarm || phase == Phase::kHot;
}
/// A cutover is authorised and not decided.
constexpr bool in_cutover(Phase phase) {
  return phase == Phase::kArmed || phase == Phase::kPromised;
}
/// A migration may be open in the source's QEMU.
constexpr bool has_precopy(Phase phase) {
  return phase == Phase::kPrecopy || is_held(phase) || in_cutover(phase);
}
/// Something of the shadow may be there, on either side.
constexpr bool exists(Phase phase) {
  return phase != Phase::kProfile && phase != Phase::kDropped;
}

constexpr std::string_view to_string(Phase phase) {
  switch (phase) {
    case Phase::kProfile:
      return "profile";
    case Phase::kStaging:
      return "staging";
    case Phase::kStaged:
      return "staged";
    case Phase::kPrecopy:
      return "precopy";
    case Phase::kWarm:
      return "warm";
    case Phase::kHot:
      return "hot";
    case Phase::kArmed:
      return "armed";
    case Phase::kPromised:
      return "promised";
    case Phase::kMoved:
      return "moved";
    case Phase::kDropped:
      return "dropped";
    case Phase::kServing:
      return "serving";
  }
  return "unknown";
}

constexpr std::string_view to_string(Event event) {
  constexpr std::array<std::string_view, 14> names{"stage", "staged", "migrate", "synced",  "heat",
                                                   "cool",  "arm",    "disarm",  "promise", "resume",
                                                   "serve", "refuse", "drop",    "retract"};
  return names[static_cast<std::size_t>(event)];
}

}  // namespace umbra::shadow
