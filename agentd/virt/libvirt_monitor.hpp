/// QMP through libvirt (virDomainQemuMonitorCommand).
#pragma once

#include "agentd/virt/libvirt_hypervisor.hpp"

namespace umbra::virt {

/// One domain's monitor. A command costs one hop to the pool and back, and no look-up; an event none at all, since libvirt's
/// socket is watched on the strand itself. Survives a restart of libvirtd; events of the meantime are lost.
/// Errors are those of qmp::Transport; a domain that does not run is kUnavailable.
class LibvirtMonitor final : public qmp::Transport {
 public:
  LibvirtMonitor(std::weak_ptr<LibvirtHypervisor::State> state, std::string uuid)
      : state_(std::move(state)), uuid_(std::move(uuid)) {}

  Task<boost::json::value> execute(std::string command, boost::json::object arguments, Deadline deadline) override;
  void on_event(EventHandler handler) override { handler_ = std::move(handler); }

  /// Executor's strand. `data` is JSON text or empty.
  void deliver(const char* name, std::chrono::microseconds at, const char* data);

 private:
  std::weak_ptr<LibvirtHypervisor::State> state_;
  std::string uuid_;
  EventHandler handler_;
};

}  // namespace umbra::virt
