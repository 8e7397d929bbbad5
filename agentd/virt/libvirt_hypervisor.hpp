/// The real host: libvirtd.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "agentd/virt/foreign_domain.hpp"
#include "agentd/virt/hypervisor.hpp"
#include "agentd/virt/libvirt_connection.hpp"

namespace umbra::virt {

/// libvirt's calls block, so they run on a pool of eight threads ("umbra-virt-N"). A QEMU that hangs makes libvirt's
/// calls about its domain hang; of these at most two are under way, and two for its monitor, the rest wait for their
/// turn or deadline. So three hung QEMUs leave threads for the others. A libvirtd that hangs is given up by keepalive
/// within 20 s, which ends every call. Events need no thread: they come on the executor's strand straight from the
/// socket.
class LibvirtHypervisor final : public Hypervisor {
 public:
  struct Options {
    std::string uri = "qemu:///system";
    unsigned threads = 8;
    ForeignRules rules{};                                         ///< what other hosts would take of a domain
    std::string autostart_links = "/etc/libvirt/qemu/autostart";  ///< libvirt's links to what it starts at boot
  };

  /// Starts connecting; `listen` before the executor runs again to miss nothing. The executor's context must outlive
  /// this. @error kInternal libvirt is in use on another executor of this process
  static Result<std::shared_ptr<LibvirtHypervisor>> start(asio::any_io_executor executor, Options options);
  ~LibvirtHypervisor() override;

  void listen(Listener listener) override;
  Task<HostInfo> host(Deadline deadline) override;
  Task<std::vector<Domain>> domains(Deadline deadline) override;
  Task<Domain> domain(std::string uuid, Deadline deadline) override;
  Task<std::vector<DomainStats>> stats(Deadline deadline) override;
  Task<void> measure_dirty_rate(std::string uuid, std::chrono::seconds period, Deadline deadline) override;
  Task<Definition> definition(std::string uuid, Deadline deadline) override;
  Task<std::string> fingerprint(std::string uuid, Deadline deadline) override;
  Task<void> keep_as(std::string uuid, Definition definition, Deadline deadline) override;
  Task<bool> autostart(std::string uuid, Deadline deadline) override;
  Task<void> set_autostart(std::string uuid, bool on, Deadline deadline) override;
  Task<std::string> inactive_xml(std::string uuid, Deadline deadline) override;
  Task<std::string> create_paused(std::string xml, Deadline deadline) override;
  Task<void> define(std::string xml, Deadline deadline) override;
  Task<void> undefine(std::string uuid, Deadline deadline) override;
  Task<void> destroy(std::string uuid, Ending ending, Deadline deadline) override;
  Task<std::vector<std::string>> tend(std::string uuid, Deadline deadline) override;
  Task<void> suspend(std::string uuid, Deadline deadline) override;
  Task<void> resume(std::string uuid, Deadline deadline) override;
  Task<void> annotate(std::string uuid, std::string line, Deadline deadline) override;
  std::shared_ptr<qmp::Transport> monitor(std::string uuid) override;

 private:
  friend class LibvirtMonitor;
  struct State;
  explicit LibvirtHypervisor(std::shared_ptr<State> state) : state_(std::move(state)) {}

  std::shared_ptr<State> state_;
};

}  // namespace umbra::virt
