/// Cutting a host off: a command of the operator's, and what it proves.
#pragma once

#include <boost/asio/thread_pool.hpp>

#include "base/clock.hpp"
#include "base/subprocess.hpp"
#include "base/task.hpp"

namespace umbra::controller {

/// [[fence.agent]] of the configuration.
struct FenceAgentSettings {
  std::string host{};
  std::vector<std::string> command{};  ///< powers the host off; its exit status 0 says that it is off
  std::vector<std::string> status{};   ///< asks whether it is off; empty: the command's word is proof enough
  std::string off = "off";             ///< what the status command must write when it is
  Milliseconds timeout{60'000};        ///< of each
};

struct FenceSettings {
  bool automatic = false;      ///< run a down host's agent without being asked, and restart what may be
  Milliseconds after{30'000};  ///< a host must have been down for so long
  std::vector<FenceAgentSettings> agents;

  const FenceAgentSettings* agent(const std::string& host) const;
};

/// Runs fence agents on a thread of its own. Programs get UMBRA_HOST and PATH for their environment.
class FenceAgents {
 public:
  FenceAgents() = default;
  /// Kills what still runs.
  ~FenceAgents();

  void stop() { stop_ = true; }

  /// @return what was proven, in the programs' own words, cut short
  /// @error kUnavailable nothing is proven: a program failed, was killed at its timeout, or says something else
  Task<std::string> fence(FenceAgentSettings agent);

 private:
  asio::thread_pool thread_{1};
  std::atomic<bool> stop_ = false;
};

}  // namespace umbra::controller
