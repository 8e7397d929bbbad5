/// Emptying a host or a zone: a plan, and its execution.
#pragma once

#include "controller/brain/placement.hpp"
#include "controller/planner/mover.hpp"

namespace umbra::controller {

/// Where each running VM of a host or zone would go. The plan is a function of the picture: a dry run shows what an
/// execution at the same moment does. VMs without a place have an empty `to` and the reason.
/// @param urgent what stays is shut down: where no other host will do, one that may fall itself does
/// @error kNotFound no host or zone of that name
Result<std::vector<v1::PlannedMove>> plan_evacuation(const Picture& picture, const std::string& host_or_zone,
                                                     const BrainSettings& settings, bool urgent = false);

/// One evacuation, as those who watch it see it.
struct Evacuation {
  std::vector<v1::PlannedMove> plan;
  std::vector<std::string> vm_uuids;               ///< in the plan's order
  std::vector<std::shared_ptr<const Move>> moves;  ///< begun so far
  std::uint32_t moved = 0;
  std::uint32_t failed = 0;
  bool ended() const { return moved + failed == plan.size(); }
};

/// Carries out plans, so many moves at once; a move that fails does not stop the others.
class Evacuator {
 public:
  Evacuator(Inventory& inventory, EventLog& events, Mover& mover, TaskGroup& tasks, unsigned at_once)
      : inventory_(inventory), events_(events), mover_(mover), tasks_(tasks), at_once_(at_once) {}

  /// Followers wait on Mover::changed().
  std::shared_ptr<const Evacuation> start(std::vector<v1::PlannedMove> plan, std::string reason, std::string actor);

 private:
  struct Job : Evacuation {
    std::size_t next = 0;
    std::string reason;
    std::string actor;
  };
  asio::awaitable<void> work(std::shared_ptr<Job> job);
  Task<void> carry_out(std::shared_ptr<Job> job, v1::PlannedMove planned, std::string vm_uuid);

  Inventory& inventory_;
  EventLog& events_;
  Mover& mover_;
  TaskGroup& tasks_;
  unsigned at_once_;
};

}  // namespace umbra::controller
