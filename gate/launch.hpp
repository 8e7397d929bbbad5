/// Starting a gate so that it outlives whoever starts it.
#pragma once

#include <filesystem>
#include <string>

#include "base/result.hpp"

namespace umbra::gate {

struct Launch {
  std::filesystem::path program;  ///< umbra-gate
  std::filesystem::path control;  ///< the socket that it makes; its name is also the unit's instance
  std::string log_level = "info";
  std::filesystem::path log{};  ///< where systemd's journal does not take it
};

/// Where systemd runs the machine and has the template, an instance of umbra-gate@.service is started, which neither a
/// restart nor an upgrade of the agent's service touches; elsewhere the gate detaches itself, into a cgroup of its own
/// if there is one to be had. It listens when this returns. Blocks for some tens of milliseconds. @error kNotFound
/// there is no such program; kUnavailable why it did not start
Result<void> launch(const Launch& wanted);

/// In the gate: the process that was started ends, with `status`, once its child says so; the child goes on. Before any
/// thread is started.
class Detached {
 public:
  /// Returns in the child alone. @error kInternal
  static Result<Detached> begin();
  /// The parent ends with success. What is printed from now on goes to `log`, or nowhere.
  void ready(const std::filesystem::path& log);

 private:
  int pipe_ = -1;
};

}  // namespace umbra::gate
