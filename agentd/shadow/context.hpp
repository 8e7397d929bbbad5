/// What all shadows of one source host share.
#pragma once

#include <functional>
#include <string>

#include "agentd/network.hpp"
#include "agentd/shadow/gate.hpp"
#include "agentd/shadow/journal.hpp"
#include "agentd/shadow/peer.hpp"
#include "agentd/virt/hypervisor.hpp"
#include "base/clock.hpp"

namespace umbra::shadow {

/// For this long after a cutover both hosts leave alone what can wait. The guest has just arrived: caches are cold,
/// packets have queued, and every core counts.
constexpr std::chrono::milliseconds kArrival{250};

struct SourceConfig {
  std::string node;                                   ///< this node's name
  std::chrono::milliseconds refresh_interval{5'000};  ///< warm tier
  /// Hot tier: how much longer the guest may be stopped for what it wrote since the last pass.
  std::chrono::milliseconds blackout_budget{5};
  unsigned channels = 1;                    ///< of a shadow's stream, at most
  std::chrono::milliseconds lease{30'000};  ///< of what a standby holds; renewed six times in it
};

/// References outlive the shadows. Agent strand only.
struct SourceContext {
  asio::any_io_executor executor;
  Clock& clock;
  virt::Hypervisor& hypervisor;
  agent::Network& network;
  Journal& journal;
  Peers& peers;
  Gates& gates;
  SourceConfig config;
  /// Something worth telling the operator.
  std::function<void(v1::Severity severity, const std::string& vm, const std::string& text)> note;
  /// A cutover has ended, or turned out to have ended.
  std::function<void(const v1::CutoverResult& result)> ended;
  /// Some shadow's status has changed: report soon.
  std::function<void()> changed;
};

}  // namespace umbra::shadow
