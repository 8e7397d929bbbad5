/// The host's virtual machines: the edge between the agent and libvirt.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agentd/virt/definition.hpp"
#include "base/task.hpp"
#include "base/units.hpp"
#include "qmp/transport.hpp"

namespace umbra::virt {

enum class DomainState : std::uint8_t { kRunning, kPaused, kShutOff, kCrashed, kOther };

/// A domain as libvirt knows it, with what Umbra reads from its XML.
struct Domain {
  std::string uuid;
  std::string name;
  DomainState state = DomainState::kOther;
  bool persistent = false;
  bool suspended = false;  ///< paused on somebody's word: `virsh suspend`, or for a dump, a save, a snapshot
  bool incoming = false;   ///< carries `-incoming` in its live XML *and* QEMU still waits
  Bytes memory{};
  unsigned vcpus = 0;
  std::string tap;  ///< <target dev=…> of its first managed='no' ethernet interface; may be empty
  std::string mac;
  std::vector<std::string> addresses;  ///< from <metadata><umbra:vm>
  std::string account{};               ///< from there too; may be empty
  std::string profile{};               ///< from there too; may be empty
  bool restart_on_host_loss = false;   ///< from there too
  std::string refusal;                 ///< why this domain cannot have a shadow; empty when it can
  std::vector<std::string> warnings;   ///< what may go wrong with a shadow of it, but need not

  /// One that people defined to wait is none: shadows are transient.
  bool is_shadow() const { return incoming && !persistent; }
};

/// Counters since the domain started (virConnectGetAllDomainStats, virDomainMemoryStats).
struct DomainStats {
  std::string uuid;
  std::chrono::nanoseconds cpu_time{};
  unsigned vcpus = 0;
  Bytes memory_used{};
  Bytes net_rx{}, net_tx{};
  Bytes disk_read{}, disk_written{};
  std::optional<BytesPerSecond> dirty_rate;  ///< the last finished calc-dirty-rate, when there is one
};

struct HostInfo {
  std::string hypervisor_version;  ///< QEMU's, as libvirt tells
  std::string libvirt_version;
  Bytes memory_total{};
  Bytes memory_free{};
  unsigned cpus = 0;
};

enum class LifecycleChange : std::uint8_t {
  kDefined,
  kUndefined,
  kStarted,
  kSuspended,
  kResumed,
  kStopped,
  kShutdown,
  kCrashed,
  kReset,    ///< it boots again, in the same QEMU
  kChanged,  ///< of the running domain: a device, disk, limit, block job, tray, or its metadata
  kOther
};

struct LifecycleEvent {
  std::string uuid;
  std::string name;
  LifecycleChange change;
  std::string detail;  ///< "ioerror", "destroyed", "migrated", …; libvirt's word for it
};

/// Why a domain is destroyed.
enum class Ending : std::uint8_t {
  kOrdinary,
  kMovedAway,  ///< its guest runs on another host, from the same images
};

/// libvirt, or a fake of it. Every call is awaited on the agent's strand; the blocking work runs on a pool of its own.
/// While libvirtd is away every call fails with kUnavailable at once, and nothing is assumed about any domain.
class Hypervisor {
 public:
  struct Listener {
    std::function<void(const LifecycleEvent&)> lifecycle;
    std::function<void(bool up)> connection;
  };

  virtual ~Hypervisor() = default;
  /// Agent strand; events arrive there in libvirt's order.
  virtual void listen(Listener listener) = 0;

  virtual Task<HostInfo> host(Deadline deadline) = 0;
  virtual Task<std::vector<Domain>> domains(Deadline deadline) = 0;
  /// @error kNotFound
  virtual Task<Domain> domain(std::string uuid, Deadline deadline) = 0;
  virtual Task<std::vector<DomainStats>> stats(Deadline deadline) = 0;
  /// Asks QEMU to measure how fast the guest dirties memory (virDomainStartDirtyRateCalc); the value shows up in
  /// stats().
  /// @error kConflict while the domain migrates
  virtual Task<void> measure_dirty_rate(std::string uuid, std::chrono::seconds period, Deadline deadline) = 0;

  /// All that libvirt keeps of a domain. @error kNotFound
  virtual Task<Definition> definition(std::string uuid, Deadline deadline) = 0;
  /// A text that differs when anything of definition() does, but for autostart; also when nothing does that matters
  /// there. For whoever is in a hurry: the XML of a running domain that is fit for another host takes libvirt some
  /// milliseconds, as it copies the domain for it. @error kNotFound
  virtual Task<std::string> fingerprint(std::string uuid, Deadline deadline) = 0;
  /// Makes libvirt keep of this running domain what another host's libvirt kept of it; idempotent. The live XML gives
  /// title, description and metadata alone. @error kConflict, kInvalid libvirt refuses a part; the others are kept
  virtual Task<void> keep_as(std::string uuid, Definition definition, Deadline deadline) = 0;
  /// Does libvirt start it at boot? @error kNotFound
  virtual Task<bool> autostart(std::string uuid, Deadline deadline) = 0;
  /// Durable when it answers: survives a power loss. @error kConflict it is transient
  virtual Task<void> set_autostart(std::string uuid, bool on, Deadline deadline) = 0;
  /// The stored definition of a persistent domain (VIR_DOMAIN_XML_INACTIVE | SECURE). @error kNotFound not persistent
  virtual Task<std::string> inactive_xml(std::string uuid, Deadline deadline) = 0;
  /// Starts a transient domain paused (VIR_DOMAIN_START_PAUSED); gives its uuid.
  /// @error kConflict a domain of that uuid or name exists; kInvalid libvirt refuses the XML; kUnsupported
  virtual Task<std::string> create_paused(std::string xml, Deadline deadline) = 0;
  virtual Task<void> define(std::string xml, Deadline deadline) = 0;
  /// With the metadata of its snapshots and checkpoints, which would keep it from being defined here again. Firmware
  /// variables and TPM state stay.
  virtual Task<void> undefine(std::string uuid, Deadline deadline) = 0;
  /// libvirt gives the images of a domain that ends back to whom they belonged; those of one that has moved away keep
  /// the owner they have.
  virtual Task<void> destroy(std::string uuid, Ending ending, Deadline deadline) = 0;
  /// Looks whether a running domain's QEMU may still open its images, and gives those that a move brought here back to
  /// it; takes the waiting for a migration out of snapshots of a domain that came as a shadow, or they could not be
  /// reverted to. @return what was found, in words for the operator; empty when all is well
  virtual Task<std::vector<std::string>> tend(std::string uuid, Deadline deadline) = 0;
  virtual Task<void> suspend(std::string uuid, Deadline deadline) = 0;
  /// virDomainResume: takes the lock manager's lease before the guest runs.
  virtual Task<void> resume(std::string uuid, Deadline deadline) = 0;
  /// Adds a line to the live description (`virsh desc`), or removes it when `line` is empty. Only lines that begin with
  /// "[umbra] " are touched.
  virtual Task<void> annotate(std::string uuid, std::string line, Deadline deadline) = 0;

  /// QMP to that domain's QEMU; events start to flow at once. One per domain at a time.
  virtual std::shared_ptr<qmp::Transport> monitor(std::string uuid) = 0;
};

}  // namespace umbra::virt
