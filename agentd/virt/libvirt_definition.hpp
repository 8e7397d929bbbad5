/// What libvirt keeps of a domain: read on one host, made so on another. Blocking; for the worker pool.
#pragma once

#include <filesystem>
#include <map>
#include <mutex>
#include <set>

#include "agentd/virt/definition.hpp"
#include "agentd/virt/libvirt_handles.hpp"

namespace umbra::virt {

/// What is started from disk.
struct Persistent {
  std::string xml;  ///< empty: the domain is transient
  bool autostart = false;
};

/// What a domain is now, and its snapshots and checkpoints: a definition without its persistent half. The two halves
/// are read side by side where a guest's move waits for them. @error kNotFound; kConflict libvirt refuses
Result<Definition> read_live(virDomainPtr domain);
/// Does libvirt start it at boot? @error as read_live
Result<bool> read_autostart(virDomainPtr domain);
/// The other half. @error as read_live
Result<Persistent> read_persistent(virDomainPtr domain);
Definition join(Definition live, Persistent persistent);

/// The two halves of Hypervisor::fingerprint(): the running domain, and what belongs to it. @error as read_live
Result<std::string> read_live_text(virDomainPtr domain);
Result<std::string> read_kept_text(virDomainPtr domain);

/// Makes libvirt keep of this running domain what another host's libvirt kept: definition, title, description,
/// metadata, snapshots, checkpoints, autostart. What is so already stays. Goes on after a failure, and tells the first.
/// @param definition its inactive XML without what belongs to a shadow
Result<void> make_kept(virDomainPtr domain, const Definition& definition, const std::filesystem::path& autostart_links);

/// Of snapshots by their names, which were looked at before. Thread-safe.
class TendedSnapshots {
 public:
  /// Redefines those of a running domain that would not start (clean_snapshot()). @return what was done, in words
  Result<std::vector<std::string>> tend(virDomainPtr domain, const std::string& uuid);

 private:
  // The lock is for the map alone: libvirt may hang over one domain while it is asked about another.
  std::set<std::string> known(const std::string& uuid);
  void know(const std::string& uuid, std::set<std::string> names);
  std::mutex mutex_;
  std::map<std::string, std::set<std::string>> known_;  ///< by the domain's uuid
};

/// Durable: survives a power loss.
/// @param autostart_links where libvirt keeps a link for each domain that it starts at boot; not there: nothing to sync
Result<void> set_autostart(virDomainPtr domain, bool on, const std::filesystem::path& autostart_links);

}  // namespace umbra::virt
