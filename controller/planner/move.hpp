/// One VM on its way, as those who watch it see it.
#pragma once

#include <optional>

#include "controller/inventory/inventory.hpp"

namespace umbra::controller {

/// Shared by the coroutine that performs the move and by those who follow it, who may come and go.
struct Move {
  std::string vm_uuid;
  std::string vm;
  std::string from;
  std::string to;
  std::string reason;
  std::string actor;
  TimePoint begun{};
  Epoch epoch = 0;  ///< of its cutover; 0 before one was asked for

  v1::MoveProgress progress;                ///< the newest
  std::uint64_t news = 0;                   ///< grows with each change of `progress`
  std::optional<TimePoint> asking_since{};  ///< the source cannot say how it ended
  /// Set at the end. An error: the move never got to a cutover. Every cutover that was begun ends in a result.
  std::optional<Result<v1::CutoverResult>> end{};
};

}  // namespace umbra::controller
