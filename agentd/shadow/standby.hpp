/// The destination's side of shadows: the Standby service's work.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>

#include "agentd/network.hpp"
#include "agentd/shadow/gate.hpp"
#include "agentd/shadow/hold.hpp"
#include "agentd/shadow/life.hpp"
#include "agentd/shadow/watch.hpp"
#include "agentd/virt/hypervisor.hpp"
#include "base/mutex.hpp"
#include "umbra/v1/agent.pb.h"

namespace umbra::shadow {

struct StandbyConfig {
  std::string node;                         ///< this node's name
  unsigned channels = 1;                    ///< of a shadow's stream, at most
  Bytes memory{};                           ///< what this host may give to VMs in all; zero: what libvirt says it has
  Bytes reserve = mebibytes(256);           ///< of that, what shadows must leave free
  std::chrono::milliseconds lease{30'000};  ///< without word from its source, what is not accepted is dropped
};

/// Holds other hosts' shadows and decides, alone on this side, whether one may run.
///
/// A shadow resumes only in released(), that is, on the source's word for the epoch that accept() made durable before;
/// refuse() makes durable that it never will. Both take the shadow's lock, so one of them comes first.
/// Agent strand only. Errors are definite answers; whoever gets none asks inspect().
class Standby {
 public:
  struct Hooks {
    /// Is the hold proven on this host? Empty, or the reason why not.
    std::function<std::string()> refusal;
    /// A shadow has become this host's own VM.
    std::function<void(const v1::Vm& vm, std::uint64_t epoch)> moved;
    std::function<void(v1::Severity severity, const std::string& vm, const std::string& text)> note;
  };

  Standby(asio::any_io_executor executor, Clock& clock, virt::Hypervisor& hypervisor, agent::Network& network,
          Journal& journal, Gates& gates, StandbyConfig config, Hooks hooks);
  ~Standby();

  /// Takes up what an earlier life of the agent left behind. Await it once libvirt answers, before serving.
  Task<void> recover(std::vector<Record> records);
  /// Of a VM whose record is damaged nothing is decided here, and every request is answered with that.
  void leave_alone(const std::string& vm_uuid, std::string reason) { left_alone_[vm_uuid] = std::move(reason); }

  /// @error kExhausted not enough memory; kUnsupported not provable or refusable; kConflict runs here already
  Task<v1::StageReply> stage(v1::StageRequest request);
  /// @error kNotFound no such shadow; kConflict an epoch this side has seen already
  Task<v1::AcceptReply> accept(v1::AcceptRequest request);
  /// @error kConflict refused, durably: this side will not run in that epoch; kTimeout not decided
  Task<v1::ReleasedReply> released(v1::ReleasedRequest request);
  Task<v1::RefuseReply> refuse(v1::RefuseRequest request);
  Task<v1::InspectReply> inspect(v1::InspectRequest request);
  /// What libvirt shall keep of a VM that moved here in that epoch. @error kConflict it has moved on, or never came
  Task<void> amend(v1::AmendRequest request);
  /// From the agent: something of a domain was changed. A shadow that is changed by hand is no copy of its primary any
  /// more: it is dropped, and its source makes it anew.
  asio::awaitable<void> domain_changed(std::string vm_uuid);
  /// Refuses the epoch of a shadow that is accepted: a source that discards has promised nothing.
  Task<void> discard(v1::DiscardRequest request);
  /// Drops what its source does not name, accepted or not: a source that does not name it has promised nothing, or runs
  /// again. Never what was released.
  Task<v1::RenewReply> renew(v1::RenewRequest request);
  /// All that are held here, for the controller to compare with what it knows.
  std::vector<v1::HeldShadow> held() const;

  /// Drops the shadow of a VM, if there is one, whoever staged it: its source begins anew, or is fenced. What was
  /// released or serves stays.
  Task<void> give_up(std::string vm_uuid, std::string why);

  /// What a new shadow may take: by the memory that VMs and shadows were promised, not by what they have touched.
  Task<Bytes> free_memory();
  /// This host took part in that epoch in another way: it and older ones are refused from now on.
  void outdate(const std::string& vm_uuid, std::uint64_t epoch);
  /// Is this domain a shadow (and so none of this host's own VMs)?
  bool holds(const std::string& vm_uuid) const;
  std::size_t count() const { return shadows_.size(); }
  /// Adds this side's share; `account` has libvirt's already.
  Task<void> tell(std::string vm_uuid, v1::VmAccount* account);
  /// The epoch that this host has accepted, and that is not decided; 0 for none.
  std::uint64_t accepted_epoch(const std::string& vm_uuid) const;
  /// Outside of any cutover the VM has become this host's, in that epoch.
  void took(const std::string& vm_uuid, std::uint64_t epoch);
  /// It could not be started; before, it had run here last in that epoch (0: never).
  void took_not(const std::string& vm_uuid, std::uint64_t served);
  /// The newest epoch this host has answered for, by VM.
  const std::map<std::string, std::uint64_t>& epochs() const { return epochs_; }
  /// The newest epoch in which the VM ran on this host; 0 when it never did.
  std::uint64_t served(const std::string& vm_uuid) const;
  /// From the agent: libvirt told that a domain stopped.
  asio::awaitable<void> domain_stopped(std::string vm_uuid);
  /// From the agent, now and then: does what could not be done when it was due, notices shadows that ended while
  /// libvirt could not tell, ends leases.
  asio::awaitable<void> tidy();
  /// From the agent, with all domains: ends shadows whose start was given up before libvirt got to it.
  asio::awaitable<void> sweep(std::vector<virt::Domain> domains);

 private:
  struct Shadow;
  /// What there is of a shadow's QEMU.
  enum class End : std::uint8_t {
    kGone,   ///< it has ended, and never runs
    kRuns,   ///< it was resumed: not ended
    kTaken,  ///< somebody has made the domain persistent: not ended
  };

  Task<v1::StageReply> stage_locked(Shadow& shadow);
  Task<std::string> listen(Shadow& shadow);
  Result<void> take_definition(Shadow& shadow, const v1::AcceptRequest& request);
  Task<void> admit(v1::Vm vm);
  Task<void> drop(Shadow& shadow, Event event, std::string why);
  Task<End> end_qemu(Shadow& shadow);
  Task<void> drop_as_due(Shadow& shadow, std::string why);
  void abandon(Shadow& shadow, End end);
  asio::awaitable<void> end_leases();
  Result<void> undamaged(const std::string& vm_uuid) const;
  Task<void> clear(Shadow& shadow);
  Task<void> attend(Shadow& shadow);
  Task<void> ask_gate(Shadow& shadow);
  Task<void> remember(Shadow& shadow);
  Task<void> compare(Shadow& shadow);
  asio::awaitable<void> ended_here(Shadow& shadow);
  asio::awaitable<void> resumed_late(Shadow& shadow);
  void point_here(const Shadow& shadow);
  Task<void> note_release(Shadow& shadow);
  Task<void> last_pages(Shadow& shadow);
  Task<bool> has_run(Shadow& shadow);
  Task<bool> may_have_run(Shadow& shadow);
  Task<void> settle_in(Shadow& shadow);
  Task<void> keep_definition(Shadow& shadow);
  Task<void> finish(Shadow& shadow);
  Task<std::int64_t> resume(Shadow& shadow, std::chrono::microseconds arrived);
  Shadow* find(const std::string& vm_uuid);
  void forget(const std::string& vm_uuid);

  asio::any_io_executor executor_;
  Clock& clock_;
  virt::Hypervisor& hypervisor_;
  agent::Network& network_;
  Journal& journal_;
  Gates& gates_;
  StandbyConfig config_;
  Hooks hooks_;
  std::map<std::string, std::shared_ptr<Shadow>> shadows_;  // staging … promised, and dropped until all of it is gone
  std::map<std::string, std::shared_ptr<Shadow>>
      settling_;                                   // serve already, but are not persistent or not journaled so
  std::map<std::string, std::uint64_t> epochs_;    // the newest epoch this host has answered for, by VM
  std::map<std::string, std::uint64_t> served_;    // the newest one in which the guest ran here, by VM
  std::map<std::string, std::string> left_alone_;  // VMs whose record is damaged, and what is wrong with it
  std::set<std::string> once_held_;                // VMs whose shadow this journal has known
  std::vector<v1::HeldShadow> strays_;             // shadows that it does not
  Signal::TimePoint awake_{};                      // when leases were looked at last
};

}  // namespace umbra::shadow
