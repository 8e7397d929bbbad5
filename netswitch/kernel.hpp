/// The edge to the Linux kernel: the few operations on links, routes and neighbours that Umbra needs.
#pragma once

#include <sys/types.h>

#include <boost/asio/any_io_executor.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "netswitch/address.hpp"

namespace umbra::netswitch {

namespace asio = boost::asio;

/// What passed through a link since it was made, seen from the host: a tap *receives* what its guest sends.
struct Counters {
  std::uint64_t rx_bytes = 0;
  std::uint64_t rx_packets = 0;
  std::uint64_t tx_bytes = 0;  ///< of a tap: what QEMU has taken out; packets that wait for it are not counted yet
  std::uint64_t tx_packets = 0;
};

struct Link {
  int index = 0;
  std::string name;
  std::string kind;   ///< IFLA_INFO_KIND: "tun" for taps, "veth", "bridge" …; empty for hardware and loopback
  std::string alias;  ///< free text that `ip link` shows; Umbra writes there whose tap it is
  MacAddress mac;
  bool up = false;                 ///< administratively
  std::uint32_t queue_length = 0;  ///< packets; of a tap also how many wait while QEMU does not read
  /// A change of queue_length loses none of the packets that come meanwhile. Linux takes the link's queueing discipline
  /// out for that long (dev_qdisc_change_tx_queue_len()); without one, as libvirt sets it for taps, and since 6.14 that
  /// is less than a microsecond, else a grace period of RCU: up to tens of milliseconds.
  bool resizable = false;
  Counters counters;
};

struct TapOptions {
  std::optional<uid_t> owner;  ///< who may open it besides root
  bool multi_queue = false;    ///< needed for, and only for, a guest NIC with several queues
};

/// Absent members stay as they are.
struct LinkChange {
  std::optional<MacAddress> mac{};
  std::optional<std::string> alias{};
  std::optional<std::uint32_t> queue_length{};
  std::optional<bool> up{};
};

/// A route of the main table to one address (/32 or /128).
struct Route {
  IpAddress destination;
  std::string dev;               ///< may be empty if there is a gateway: the kernel then finds the link itself
  std::optional<IpAddress> via;  ///< absent: the destination is on `dev` itself
  int protocol = 0;              ///< who made it (rtnetlink(7), rtm_protocol)
  bool operator==(const Route&) const = default;
};

/// A permanent neighbour entry.
struct Neighbour {
  std::string dev;
  IpAddress address;
  MacAddress mac;
  bool operator==(const Neighbour&) const = default;
};

/// An address of a link.
struct LinkAddress {
  std::string dev;
  IpAddress address;
  std::uint8_t prefix = 0;
  bool operator==(const LinkAddress&) const = default;
};

/// In which tables something changed. What it was is for their reader to find out.
struct Changes {
  bool links = false;       ///< one came or went, or has another state or MAC; its routes may be gone without a word
  bool routes = false;      ///< to an address of interest, in the main table
  bool neighbours = false;  ///< of an address of interest
  bool addresses = false;   ///< an address of interest went from a link
  bool lost = false;        ///< there were more changes than the kernel keeps for us: anything may be different

  bool any() const { return links || routes || neighbours || addresses || lost; }
  Changes& operator|=(const Changes& more) {
    links |= more.links;
    routes |= more.routes;
    neighbours |= more.neighbours;
    addresses |= more.addresses;
    lost |= more.lost;
    return *this;
  }
};

struct Watcher {
  /// Which addresses are of interest. An edge may learn thousands of routes a second that are not.
  std::function<bool(const IpAddress&)> interest;
  std::function<void(const Changes&)> changed;
};

/// Tells of changes until it is destroyed.
class KernelWatch {
 public:
  virtual ~KernelWatch() = default;
};

/// Per-interface settings that exist in /proc/sys alone (Documentation/networking/ip-sysctl.rst).
enum class Sysctl : std::uint8_t {
  kProxyArp,       ///< net.ipv4.conf.DEV.proxy_arp
  kProxyArpDelay,  ///< net.ipv4.neigh.DEV.proxy_delay, hundredths of a second
  kRpFilter,  ///< net.ipv4.conf.DEV.rp_filter: 0 off, 1 strict, 2 loose; the kernel takes the larger of this and "all"
  kAcceptRa,  ///< net.ipv6.conf.DEV.accept_ra
};

/// One network namespace. Every call is synchronous and takes some tens of microseconds; agent strand only.
/// @error of every call: kUnsupported the process lacks CAP_NET_ADMIN; the kernel's own words are in the message
class Kernel {
 public:
  virtual ~Kernel() = default;

  virtual Result<std::vector<Link>> links() = 0;
  /// @error kNotFound
  virtual Result<Link> link(const std::string& name) = 0;
  /// Makes a persistent tap (TUNSETPERSIST): it waits for QEMU, and outlives it.
  /// @error kConflict a link of that name exists; kUnsupported no /dev/net/tun
  virtual Result<void> create_tap(const std::string& name, const TapOptions& options) = 0;
  /// Its addresses, routes and neighbours go with it, also when a process holds it open.
  /// @error kNotFound
  virtual Result<void> delete_link(const std::string& name) = 0;
  /// One message. Taking a link down removes its routes and neighbours. @error kNotFound
  virtual Result<void> change_link(const std::string& name, const LinkChange& change) = 0;
  /// IPv6 addresses are usable at once (no duplicate address detection).
  /// @error kNotFound no such link; kConflict it has the address already
  virtual Result<void> add_address(const std::string& dev, const IpAddress& address, std::uint8_t prefix) = 0;
  /// Of all links.
  virtual Result<std::vector<LinkAddress>> addresses() = 0;
  /// @error kNotFound no such link, or a kernel without the setting
  virtual Result<void> write_sysctl(const std::string& dev, Sysctl key, int value) = 0;

  /// Host routes of the main table that were made under this protocol number.
  virtual Result<std::vector<Route>> routes(int protocol) = 0;
  /// The route to exactly this address that packets take, whoever made it; nothing if only a wider one covers it, and
  /// nothing if they are refused (blackhole, unreachable), whether by a route to this address or a wider one.
  virtual Result<std::optional<Route>> route_to(const IpAddress& destination) = 0;
  /// Makes a route where there is none. One message.
  /// @error kConflict there is a route to this destination; kNotFound no such link; kUnavailable the link is down, or
  /// the
  ///        gateway is on no attached network
  virtual Result<void> add_route(const Route& route) = 0;
  /// Puts the route in the place of the one to the same destination, or makes it, in ONE message: at no instant is
  /// there no route. It replaces foreign routes too; ask route_to() first.
  /// @error kNotFound, kUnavailable as add_route()
  virtual Result<void> replace_route(const Route& route) = 0;
  /// Deletes the route of this destination and protocol. @error kNotFound
  virtual Result<void> delete_route(const IpAddress& destination, int protocol) = 0;

  /// The link's permanent entries; of all links if `dev` is empty. @error kNotFound no such link
  virtual Result<std::vector<Neighbour>> neighbours(const std::string& dev) = 0;
  /// @error kNotFound no such link
  virtual Result<void> replace_neighbour(const Neighbour& neighbour) = 0;
  /// @error kNotFound
  virtual Result<void> delete_neighbour(const std::string& dev, const IpAddress& address) = 0;

  /// Tells of changes from now on, soon after they were made by whomever; those made through this object may be left
  /// out. `watcher` is called on `executor`, and not after the watch's end.
  /// @error kUnsupported the kernel has no such socket for us
  virtual Result<std::unique_ptr<KernelWatch>> watch(asio::any_io_executor executor, Watcher watcher) = 0;
};

}  // namespace umbra::netswitch
