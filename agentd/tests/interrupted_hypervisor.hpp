/// One agent's connection to its host's libvirtd, with a moment before each call.
#pragma once

#include <map>
#include <memory>

#include "agentd/tests/lan.hpp"
#include "agentd/tests/moment.hpp"
#include "agentd/virt/fakes/fake_hypervisor.hpp"
#include "base/signal.hpp"

namespace umbra::agent::test {

/// Forwards to the host's hypervisor, which outlives it. When the agent ends, so does this: it hears no more events.
///
/// A call that changes a domain may happen late: it times out, and is done later, to the QEMU that it was meant for. Of
/// one agent's life later changes of that domain wait for it, as LibvirtHypervisor has it; but `destroy` does not.
class InterruptedHypervisor final : public virt::Hypervisor {
 public:
  /// @param libvirtd where what happens late happens
  InterruptedHypervisor(asio::any_io_executor executor, asio::any_io_executor libvirtd, Clock& clock, Lan& agenda,
                        virt::FakeHypervisor& host, std::string node, Fate fate);
  ~InterruptedHypervisor() override;

  void listen(Listener listener) override { host_.listen(std::move(listener)); }
  Task<virt::HostInfo> host(Deadline deadline) override;
  Task<std::vector<virt::Domain>> domains(Deadline deadline) override;
  Task<virt::Domain> domain(std::string uuid, Deadline deadline) override;
  Task<std::vector<virt::DomainStats>> stats(Deadline deadline) override;
  Task<void> measure_dirty_rate(std::string uuid, std::chrono::seconds period, Deadline deadline) override;
  Task<virt::Definition> definition(std::string uuid, Deadline deadline) override;
  Task<std::string> fingerprint(std::string uuid, Deadline deadline) override;
  Task<void> keep_as(std::string uuid, virt::Definition definition, Deadline deadline) override;
  Task<bool> autostart(std::string uuid, Deadline deadline) override;
  Task<void> set_autostart(std::string uuid, bool on, Deadline deadline) override;
  Task<std::string> inactive_xml(std::string uuid, Deadline deadline) override;
  Task<std::string> create_paused(std::string xml, Deadline deadline) override;
  Task<void> define(std::string xml, Deadline deadline) override;
  Task<void> undefine(std::string uuid, Deadline deadline) override;
  Task<void> destroy(std::string uuid, virt::Ending ending, Deadline deadline) override;
  Task<std::vector<std::string>> tend(std::string uuid, Deadline deadline) override;
  Task<void> suspend(std::string uuid, Deadline deadline) override;
  Task<void> resume(std::string uuid, Deadline deadline) override;
  Task<void> annotate(std::string uuid, std::string line, Deadline deadline) override;
  std::shared_ptr<qmp::Transport> monitor(std::string uuid) override;

 private:
  class Monitor;
  /// The moment. @return how late the call happens, if it does
  Task<Milliseconds> leave(std::string call, std::string uuid, Deadline deadline);
  Task<void> miss(std::string call, std::string uuid, Deadline deadline, Milliseconds late,
                  std::function<void()> happen);
  /// The moment, then the host's own answer.
  template <class T, class... Parameters, class... Arguments>
  Task<T> through(std::string call, std::string uuid, Task<T> (Hypervisor::*member)(Parameters...),
                  std::tuple<Arguments...> arguments, Deadline deadline);

  asio::any_io_executor executor_, libvirtd_;
  Clock& clock_;
  Lan& agenda_;
  virt::FakeHypervisor& host_;
  std::string node_;
  Fate fate_;
  Signal freed_;
  std::map<std::string, Signal::TimePoint> busy_;  ///< by domain: until when a change of it is under way
};

}  // namespace umbra::agent::test
