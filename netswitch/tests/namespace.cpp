#include "netswitch/tests/namespace.hpp"

#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netlink/errno.h>
#include <netlink/netlink.h>
#include <netlink/route/link.h>
#include <netlink/route/link/bridge.h>
#include <netlink/route/link/veth.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <fmt/format.h>

#include <cerrno>
#include <fstream>
#include <memory>
#include <stdexcept>
#include <system_error>

#include "netswitch/netlink.hpp"

namespace umbra::netswitch::test {
namespace {

int checked(int result, const char* doing) {
  if (result < 0) throw std::system_error(errno, std::generic_category(), doing);
  return result;
}

void netlink(int code, const std::string& doing) {
  if (code < 0) throw std::runtime_error(doing + ": " + nl_geterror(code));
}

template <class T, void (*Free)(T*)>
struct With {
  void operator()(T* handle) const { Free(handle); }
};
using Socket = std::unique_ptr<nl_sock, With<nl_sock, nl_socket_free>>;
using RouteLink = std::unique_ptr<rtnl_link, With<rtnl_link, rtnl_link_put>>;

Socket route_socket() {
  Socket socket(nl_socket_alloc());
  netlink(nl_connect(socket.get(), NETLINK_ROUTE), "open a route socket");
  return socket;
}

void write(const std::string& path, const std::string& value) {
  std::ofstream file(path);
  if (!(file << value << std::flush)) throw std::runtime_error("cannot write " + path);
}

}  // namespace

Namespace::Namespace() {
  const auto make = [] {
    checked(unshare(CLONE_NEWNET), "make a network namespace (as root?)");
    // Links that come here need not look for duplicates of their addresses: that takes IPv6 two seconds, in which a
    // router solicits no neighbour.
    for (const char* scope : {"all", "default"})
      write(fmt::format("/proc/sys/net/ipv6/conf/{}/accept_dad", scope), "0");
    return File(checked(open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC), "open /proc/thread-self/ns/net"));
  };
  file_ = std::async(std::launch::async, make).get();
}

void Namespace::enter() const {
  checked(setns(fd(), CLONE_NEWNET), "enter a network namespace");
}

void Namespace::add_bridge(const std::string& name) const {
  inside([&] {
    const Socket socket = route_socket();
    netlink(rtnl_link_bridge_add(socket.get(), name.c_str()), "add bridge " + name);
    return 0;
  });
}

void Namespace::add_veth(const std::string& name, const Namespace& other, const std::string& other_name,
                         const std::string& bridge) const {
  inside([&] {
    const Socket socket = route_socket();
    const RouteLink link(rtnl_link_veth_alloc());
    rtnl_link_set_name(link.get(), name.c_str());
    if (!bridge.empty()) rtnl_link_set_master(link.get(), static_cast<int>(if_nametoindex(bridge.c_str())));
    const RouteLink peer(rtnl_link_veth_get_peer(link.get()));
    rtnl_link_set_name(peer.get(), other_name.c_str());
    rtnl_link_set_ns_fd(peer.get(), other.fd());
    netlink(rtnl_link_add(socket.get(), link.get(), NLM_F_CREATE | NLM_F_EXCL), "add veth " + name);
    return 0;
  });
}

void Namespace::forward_packets() const {
  inside([] {
    write("/proc/sys/net/ipv4/ip_forward", "1");
    write("/proc/sys/net/ipv6/conf/all/forwarding", "1");
    return 0;
  });
}

void Namespace::set_discipline(const std::string& name, const std::string& kind) const {
  inside([&] {
    tcmsg header{};
    header.tcm_ifindex = static_cast<int>(if_nametoindex(name.c_str()));
    header.tcm_parent = TC_H_ROOT;
    NetlinkMessage ask(RTM_NEWQDISC, NLM_F_CREATE | NLM_F_REPLACE, header);
    ask.add(TCA_KIND, kind);
    const auto set = NetlinkSocket::open().value().request(ask, "set the queueing discipline of " + name);
    if (!set) throw std::runtime_error(set.error().text());
    return 0;
  });
}

File Namespace::open_tap(const std::string& name) const {
  return inside([&] {
    File tun(checked(open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC), "open /dev/net/tun"));
    ifreq request{};
    name.copy(request.ifr_name, IFNAMSIZ - 1);
    request.ifr_flags = IFF_TAP | IFF_NO_PI;
    checked(ioctl(tun.get(), TUNSETIFF, &request), "attach to a tap");
    return tun;
  });
}

}  // namespace umbra::netswitch::test
