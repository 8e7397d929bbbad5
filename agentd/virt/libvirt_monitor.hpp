/// QMP through libvirt (virDomainQemuMonitorCommand).
#pragma once

#include <mutex>

#include "agentd/virt/lane.hpp"
#include "agentd/virt/libvirt_hypervisor.hpp"

namespace umbra::virt {

/// One domain's monitor. It has a connection of its own for its commands, opened by the first of them: libvirtd serves
/// only five calls of a connection at once (max_client_requests), so a QEMU that hangs must not share one with the
/// others, and answers do not queue behind other domains' events. A command costs one hop to the pool and back; an
/// event none, since libvirt's socket is watched on the strand itself. MIGRATION_PASS is not told, there are too many
/// of them. Survives a restart of libvirtd; events of the meantime are lost. Errors are those of qmp::Transport; a
/// domain that does not run is kUnavailable.
class LibvirtMonitor final : public qmp::Transport {
 public:
  LibvirtMonitor(std::weak_ptr<LibvirtHypervisor::State> state, std::string uuid);
  ~LibvirtMonitor() override;

  Task<boost::json::value> execute(std::string command, boost::json::object arguments, Deadline deadline) override;
  void on_event(EventHandler handler) override { handler_ = std::move(handler); }

  /// Executor's strand. `data` is JSON text or empty.
  void deliver(const char* name, std::chrono::microseconds at, const char* data);

 private:
  class Channel;

  std::weak_ptr<LibvirtHypervisor::State> state_;
  std::string uuid_;
  std::shared_ptr<Lane> lane_;
  std::shared_ptr<Channel> channel_;
  EventHandler handler_;
};

}  // namespace umbra::virt
