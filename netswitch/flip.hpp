/// The order in which routes move with a VM, and the way back.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/task.hpp"

namespace umbra::netswitch {

/// The routes of one cutover. The steps of one place run at the same time; the places one after the other: first the
/// node that will have the VM, so that what is sent there is already understood; then those who send; last the node
/// that has had it, which from then on forwards stragglers. The way back is the reverse.
/// Holds nothing but its steps: another Flip with the same steps, after a crash even, can finish or abort what this one
/// began. One strand; must outlive its coroutines; run() and abort() not at the same time.
class Flip {
 public:
  enum class Place : std::uint8_t { kNewHost = 0, kEdge = 1, kOtherHost = 2, kOldHost = 3 };

  /// One node's share. Both actions must be idempotent, and `undo` right also if `apply` never arrived, is still on its
  /// way, or its answer was lost: Switch::point() and Switch::undo(address, epoch) are.
  struct Step {
    Place place = Place::kNewHost;
    std::string node;  ///< for errors
    std::function<Task<void>()> apply;
    std::function<Task<void>()> undo;
  };

  explicit Flip(std::vector<Step> steps) : steps_(std::move(steps)) {}

  /// Applies every step. If one fails, no later place is touched, and what was started, the failed step included, is
  /// undone in reverse order.
  /// @error the first failed step's, with its node's name, and what could not be undone
  Task<void> run();

  /// Undoes every step, whether it was applied or not. All are tried, whatever fails. May be repeated.
  /// @error the first step that could not be undone
  Task<void> abort();

 private:
  enum class Way : std::uint8_t { kThere, kBack };
  Task<void> visit(Place place, Way way);
  Task<void> back_from(Place place);

  std::vector<Step> steps_;
};

}  // namespace umbra::netswitch
