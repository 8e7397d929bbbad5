/// The network side of a VM on one node: its tap, its neighbour entries, and the routes that lead to it. The same on
/// hosts and on edges.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

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
};

/// Must be the same on every node of the fleet.
struct SwitchConfig {
  /// On every tap: a guest that moved keeps sending to the MAC it knows, and must be heard.
  MacAddress gateway_mac{{0xee, 0xee, 0xee, 0xee, 0xee, 0x01}};
  IpAddress gateway_v4{std::array<std::uint8_t, 4>{169, 254, 1, 1}};
  IpAddress gateway_v6{std::array<std::uint8_t, 16>{0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}};
  std::uint8_t route_protocol = 117;  ///< marks our routes; 5 to 255, and none of /etc/iproute2/rt_protos
  /// Packets that wait in a tap while its guest is paused in a cutover; the kernel's 500 hold 50 ms of 10,000 a second.
  std::uint32_t tap_queue = 4096;
};

/// Where a VM's address leads from this node.
struct Hop {
  bool local = false;
  std::string tap;  ///< if local
  IpAddress via;    ///< if not: the host that has the VM, of the same family as the VM's address

  static Hop to_tap(std::string tap) { return {true, std::move(tap), {}}; }
  static Hop to_host(const IpAddress& via) { return {false, {}, via}; }
  bool operator==(const Hop&) const = default;
};

/// What point() changed: enough to change it back.
struct Undo {
  IpAddress address;
  std::uint64_t epoch = 0;
  Hop now;                    ///< what was put there
  std::optional<Hop> before;  ///< what was there; nothing if there was no route
  std::uint64_t before_epoch = 0;
};

struct WantedRoute {
  IpAddress address;
  Hop hop;
  std::uint64_t epoch = 0;
};

struct OwnedRoute {
  IpAddress address;
  Hop hop;
  std::uint64_t epoch = 0;  ///< 0: made by an earlier process, and not confirmed by reconcile() yet
};

struct ReconcileReport {
  std::vector<IpAddress> added;    ///< were missing
  std::vector<IpAddress> changed;  ///< led elsewhere
  std::vector<IpAddress> removed;  ///< were ours and unwanted
  std::vector<IpAddress> newer;    ///< left alone: this node knows a newer epoch
  std::vector<std::pair<IpAddress, Error>> failed;
};

/// Epochs are the VM's (DESIGN "one owner"): they grow, start at 1, and an older one is refused. They are remembered
/// for the life of the object; after a restart reconcile() brings them back. Agent strand only; every call is
/// synchronous. Errors are those of Kernel, and those named below.
class Switch {
 public:
  /// @param kernel must outlive this
  Switch(Kernel& kernel, SwitchConfig config) : kernel_(kernel), config_(config) {}

  /// Makes the tap ready for QEMU: common gateway MAC and address, proxy ARP, up, a permanent neighbour entry for each
  /// guest address. No route. Idempotent; repairs what is missing. A tap that the operator made is used, and kept.
  /// @error kInvalid a wrong name or address; kConflict the tap belongs to another VM, or is no tap
  Result<void> attach(const VmNet& vm);

  /// Takes back what attach() did, and our routes to the tap. Idempotent; nothing of another VM is touched, and a VM
  /// that was attached by an earlier process is found by the tap's alias.
  Result<void> detach(const std::string& uuid);

  /// Makes the VM's address lead to `hop`, in one message. The same epoch and hop again changes nothing and
  /// returns the first call's Undo.
  /// @error kConflict an older epoch, one that was undone, another hop for the same epoch, or a route that is not ours
  Result<Undo> point(const IpAddress& address, const Hop& hop, std::uint64_t epoch);

  /// Restores what was before, if what stands is still what that point() put there. Idempotent. The epoch is used up.
  Result<void> undo(const Undo& undo);
  /// The same for a caller who never saw the Undo: the answer was lost, or the request is still on its way, and then
  /// will be refused when it comes.
  Result<void> undo(const IpAddress& address, std::uint64_t epoch);

  /// Brings our routes to what the controller knows. Foreign routes stay untouched, and what this node knows from a
  /// newer epoch. One bad entry does not stop the others.
  /// @param complete `wanted` names every VM of the fleet: our routes that it does not name go, unless they lead to a
  /// VM
  ///        that is attached here. If not, nothing is removed: unknown is not gone.
  Result<ReconcileReport> reconcile(const std::vector<WantedRoute>& wanted, bool complete);

  /// Our routes, as the kernel has them now.
  Result<std::vector<OwnedRoute>> owned() const;

  /// Where our route for this address leads now; nothing if there is none.
  /// @error kConflict it has a route that is not ours
  Result<std::optional<Hop>> where(const IpAddress& address) const;

  /// Bytes and packets of the VM's tap. `rx_packets` grows with the first packet the guest sends here.
  /// @error kNotFound it is not attached
  Result<Counters> counters(const std::string& uuid) const;

 private:
  /// What this process knows about an address.
  struct Known {
    std::uint64_t epoch = 0;   // of the route that stands
    std::uint64_t undone = 0;  // the epochs between, up to this one, were undone
    std::optional<Hop> hop;    // the route that stands; nothing after detach()
    std::optional<Undo> last;  // what the newest point() did, while it stands
  };

  Result<bool> prepare_tap(const VmNet& vm);
  Result<void> configure_tap(const VmNet& vm, bool made);
  Result<void> set_route(const IpAddress& address, const Hop& hop, bool replaces);
  Result<void> reconcile_one(const WantedRoute& wanted, const std::optional<Hop>& stands, ReconcileReport& report);
  bool is_attached(const std::string& tap) const;

  Kernel& kernel_;
  SwitchConfig config_;
  std::map<IpAddress, Known> known_;
  std::map<std::string, VmNet> attached_;  // by uuid
};

}  // namespace umbra::netswitch
