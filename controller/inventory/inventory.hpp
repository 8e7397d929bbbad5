/// The live picture of the fleet: which nodes are up, which VMs they have, who owns each.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>

#include "base/signal.hpp"
#include "controller/event_log.hpp"
#include "controller/inventory/ownership.hpp"
#include "controller/store/store.hpp"
#include "rpc/session.hpp"

namespace umbra::controller {

using TimePoint = std::chrono::steady_clock::time_point;

struct HeartbeatSettings {
  Milliseconds interval{1000};
  unsigned missed = 4;  ///< that many in a row, and a node counts as down
  Milliseconds silence() const { return interval * missed; }
};

/// There is a QEMU of it.
inline bool is_active(v1::VmState state) {
  return state == v1::VM_STATE_RUNNING || state == v1::VM_STATE_PAUSED;
}

/// A host or an edge.
struct NodeRecord {
  v1::Node node;
  std::string version;
  v1::HoldProof proof;
  v1::Credentials credentials{};
  v1::HostCapacity capacity;
  bool hypervisor_up = false;
  bool vms_known = false;  ///< its last report listed all its VMs
  bool up = false;
  bool heard = false;  ///< since this controller started
  TimePoint heard_at{};
  UnixMillis last_seen = 0;
  std::weak_ptr<rpc::Session> session;
  bool epochs_known = false;                  ///< since this controller started it has told all epochs that it knows
  std::optional<v1::Fence> fence;             ///< since when it owns nothing that runs, and who says so
  bool returned = false;                      ///< since then it has been heard: it may start what is still its own
  std::map<std::string, v1::VmState> claims;  ///< its last report's VMs, by uuid
  /// By uuid: VMs that it has by its journal, and the epoch of that. Kept while it is down: what was proven stays so.
  std::map<std::string, v1::ServedVm> served;
  struct Held {
    v1::HeldShadow shadow;
    TimePoint since{};  ///< it was reported first
  };
  std::map<std::string, Held> held;  ///< by uuid: shadows that it holds for other hosts, by its last report
  struct PeerWord {
    std::string by{};
    TimePoint at{};
  };
  PeerWord heard_by{};  ///< the last host that said that this one has renewed a shadow there, and when it said so

  bool is_host() const { return node.role() == v1::ROLE_AGENT; }
  /// May its VMs be started elsewhere?
  bool is_off() const { return fence && !returned && !up; }
};

struct VmRecord {
  v1::Vm vm;
  std::string host;
  Epoch epoch = 0;        ///< the newest ever given out
  Epoch owner_epoch = 0;  ///< the one in which `host` became the owner
  std::optional<v1::VmSample> last_sample{};
  std::optional<v1::Shadow> shadow{};
  std::string moving_to{};  ///< a move is going on; ownership is then the mover's to settle

  /// A ruling other than kKeep, and since when; it counts once reports have agreed on it for a while.
  OwnershipRuling pending{};
  TimePoint pending_since{};
  bool alerted = false;
  /// Its owner has been seen to run it since it got it: that it does not any more is then no report from before.
  bool ran = true;
  TimePoint owned_since{};  ///< when it got it, if in this life of the controller

  bool stored = true;     ///< `vm` is in the store as it is here; else it is tried again before an epoch is taken
  Epoch heard_epoch = 0;  ///< the newest one that any node told of
  /// The store had fallen behind: a node knew a newer epoch, in which the VM may have moved on from `host`.
  bool owner_outdated = false;
  std::string objection{};  ///< why the controller does not move it; empty when it does

  /// Why it cannot have a shadow; empty when it can.
  const std::string& refusal() const { return vm.refusal().empty() ? objection : vm.refusal(); }
  bool moving() const { return !moving_to.empty(); }
  bool active() const { return is_active(vm.state()); }
};

/// Controller's thread only. References to records stay valid until the next call that changes the inventory.
class Inventory {
 public:
  /// Nodes and VMs as they were stored; all nodes are down until they are heard.
  /// @error of the store
  static Result<std::unique_ptr<Inventory>> load(Store& store, EventLog& events, Clock& clock,
                                                 asio::any_io_executor executor, HeartbeatSettings heartbeat);

  /// @error kInvalid the node describes itself badly; of the store
  Result<void> registered(const v1::RegisterRequest& request, std::weak_ptr<rpc::Session> session);
  /// @error kConflict the node has not registered over this session
  Result<void> reported(const std::string& node, const std::shared_ptr<rpc::Session>& session,
                        const v1::ReportRequest& report);
  /// Takes silent nodes for down and settles ownership. To be called at least every heartbeat interval.
  void watch();

  const std::map<std::string, NodeRecord>& nodes() const { return nodes_; }
  const NodeRecord* node(const std::string& name) const;
  /// VMs that somebody has, by uuid.
  const std::map<std::string, VmRecord>& vms() const { return vms_; }
  const VmRecord* vm(const std::string& uuid) const;
  /// VMs that nobody has any more, by uuid.
  const std::map<std::string, VmRecord>& gone() const { return gone_; }
  /// A VM, also one that nobody has: it is among vms() again, until it is found for a while that nobody has it.
  const VmRecord* recall(const std::string& uuid);
  /// @error kUnavailable the node is down
  Result<std::shared_ptr<rpc::Session>> session(const std::string& node) const;
  /// Those whose routes a cutover between the two hosts flips beside theirs: every other node that is up. One that is
  /// down gets its routes when it registers again.
  std::vector<v1::Node> routers(const std::string& from, const std::string& to) const;
  /// What that host holds although nobody has been keeping it for a minute.
  std::vector<v1::HeldShadow> leaked(const NodeRecord& node) const;
  /// @error kConflict no host owns the VM; the remedy is what finds out why
  Result<void> check_owned(const VmRecord& record) const;
  /// @error kConflict the VM's host says that it does not run; the remedy is what starts it
  Result<void> check_runs(const VmRecord& record) const;

  /// Sets the objections to moving VMs, by UUID; all others have none.
  void object(const std::map<std::string, std::string>& objections);

  /// @error kConflict a move of this VM is going on; kNotFound
  Result<void> begin_move(const std::string& vm_uuid, const std::string& to);
  void end_move(const std::string& vm_uuid);
  /// The VM's next epoch, by compare-and-swap in the store. What `with` stores becomes durable together with it.
  /// @error kUnavailable see epochs_certain(); kConflict, kNotFound, of the store, of `with`: no epoch was taken
  Result<Epoch> take_epoch(const std::string& vm_uuid, const std::function<Result<void>(Epoch)>& with = {});
  /// Does the controller know the newest epoch of every VM? Its store may have been lost, or restored from a backup:
  /// until every node has told the epochs it knows, or must be taken for down, no epoch is given out.
  /// @error kUnavailable a node has not told them yet
  Result<void> epochs_certain() const;
  /// What a node knows of epochs. Newer ones than the store's are taken over, and told of in an event; their VMs'
  /// owners are confirmed in an epoch above, so that routes of that epoch are believed everywhere.
  void heard_epochs(const std::string& node, const google::protobuf::RepeatedPtrField<v1::KnownEpoch>& epochs);
  /// The epoch in which this host got the VM by its own journal; 0 when it says nothing of that.
  Epoch served_epoch(const std::string& host, const std::string& vm_uuid) const;
  /// Records who owns the VM since `epoch`. @error kConflict a newer epoch has an owner; of the store
  Result<void> settle(const std::string& vm_uuid, const std::string& host, Epoch epoch);

  /// The host is off: it is down from now on, and what it runs when it comes back counts only once it is unfenced.
  void fenced(const v1::Fence& fence);
  /// A fenced host is heard: nothing more is taken over from it. Durable before it returns. @error of the store
  Result<void> returned(const std::string& host);
  void unfenced(const std::string& host);

  /// Notified at every report and change.
  Signal& changed() { return changed_; }
  /// Has the controller run for long enough that every node that lives has registered? Until then the absence of
  /// somebody is no news.
  bool settled() const { return clock_.steady() - started_ > 3 * heartbeat_.silence() + std::chrono::seconds(10); }
  /// Grows whenever who is up, who owns what, or a VM's description changes.
  std::uint64_t generation() const { return generation_; }
  const HeartbeatSettings& heartbeat() const { return heartbeat_; }

 private:
  Inventory(Store& store, EventLog& events, Clock& clock, asio::any_io_executor executor, HeartbeatSettings heartbeat)
      : store_(store),
        events_(events),
        clock_(clock),
        heartbeat_(heartbeat),
        started_(clock.steady()),
        changed_(std::move(executor), clock) {}

  void touch() {
    ++generation_;
    changed_.notify();
  }
  void take_vms(NodeRecord& node, const v1::ReportRequest& report);
  void take_shadows(NodeRecord& node, const v1::ReportRequest& report);
  void take_samples(const v1::ReportRequest& report);
  void describe(VmRecord& record, const v1::Vm& vm);
  void rule_on(VmRecord& record);
  Taker taker(const VmRecord& record) const;
  void confirm(VmRecord& record);
  void raise(VmRecord& record, Epoch heard);
  Result<void> catch_up(VmRecord& record);
  Result<void> save(VmRecord& record);
  void apply(VmRecord& record, const OwnershipRuling& ruling);

  Store& store_;
  EventLog& events_;
  Clock& clock_;
  HeartbeatSettings heartbeat_;
  TimePoint started_;
  bool was_settled_ = false;
  bool behind_ = false;  ///< the store was lost or restored: some node knew a newer epoch
  Signal changed_;
  std::uint64_t generation_ = 1;
  std::map<std::string, NodeRecord> nodes_;
  std::map<std::string, VmRecord> vms_;
  std::map<std::string, VmRecord> gone_;       ///< VMs that nobody has now: their epochs live on
  std::map<std::string, Epoch> heard_epochs_;  ///< of VMs that the store does not know
};

}  // namespace umbra::controller
