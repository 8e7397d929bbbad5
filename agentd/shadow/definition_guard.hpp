/// What a shadow was made of, held against what its primary has become.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "agentd/virt/hypervisor.hpp"
#include "qmp/client.hpp"
#include "umbra/v1/agent.pb.h"

namespace umbra::shadow {

/// A shadow's QEMU has the devices and disks that its primary had when it was staged. libvirt lets people and backups
/// change the primary all the same: an external snapshot, a block job, an ejected CD, a limit. A shadow that does not
/// have the change must not run, or the change, and what was written since, is undone.
///
/// Agent strand only.
class DefinitionGuard {
 public:
  enum class State : std::uint8_t {
    kSame,     ///< the shadow has all of it, or it is carried along
    kBusy,     ///< a block job runs: nothing can be said, and nothing moved, before it ends
    kDiffers,  ///< the shadow must be made anew
  };
  struct View {
    State state = State::kSame;
    std::string why;              ///< in words, where the state is not kSame
    virt::Definition definition;  ///< what libvirt keeps of the primary now
  };

  DefinitionGuard(virt::Hypervisor& hypervisor, std::string vm_uuid)
      : hypervisor_(hypervisor), uuid_(std::move(vm_uuid)) {}

  /// Looks at the primary, of which a shadow is to be made now.
  /// @error kConflict a block job runs; kUnsupported something that libvirt keeps of it cannot follow
  Task<virt::Definition> begin(Deadline deadline);
  /// Takes up what the journal says of a shadow of an earlier life of the agent. Nothing there: it must be made anew.
  void take_up(const std::string& stored);
  /// For the journal.
  std::string stored() const { return origin_.SerializeAsString(); }

  /// Looks again; at libvirt's XML and QEMU's block graph at the same time.
  Task<View> look(qmp::Client qmp, Deadline deadline);
  /// What the last look found, if all was the same then, and libvirt has told of no change since. For a cutover, which
  /// begins with it and looks once more before it promises anything.
  const std::optional<virt::Definition>& last_seen() const { return last_seen_; }
  /// libvirt has told of a change.
  void outdate() { last_seen_.reset(); }
  /// The same if QEMU has told of a block job since this was last asked. @param told how often it has @return if it has
  bool hear_of_jobs(std::uint64_t told) {
    if (std::exchange(jobs_told_, told) == told) return false;
    outdate();
    return true;
  }
  /// The same as an error unless all is as it was. @error kConflict with what changed
  Task<virt::Definition> check(qmp::Client qmp, Deadline deadline);
  /// The same for a cutover that is under way, and as sure: where libvirt's fingerprint is still the one that
  /// last_seen() was found with, that stands, and QEMU, which has enough to do, is not asked.
  /// @error kConflict with what changed
  Task<virt::Definition> check_again(qmp::Client qmp, Deadline deadline);
  /// The block graph alone: a question that QEMU answers in a millisecond, also while its guest stands still.
  /// @error kConflict
  Task<void> check_disks(qmp::Client qmp, Deadline deadline);

  /// What the standby was given with Accept. In memory only: an agent that was restarted since does not know.
  void set_handed_over(virt::Definition definition) { handed_over_ = std::move(definition); }
  const std::optional<virt::Definition>& handed_over() const { return handed_over_; }

  /// Was the VM started at boot here when it was looked at last?
  bool autostart() const { return origin_.autostart(); }
  /// Whether libvirt may have been told not to start it at boot here, since it was about to move.
  bool autostart_withdrawn() const { return origin_.autostart_withdrawn(); }
  void set_autostart_withdrawn(bool withdrawn) { origin_.set_autostart_withdrawn(withdrawn); }

 private:
  Result<View> judge(virt::Definition now, const std::vector<qmp::BlockNode>& nodes,
                     const std::vector<qmp::BlockJob>& jobs) const;

  virt::Hypervisor& hypervisor_;
  std::string uuid_;
  v1::ShadowOrigin origin_;
  std::optional<virt::Definition> handed_over_, last_seen_;
  std::uint64_t jobs_told_ = 0;
  std::string fingerprint_;  ///< of last_seen_, or of a moment before
};

/// The wire's form of what libvirt keeps, and back.
v1::KeptDefinition to_wire(const virt::Definition& definition);
virt::Definition from_wire(const v1::KeptDefinition& kept);

}  // namespace umbra::shadow
