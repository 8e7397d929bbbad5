/// One agent's connection to its host's libvirtd, with a moment before each call.
#pragma once

#include <memory>

#include "agentd/tests/moment.hpp"
#include "agentd/virt/hypervisor.hpp"

namespace umbra::agent::test {

/// Forwards to the host's hypervisor, which outlives it. When the agent ends, so does this: it hears no more events.
class InterruptedHypervisor final : public virt::Hypervisor {
 public:
  InterruptedHypervisor(asio::any_io_executor executor, virt::Hypervisor& host, std::string node, Fate fate);
  ~InterruptedHypervisor() override;

  void listen(Listener listener) override { host_.listen(std::move(listener)); }
  Task<virt::HostInfo> host(Deadline deadline) override;
  Task<std::vector<virt::Domain>> domains(Deadline deadline) override;
  Task<virt::Domain> domain(std::string uuid, Deadline deadline) override;
  Task<std::vector<virt::DomainStats>> stats(Deadline deadline) override;
  Task<void> measure_dirty_rate(std::string uuid, std::chrono::seconds period, Deadline deadline) override;
  Task<virt::Definition> definition(std::string uuid, Deadline deadline) override;
  Task<void> keep_as(std::string uuid, virt::Definition definition, Deadline deadline) override;
  Task<void> set_autostart(std::string uuid, bool on, Deadline deadline) override;
  Task<std::string> inactive_xml(std::string uuid, Deadline deadline) override;
  Task<std::string> create_paused(std::string xml, Deadline deadline) override;
  Task<void> define(std::string xml, Deadline deadline) override;
  Task<void> undefine(std::string uuid, Deadline deadline) override;
  Task<void> destroy(std::string uuid, virt::Ending ending, Deadline deadline) override;
  Task<std::vector<std::string>> tend_images(std::string uuid, Deadline deadline) override;
  Task<void> suspend(std::string uuid, Deadline deadline) override;
  Task<void> resume(std::string uuid, Deadline deadline) override;
  Task<void> annotate(std::string uuid, std::string line, Deadline deadline) override;
  std::shared_ptr<qmp::Transport> monitor(std::string uuid) override;

 private:
  class Monitor;
  Task<void> leave(std::string call);
  /// The moment, then the host's own answer.
  template <class T, class... Arguments>
  Task<T> through(std::string call, Task<T> (Hypervisor::*member)(Arguments...), Arguments... arguments);

  asio::any_io_executor executor_;
  virt::Hypervisor& host_;
  std::string node_;
  Fate fate_;
};

}  // namespace umbra::agent::test
