/// One host's libvirtd in memory, with a FakeQemu behind each running domain.
#pragma once

#include <map>
#include <set>

#include "agentd/virt/hypervisor.hpp"
#include "qmp/fakes/fake_qemu.hpp"

namespace umbra::virt {

/// Who owns the files on storage that hosts share.
struct FakeStorage {
  std::map<std::string, std::string> owner;  ///< "qemu" while libvirt has given a file to QEMU, else "root"
};

/// Passes the same contract as LibvirtHypervisor. Several on one FakeWire are several hosts: a migration to
/// "tcp:ADDRESS:PORT" finds the QEMU that listens on the host of that address. Answers and events are posted to the
/// executor, never given inside a call. One thread.
class FakeHypervisor final : public Hypervisor {
 public:
  struct Options {
    std::string address;  ///< of this host, for migration URIs
    Bytes memory = gibibytes(8);
    unsigned cpus = 4;
    std::shared_ptr<FakeStorage> storage = std::make_shared<FakeStorage>();
    qmp::FakeQemu::Options qemu;  ///< for every QEMU it starts; memory, incoming and paused come from the domain
  };

  FakeHypervisor(asio::any_io_executor executor, std::shared_ptr<qmp::FakeWire> wire, Options options);
  ~FakeHypervisor() override;

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

  // What an operator or fate does.
  /// `virsh create`, or `virsh define` and `start` when persistent. Gives the uuid.
  Result<std::string> start(std::string xml, bool persistent);
  /// libvirtd goes away, or comes back. QEMUs live on; what happens meanwhile is not told later.
  void set_connected(bool connected);
  bool connected() const { return connected_; }
  /// The host loses its power: QEMUs and transient domains are gone, and nobody is told.
  void power_off();
  /// It has power again, and libvirtd runs.
  void boot();
  /// The next such call ("create_paused", "resume", …) fails so, without being done.
  void fail(std::string call, Error error) { failures_.emplace(std::move(call), std::move(error)); }
  /// The QEMU behind a running domain, or null.
  std::shared_ptr<qmp::FakeQemu> qemu(const std::string& uuid) const;
  /// virsh and backups: what they make of the live XML (virsh change-media, metadata, …) and of the stored one
  /// (--config). Tells of the change. The domain must run, and be persistent for the latter.
  /// @param told by an event; of some changes libvirt tells nobody
  void change_live(const std::string& uuid, std::string xml, bool told = true);
  void change_stored(const std::string& uuid, std::string xml);
  /// `virsh snapshot-create`, `checkpoint-create`, `autostart`: what libvirt keeps beside the XML.
  void keep_beside(const std::string& uuid, std::vector<std::string> snapshots, std::vector<std::string> checkpoints,
                   bool autostart);
  /// Runs here, or is defined here.
  bool knows(const std::string& uuid) const { return guests_.contains(uuid); }
  bool defines(const std::string& uuid) const;
  bool starts_at_boot(const std::string& uuid) const;
  /// The live description, as `virsh desc` shows it.
  std::string description(const std::string& uuid) const;

 private:
  struct Guest;
  class Monitor;

  Result<Guest*> find(const std::string& uuid);
  Result<Guest*> find_active(const std::string& uuid);
  Task<void> enter(std::string call);
  Result<std::string> start_guest(const std::string& xml, bool paused, bool persistent);
  Domain describe(const Guest& guest) const;
  void label(const std::string& live_xml, const std::string& owner);
  void on_qemu_event(const std::string& uuid, const qmp::Event& event);
  void on_qemu_exit(const std::string& uuid, const qmp::FakeQemu* qemu);
  void tell(const Guest& guest, LifecycleChange change, std::string detail);

  asio::any_io_executor executor_;
  std::shared_ptr<qmp::FakeWire> wire_;
  Options options_;
  Listener listener_;
  bool connected_ = true;
  int started_ = 0;  // libvirt's numbers of running domains
  std::map<std::string, std::unique_ptr<Guest>> guests_;
  std::multimap<std::string, Error> failures_;
  std::shared_ptr<FakeHypervisor*> self_;  ///< emptied when this goes, for handlers that outlive it
};

}  // namespace umbra::virt
