/// The order in which routes move with a VM, and the way back.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/task.hpp"
#include "netswitch/switch.hpp"

namespace umbra::netswitch {

/// Where a step of a flip happens; also the order of the steps. First the node that will have the VM, so that whoever
/// sends there is already understood; then those who send; last the node that has had it, which forwards stragglers.
enum class FlipStage : std::uint8_t { kNewHost = 0, kEdge = 1, kOtherHost = 2, kOldHost = 3 };

/// One node's share. `undo` must be idempotent, and right also if `apply` never arrived or its answer was lost:
/// Switch::undo(address, epoch) is.
struct FlipStep {
  FlipStage stage = FlipStage::kNewHost;
  std::string node;  ///< for errors
  std::function<Task<void>()> apply;
  std::function<Task<void>()> undo;
};

/// The routes of one cutover. Stages run in order, the steps of one stage at the same time.
/// One strand; run() once; must outlive its coroutines.
class Flip {
 public:
  explicit Flip(std::vector<FlipStep> steps);

  /// Applies every step. If one fails, those that were started, the failed ones too, are undone in reverse order.
  /// @error the failed step's, naming its node, and what could not be undone
  Task<void> run();

  /// Undoes, last stage first, every step that was started and not undone yet; may be called again after a failure, or
  /// after run() was cancelled in the middle.
  /// @error the first step that could not be undone; the others were tried all the same. kConflict run() is under way
  Task<void> abort();

 private:
  enum class State : std::uint8_t { kUntouched, kStarted };
  Task<void> apply_stage(FlipStage stage);
  Task<void> undo_started();

  std::vector<FlipStep> steps_;
  std::vector<State> states_;
  bool running_ = false;
};

/// Where one address of the VM shall lead.
struct FlipTarget {
  IpAddress address;
  Hop hop;
};

/// A step on this very node. @param local must outlive the step
FlipStep local_step(FlipStage stage, std::string node, Switch& local, std::vector<FlipTarget> targets,
                    std::uint64_t epoch);

}  // namespace umbra::netswitch
