/// A host's own side: its VMs, their shadows elsewhere, and other hosts' shadows here.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>

#include "agentd/config.hpp"
#include "agentd/guard.hpp"
#include "agentd/image_watch.hpp"
#include "agentd/outbox.hpp"
#include "agentd/shadow/source.hpp"
#include "agentd/shadow/standby.hpp"
#include "agentd/telemetry/sampler.hpp"

namespace umbra::agent {

struct Condition {
  bool settled = false;  ///< libvirt was reached, and the hold is proven or cannot be
  std::string text;
};

/// Keeps the inventory, supervises one Source per VM that has or had a shadow, and owns the Standby.
///
/// Nothing is decided while libvirt cannot be asked: the last known inventory is reported as not known, shadows stay as
/// they are. Agent strand only.
class Host {
 public:
  struct Hooks {
    std::function<void()> nudge;                 ///< something to report soon
    std::function<Task<v1::HoldProof>()> prove;  ///< proves the hold on this host's QEMU
  };

  /// References outlive the host.
  Host(asio::any_io_executor executor, Clock& clock, const AgentConfig& config, virt::Hypervisor& hypervisor,
       Network& network, shadow::Journal& journal, shadow::Peers& peers, shadow::Gates& gates, Outbox& outbox,
       Hooks hooks);

  /// Recovers, then follows libvirt until stop().
  asio::awaitable<void> run();
  void stop();
  /// Lets go of every shadow, of this host's VMs elsewhere and of others' here, and takes no new ones; all guests run
  /// on.
  /// @error kTimeout what could not be let go of; kUnavailable libvirt
  Task<void> release(Deadline deadline);
  /// Takes shadows again, after release().
  void resume() { releasing_ = false; }

  /// Agent service; see proto/umbra/v1/agent.proto.
  Task<v1::Shadow> keep_shadow(v1::KeepShadowRequest request);
  Task<void> drop_shadow(v1::DropShadowRequest request);
  Task<v1::CutoverResult> cutover(v1::CutoverRequest request, shadow::Cutover::Progress progress);
  Task<v1::CutoverResult> last_cutover(std::string vm_uuid);
  Task<std::vector<v1::Check>> diagnose();
  Task<void> start_definition(v1::StartDefinitionRequest request);
  Task<v1::VmAccount> account(std::string vm_uuid);
  Task<void> yield(v1::YieldRequest request);
  Task<void> resolve(v1::ResolveRequest request);

  /// Serves the Standby service once recovery is done. @error kUnavailable still recovering
  Result<shadow::Standby*> standby();
  void fill(v1::ReportRequest& report) const;
  /// All epochs that this host knows of VMs, from its journal and since.
  void fill(v1::RegisterRequest& request) const;
  /// The controller took this host in, and says what is not its own any more.
  void introduced(const v1::RegisterReply& reply);
  /// The answer to a report: what is not this host's own, as it is now.
  void heed(const v1::ReportReply& reply);
  /// What the boot guard withheld: whose is it? Empty: nothing is withheld.
  v1::WhoseVmsRequest question() const;
  void answered(const v1::WhoseVmsReply& reply);
  /// The report that was filled last arrived.
  void delivered(const v1::ReportRequest& report);
  const v1::HoldProof& proof() const { return proof_; }
  /// How it is, in a line for whoever looks at the service.
  Condition condition() const;
  /// A VM of this host's own, as it was last reported; nothing when it has none of that uuid.
  const v1::Vm* vm(const std::string& vm_uuid) const;

 private:
  Task<void> recover();
  void leave_alone(const std::vector<shadow::Damaged>& damaged);
  Result<void> undamaged(const std::string& vm_uuid) const;
  std::vector<shadow::Kept> kept() const;
  Task<void> prove();
  Task<void> take_inventory();
  asio::awaitable<void> look_for_left_behind(std::vector<virt::Domain> domains);
  Task<void> look_at(virt::Domain domain);
  Task<void> end_unrecorded(std::string vm_uuid);
  Task<void> take_definitions();
  Task<bool> autostart(std::string vm_uuid);
  struct Before {
    std::uint64_t epoch = 0, served = 0;
    bool defined = false;
  };
  Task<void> make(v1::Vm vm, std::string xml);
  asio::awaitable<void> give_back(v1::Vm vm, std::uint64_t epoch, Before before);
  asio::awaitable<void> start_at_boot(std::string vm_uuid, std::string name);
  void tell_definitions(v1::ReportRequest& report) const;
  using TakenOverList = google::protobuf::RepeatedPtrField<v1::TakenOver>;
  void take_over_list(const TakenOverList& list);
  Task<void> obey();
  Task<void> restore_autostart();
  void forget_withheld(const std::string& vm_uuid);
  std::uint64_t newest_epoch(const std::string& vm_uuid) const;
  std::string vm_name(const std::string& vm_uuid) const;
  Task<void> take_samples();
  asio::awaitable<void> measure_dirty_rates();
  void adopt_network(const v1::Vm& vm);
  void complain(const v1::Vm& vm, const std::string& why);
  asio::awaitable<void> tend(std::vector<virt::Domain> domains);
  void on_lifecycle(const virt::LifecycleEvent& event);
  void on_connection(bool up);
  Task<v1::Vm> shadowable(std::string vm_uuid);
  std::shared_ptr<shadow::Source> source(const std::string& vm_uuid) const;
  void supervise(std::shared_ptr<shadow::Source> source, std::string vm_uuid);
  void outdate_inventory();
  std::uint64_t owned_since(const std::string& vm_uuid) const;
  asio::awaitable<void> supervised(std::shared_ptr<shadow::Source> source, std::string vm_uuid);
  std::string refusal() const;
  std::vector<std::string> still_held() const;

  asio::any_io_executor executor_;
  Clock& clock_;
  const AgentConfig& config_;
  virt::Hypervisor& hypervisor_;
  Network& network_;
  shadow::Journal& journal_;
  Outbox& outbox_;
  Hooks hooks_;
  shadow::SourceContext context_;
  shadow::Standby standby_;
  shadow::Leases leases_;
  telemetry::Sampler sampler_;
  ImageWatch images_;
  Signal changed_;
  std::map<std::string, std::shared_ptr<shadow::Source>> sources_;
  std::map<std::string, shadow::Record> retired_;  // sources that ended; their epochs count
  std::map<std::string, v1::CutoverResult> last_cutovers_;
  std::map<std::string, std::uint64_t> epochs_;  // of VMs that moved here
  std::map<std::string, std::int64_t> since_;    // when they did, in Unix milliseconds, if in this life of the agent
  std::map<std::string, std::uint64_t> remembered_;  // the newest epochs in the journal as it was found
  bool remembered_all_ = false;
  std::map<std::string, std::string> damaged_;  // by VM: what is wrong with its record
  struct Look {
    bool done = false, found_paused = false;
    std::optional<Signal::TimePoint> paused{};  // since when it is
  };
  std::map<std::string, Look> looked_at_;  // by domain, for what the journal does not tell of
  struct Definition {
    std::string xml;  // inactive
    bool autostart = false;
    bool told = false;
    Signal::TimePoint due{};  // when it is read again
  };
  static constexpr std::chrono::seconds kDefinitionEvery{60};
  static constexpr std::size_t kMostDefinitionsAtOnce = 1024 * 1024;  // bytes in one report, or one definition
  std::map<std::string, Definition> definitions_;                     // by VM
  std::vector<v1::TakenOver> taken_over_;  // from this host while it was fenced, as the controller said last
  Signal::TimePoint taken_over_at_{};      // when it did
  std::set<std::string> run_twice_;        // of these, those that run here too: told once
  std::vector<Withheld> withheld_;         // by the boot guard, and not put right yet
  std::set<std::string> restore_;          // of these, those that are this host's for certain
  std::map<std::string, v1::Vm> vms_;
  std::map<std::string, std::string> attached_;         // by VM: what its tap was configured for
  std::map<std::string, std::string> unserved_;         // by VM: why its addresses do not lead here, as told last
  std::map<std::string, Signal::TimePoint> dirty_due_;  // by VM: when QEMU is asked again how fast it dirties memory
  v1::HostCapacity capacity_;
  v1::HoldProof proof_;
  Signal::TimePoint inventory_due_{};
  bool hypervisor_up_ = false;
  bool inventory_known_ = false;
  bool recovered_ = false;
  bool loss_told_ = false;  // that the journal was lost
  bool releasing_ = false;
  bool stopping_ = false;
};

}  // namespace umbra::agent
