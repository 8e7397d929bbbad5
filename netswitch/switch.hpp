/// The network side of a VM on one node: its tap, its neighbour entries, and the routes that lead to it. The same on
/// hosts and on edges.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "netswitch/address_rules.hpp"
#include "netswitch/kernel.hpp"

namespace umbra::netswitch {

/// How a VM is connected on a host in routed mode.
struct VmNet {
  std::string uuid;
  std::string name;  ///< for messages
  std::string tap;   ///< `<target dev=… managed='no'/>`
  MacAddress guest_mac;
  std::vector<IpAddress> addresses;
  TapOptions tap_options{};
  bool awaited = false;  ///< it is to come by a cutover: its tap is made with the queue of a flip
};

/// Must be the same on every node of the fleet.
struct SwitchConfig {
  /// On every tap: a guest that moved keeps sending to the MAC it knows, and must be heard.
  MacAddress gateway_mac{{0xee, 0xee, 0xee, 0xee, 0xee, 0x01}};
  IpAddress gateway_v4{std::array<std::uint8_t, 4>{169, 254, 1, 1}};
  IpAddress gateway_v6{std::array<std::uint8_t, 16>{0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}};
  std::uint8_t route_protocol = 117;  ///< marks our routes; 5 to 255, and none of /etc/iproute2/rt_protos
  /// Packets that wait in the tap of a guest that does not read for a moment; the kernel's 1000 hold 50 ms of 20,000 a
  /// second. More would only make TCP's queues longer where a guest is slower than its peers.
  std::uint32_t tap_queue = 4096;
  /// Packets that wait in the tap of a guest that is paused in a cutover: a second of 20,000 a second.
  std::uint32_t flip_queue = 20'000;
  AddressRules addresses{};
};

/// Where a VM's address leads from this node.
struct Hop {
  bool local = false;
  std::string tap;  ///< if local
  IpAddress via;    ///< if not: the host that has the VM, of the same family as the VM's address

  static Hop to_tap(std::string tap) { return {true, std::move(tap), {}}; }
  static Hop to_host(const IpAddress& via) { return {false, {}, via}; }
  static Hop of(const Route& route) { return route.via ? to_host(*route.via) : to_tap(route.dev); }
  bool operator==(const Hop&) const = default;
};

/// What point() changed: enough to change it back.
struct Undo {
  std::string vm;  ///< UUID
  IpAddress address;
  std::uint64_t epoch = 0;
  Hop now;                    ///< what was put there
  std::optional<Hop> before;  ///< what was there; nothing if there was no route
  std::uint64_t before_epoch = 0;
};

struct WantedRoute {
  std::string vm;  ///< UUID
  IpAddress address;
  Hop hop;
  std::uint64_t epoch = 0;
};

struct OwnedRoute {
  std::string vm;  ///< UUID; empty: made by an earlier process, and not confirmed by reconcile() yet
  IpAddress address;
  Hop hop;
  std::uint64_t epoch = 0;  ///< 0 likewise
};

/// The newest epoch of a VM that this node has heard of for an address of its.
struct KnownEpoch {
  std::string vm;  ///< UUID
  IpAddress address;
  std::uint64_t epoch = 0;
};

/// Something of ours that is not as this process left it.
struct Damage {
  enum class What : std::uint8_t { kTap, kRoute };
  What what = What::kRoute;
  std::string vm;  ///< UUID; empty: of an earlier process
  IpAddress address;
  std::string name;  ///< "tap uvm1", "route 10.50.0.1 via 10.77.0.2"; says which one it is
  std::string flaw;  ///< "is gone", "is down"
};

struct ReconcileReport {
  std::vector<IpAddress> added;    ///< were missing
  std::vector<IpAddress> changed;  ///< led elsewhere, or were another VM's
  std::vector<IpAddress> removed;  ///< were ours and unwanted
  std::vector<KnownEpoch> newer;   ///< left alone: this node knows a newer epoch of that VM
  std::vector<std::pair<IpAddress, Error>> failed;
};

/// Epochs are a VM's, for each of its addresses: they grow, start at 1, and an older one is refused. What one VM has
/// done says nothing about another that gets its address later. They are remembered for the life of the object; after a
/// restart reconcile() brings them back. An address is held by one VM at a time: another cannot point it away.
/// Agent strand only; every call is synchronous. Errors are those of Kernel, and those named below.
class Switch {
 public:
  /// @param kernel must outlive this
  Switch(Kernel& kernel, SwitchConfig config) : kernel_(kernel), config_(config) {}

  const SwitchConfig& config() const { return config_; }

  /// Makes the tap ready for QEMU: common gateway MAC and address, proxy ARP, up, a permanent neighbour entry for each
  /// guest address. No route. Idempotent; repairs what is missing. A tap that the operator made is used, and kept. A
  /// queue that is that of a flip, also by an earlier process, stays so until settle().
  /// @error kInvalid a wrong name or address; kConflict the tap belongs to another VM, or is no tap
  Result<void> attach(const VmNet& vm);

  /// Takes back what attach() did, and our routes to the tap. Idempotent; nothing of another VM is touched, and a VM
  /// that was attached by an earlier process is found by the tap's alias.
  Result<void> detach(const std::string& uuid);

  /// Makes the VM's address lead to `hop`, in one message, after one for the queue of its tap where it leads there, if
  /// that is not the queue of a flip already. The same epoch and hop again changes nothing and
  /// returns the first call's Undo.
  /// @error kConflict an older epoch, one that was undone, another hop for the same epoch, an address that another VM
  ///        holds, or a route that is not ours; kInvalid an address that no VM may have
  Result<Undo> point(const std::string& vm, const IpAddress& address, const Hop& hop, std::uint64_t epoch);

  /// Restores what was before, if what stands is still what that point() put there, and the tap's queue. Idempotent.
  /// The epoch is used up.
  Result<void> undo(const Undo& undo);
  /// The same for a caller who never saw the Undo: the answer was lost, or the request is still on its way, and then
  /// will be refused when it comes.
  Result<void> undo(const std::string& vm, const IpAddress& address, std::uint64_t epoch);

  /// The VM runs here: its address leads to its tap, unless a newer epoch leads it elsewhere. Idempotent.
  /// @error kConflict another VM holds the address, or a route that is not ours; kNotFound the VM is not attached
  Result<void> serve(const std::string& vm, const IpAddress& address, std::uint64_t epoch);

  /// Brings our routes to what the controller knows. Foreign routes stay untouched, and what this node knows of that VM
  /// from a newer epoch. An address passes from one VM to another, except away from a VM that is attached here unless
  /// `complete`. One bad entry does not stop the others.
  /// @param complete `wanted` names every VM of the fleet: our routes that it does not name go, unless they lead to a
  ///        VM that is attached here, and are of its addresses. If not, nothing is removed: unknown is not gone.
  Result<ReconcileReport> reconcile(const std::vector<WantedRoute>& wanted, bool complete);

  /// Counts our routes that stand as what is to stand, until point() or reconcile() says whose they are: for a process
  /// that has just started.
  Result<void> adopt();
  /// Whether a change of this address in the kernel's tables may concern us.
  bool cares_for(const IpAddress& address) const;
  /// Compares the kernel's tables with what point(), reconcile() and attach() made of them. Taps come first. A tap that
  /// the operator made and took away is no damage.
  Result<std::vector<Damage>> inspect() const;
  /// Puts it back, if it is still to be. @error kConflict something that is not ours stands in its place
  Result<void> repair(const Damage& damage);

  /// VMs (UUIDs) whose addresses lead to taps that have the queue of a flip.
  std::vector<std::string> unsettled() const;
  /// The VM has read what came while it was paused: its tap gets the ordinary queue. One that cannot be changed without
  /// loss (Link::resizable) stays as it is until the VM leaves. @error kNotFound the tap is gone
  Result<void> settle(const std::string& uuid);

  /// What this node knows of epochs, undone ones included: no VM must ever get one of them again.
  std::vector<KnownEpoch> epochs() const;

  /// Our routes, as the kernel has them now.
  Result<std::vector<OwnedRoute>> owned() const;

  /// Where our route for this address leads now; nothing if there is none.
  /// @error kConflict it has a route that is not ours
  Result<std::optional<Hop>> where(const IpAddress& address) const;

  /// Bytes and packets of the VM's tap. `rx_packets` grows with the first packet the guest sends here.
  /// @error kNotFound it is not attached
  Result<Counters> counters(const std::string& uuid) const;

 private:
  /// What this process knows of one VM's claim to an address.
  struct Claim {
    std::uint64_t epoch = 0;   // of the route that stands, or stood until detach() or another VM's
    std::uint64_t undone = 0;  // the epochs between, up to this one, were undone
    std::optional<Hop> hop;    // the route that stands; of one VM at most
    std::optional<Undo> last;  // what the newest point() did, while it stands
  };
  using Claims = std::map<std::string, Claim>;  // by VM

  struct Prepared {
    bool now = false;         // the tap was made just now
    bool ours = false;        // by us, now or earlier
    std::uint32_t queue = 0;  // that it is to have
  };
  Result<Prepared> prepare_tap(const VmNet& vm);
  struct Links;
  std::string flaws_of_tap(const VmNet& vm, const Links& links) const;
  Result<void> configure_tap(const VmNet& vm, const Prepared& prepared);
  void widen(const std::string& uuid, const Hop& hop);
  void narrow(const std::string& uuid);
  Result<void> set_route(const IpAddress& address, const Hop& hop, bool replaces);
  Result<void> reconcile_one(const WantedRoute& wanted, const std::optional<Hop>& stands, bool complete,
                             ReconcileReport& report);
  Claim claim(const std::string& vm, const IpAddress& address) const;
  const Claims::value_type* holder(const IpAddress& address) const;
  Result<void> check_allowed(const IpAddress& address) const;
  Result<void> check_free(const std::string& vm, const IpAddress& address) const;
  void hold(const std::string& vm, const IpAddress& address, Claim claim);
  bool leads_to_attached(const std::optional<Hop>& hop) const;
  bool is_served_here(const IpAddress& address, const std::optional<Hop>& hop) const;

  Kernel& kernel_;
  SwitchConfig config_;
  std::map<IpAddress, Claims> known_;
  std::map<std::string, VmNet> attached_;  // by uuid
  std::set<std::string> made_;             // of these, whose taps we made
  std::set<std::string> wide_;             // of these, whose taps have the queue of a flip
};

}  // namespace umbra::netswitch
