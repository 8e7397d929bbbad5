/// The whole agent, put together.
#pragma once

#include <boost/asio/thread_pool.hpp>
#include <functional>
#include <memory>

#include "agentd/config.hpp"
#include "agentd/host.hpp"
#include "base/task.hpp"
#include "rpc/transport.hpp"

namespace umbra::agent {

/// What an agent is put into: its machine, and the way to others. What is pointed or referred to outlives the agent.
struct Surroundings {
  Clock& clock;
  rpc::Tls tls;
  std::shared_ptr<rpc::Transport> transport;
  std::shared_ptr<netswitch::Kernel> kernel;
  std::shared_ptr<virt::Hypervisor> hypervisor;  ///< hosts only, as all below
  std::shared_ptr<shadow::Gates> gates;
  std::shared_ptr<boost::asio::thread_pool> disk;  ///< for the journal's fsyncs; null: they block the agent
  bool watches_shutdown = false;                   ///< as a service of this machine: no agent of a lab
  std::function<Task<v1::HoldProof>()> prove;
};

/// Checks all that others would hold against this node's certificate, and that it is this node's.
/// @error as rpc::Tls::load; kInvalid it is another's
Result<rpc::Tls> load_credentials(const AgentConfig& config);

/// One process's worth of agent: a host's or an edge's. Everything runs on `executor`'s one thread, except libvirt's
/// blocking calls and the journal's writes, which have threads of their own.
class Agent {
 public:
  /// Opens the journal, the network and the listening port. @error naming what is missing and the remedy
  static Result<std::unique_ptr<Agent>> start(asio::any_io_executor executor, AgentConfig config);
  /// The same in other surroundings than this machine's.
  static Result<std::unique_ptr<Agent>> start(asio::any_io_executor executor, AgentConfig config,
                                              Surroundings surroundings);
  ~Agent();

  /// Reads certificates, CAs and revocation lists again (SIGHUP). What cannot be used changes nothing, and is told.
  void reload();

  /// Lets go of every shadow instead (Host::release()), without a word from the controller. An edge has none.
  /// @error as there
  Task<void> release(Deadline deadline);

  /// Leaves shadows held in QEMU, for the next life; closes connections. Awaited before the executor stops.
  asio::awaitable<void> stop();

  /// Of an edge: settled from the begin.
  Condition condition() const;

  Host* host();                ///< null on an edge
  shadow::Journal* journal();  ///< null on an edge

 private:
  struct Parts;
  explicit Agent(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace umbra::agent
