/// The whole agent, put together.
#pragma once

#include <memory>

#include "agentd/config.hpp"
#include "base/task.hpp"

namespace umbra::agent {

/// One process's worth of agent: a host's or an edge's. Everything runs on `executor`'s one thread, except libvirt's
/// blocking calls and the journal's writes, which have threads of their own.
class Agent {
 public:
  /// Opens the journal, the network and the listening port. @error naming what is missing and the remedy
  static Result<std::unique_ptr<Agent>> start(asio::any_io_executor executor, AgentConfig config);
  ~Agent();

  /// Leaves shadows held in QEMU, for the next life; closes connections. Awaited before the executor stops.
  asio::awaitable<void> stop();

 private:
  struct Parts;
  explicit Agent(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace umbra::agent
