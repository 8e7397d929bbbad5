/// From what is seen to what shall be done: one tick is a function of a Picture and of the brain's own short memory.
#pragma once

#include "controller/brain/placement.hpp"
#include "controller/brain/stability.hpp"

namespace umbra::controller {

/// What the brain thinks of a VM.
struct Assessment {
  double probability = 0;  ///< of having to leave its host
  std::vector<v1::Cause> causes;
  v1::Tier tier = v1::TIER_PROFILE;  ///< wanted, by the brain or the operator
  std::string standby;               ///< where; empty at TIER_PROFILE and when no host will do
  bool cutover = false;              ///< now
  std::optional<Error> obstacle{};   ///< why the shadow that is wanted cannot be; its remedy removes that
};

struct Verdict {
  std::string vm_uuid;
  Assessment assessment;
  std::int64_t refresh_interval_ms = 0;    ///< 0: the agent's own
  std::optional<v1::Decision> decision{};  ///< to be stored; present when the action is another than at the last tick
};

/// Remembers per VM what was wanted lately (confirmation), where its shadow is to be, when it moved last, which hosts
/// failed it, and what was decided last. No I/O; the controller's thread.
class Brain {
 public:
  explicit Brain(BrainSettings settings) : settings_(settings) {}

  /// Judges every VM of the picture, those in most danger first. VMs that are moving are assessed and left alone. A
  /// tick that follows the last one by less than half the interval confirms nothing: it is not an independent look.
  std::vector<Verdict> tick(const Picture& picture);

  /// The VM moved: what was wanted is forgotten, and the cooldown begins.
  void moved(const std::string& vm_uuid, std::chrono::steady_clock::time_point now);
  /// The operator dropped its shadow: unless pinned, none is wanted for one cooldown.
  void dropped(const std::string& vm_uuid, std::chrono::steady_clock::time_point now);
  /// Somebody asks anew for its shadow: what stood in its way at the last tick counts no more.
  void begin_afresh(const std::string& vm_uuid);
  /// `host` could not take or keep the VM's shadow; it is avoided for one cooldown.
  void failed_there(const std::string& vm_uuid, const std::string& host, std::chrono::steady_clock::time_point now);

  /// The last tick's; nullptr when the VM was not in it.
  const Assessment* assessment(const std::string& vm_uuid) const;
  const BrainSettings& settings() const { return settings_; }

 private:
  using TimePoint = std::chrono::steady_clock::time_point;
  struct Memory {
    Confirmation confirmation;
    Level level;  ///< at the last tick, before confirmation
    std::string standby;
    std::string action;
    std::optional<TimePoint> looked_at{};
    std::optional<TimePoint> moved_at{};
    std::optional<TimePoint> silent_since{};  ///< its standby's host does not answer
    TimePoint quiet_until{};
    std::map<std::string, TimePoint> avoid_until{};
    Assessment assessment{};
  };
  struct Tick {
    const Picture& picture;
    Promises promises;
    std::map<std::string, unsigned> moves_out, moves_in;
  };
  struct Words {
    std::string action;
    std::string reason;
  };

  void forget(Memory& memory);
  Memory& recall(const VmPicture& vm);
  Verdict judge(Tick& tick, const VmPicture& vm, Memory& memory);
  Words want_shadow(Tick& tick, const VmPicture& vm, Memory& memory, Level level, Assessment& assessment);
  Placement choose_standby(const Tick& tick, const VmPicture& vm, Memory& memory, Level level,
                           const Assessment& assessment);
  /// Why the VM is not cut over now; empty when it is.
  std::string hold_back(const Tick& tick, const VmPicture& vm, const Memory& memory,
                        const Assessment& assessment) const;

  BrainSettings settings_;
  std::map<std::string, Memory> memories_;
};

}  // namespace umbra::controller
