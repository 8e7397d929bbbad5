#include "netswitch/netlink_watch.hpp"

#include <linux/if_addr.h>
#include <linux/neighbour.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <boost/asio/error.hpp>
#include <cerrno>

#include "netswitch/kernel_error.hpp"
#include "netswitch/netlink_attributes.hpp"

namespace umbra::netswitch {
namespace {

constexpr std::array kGroups{RTNLGRP_LINK,        RTNLGRP_NEIGH,      RTNLGRP_IPV4_IFADDR,
                             RTNLGRP_IPV6_IFADDR, RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV6_ROUTE};

/// The address that a message of a route, a neighbour or a link's address is about.
std::optional<IpAddress> subject(const nlmsghdr* header) {
  switch (header->nlmsg_type) {
    case RTM_NEWROUTE:
    case RTM_DELROUTE: {
      if (nlmsg_datalen(header) < static_cast<int>(sizeof(rtmsg))) return std::nullopt;
      const auto* route = static_cast<const rtmsg*>(nlmsg_data(header));
      const auto to = read_address(attributes_of<rtmsg, RTA_MAX + 1>(header)[RTA_DST]);
      const bool ours = to && route->rtm_dst_len == to->bits() && route->rtm_table == RT_TABLE_MAIN &&
                        (route->rtm_flags & RTM_F_CLONED) == 0;
      return ours ? to : std::nullopt;
    }
    case RTM_NEWNEIGH:
    case RTM_DELNEIGH:
      if (nlmsg_datalen(header) < static_cast<int>(sizeof(ndmsg))) return std::nullopt;
      return read_address(attributes_of<ndmsg, NDA_MAX + 1>(header)[NDA_DST]);
    case RTM_DELADDR: {
      if (nlmsg_datalen(header) < static_cast<int>(sizeof(ifaddrmsg))) return std::nullopt;
      const auto attributes = attributes_of<ifaddrmsg, IFA_MAX + 1>(header);
      return read_address(attributes[IFA_LOCAL] != nullptr ? attributes[IFA_LOCAL] : attributes[IFA_ADDRESS]);
    }
    default:
      return std::nullopt;
  }
}

}  // namespace

struct NetlinkWatch::Core : std::enable_shared_from_this<Core> {
  Core(asio::any_io_executor executor, Watcher whom, std::uint32_t port, int socket)
      : watcher(std::move(whom)), own_port(port), descriptor(executor, socket), pause(executor) {}

  void listen() {
    descriptor.async_wait(asio::posix::stream_descriptor::wait_read,
                          [self = shared_from_this()](const boost::system::error_code& error) {
                            if (!error && !self->over) self->receive();
                          });
  }

  void receive() {
    Changes changes;
    for (int taken = 0; taken < kMostAtOnce;) {
      sockaddr_nl from{};
      socklen_t from_size = sizeof from;
      const auto size = recvfrom(descriptor.native_handle(), buffer.data(), buffer.size(), MSG_DONTWAIT | MSG_TRUNC,
                                 reinterpret_cast<sockaddr*>(&from), &from_size);
      if (size < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) break;
      if (size < 0 && errno == EINTR) continue;
      ++taken;
      if (size < 0 || static_cast<std::size_t>(size) > buffer.size()) {  // ENOBUFS, or one too long for us
        changes.lost = true;
        continue;
      }
      if (from.nl_pid != 0) continue;  // not the kernel
      int left = static_cast<int>(size);
      const auto* header = reinterpret_cast<const nlmsghdr*>(buffer.data());
      for (; NLMSG_OK(header, static_cast<unsigned>(left)); header = NLMSG_NEXT(header, left)) changes |= read(header);
    }
    // Waiting comes first: the watcher may end us.
    pause.expires_after(kPause);
    pause.async_wait([self = shared_from_this()](const boost::system::error_code& error) {
      if (!error && !self->over) self->listen();
    });
    if (changes.any()) watcher.changed(changes);
  }

  Changes read(const nlmsghdr* header) const {
    Changes changes;
    if (header->nlmsg_type == RTM_NEWLINK || header->nlmsg_type == RTM_DELLINK) {
      changes.links = true;
      return changes;
    }
    if (header->nlmsg_pid == own_port) return changes;
    const auto address = subject(header);
    if (!address || !watcher.interest(*address)) return changes;
    changes.routes = header->nlmsg_type == RTM_NEWROUTE || header->nlmsg_type == RTM_DELROUTE;
    changes.neighbours = header->nlmsg_type == RTM_NEWNEIGH || header->nlmsg_type == RTM_DELNEIGH;
    changes.addresses = header->nlmsg_type == RTM_DELADDR;
    return changes;
  }

  Watcher watcher;
  std::uint32_t own_port;
  asio::posix::stream_descriptor descriptor;
  asio::steady_timer pause;
  bool over = false;
  alignas(nlmsghdr) std::array<char, 32 * 1024> buffer{};
};

Result<std::unique_ptr<KernelWatch>> NetlinkWatch::open(asio::any_io_executor executor, Watcher watcher,
                                                        std::uint32_t own_port, int receive_buffer) {
  const int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
  if (fd < 0) return fail(kernel_error(errno, "open a socket for the kernel's notifications"));
  const auto core = std::make_shared<Core>(std::move(executor), std::move(watcher), own_port, fd);
  sockaddr_nl self{};
  self.nl_family = AF_NETLINK;
  if (bind(fd, reinterpret_cast<const sockaddr*>(&self), sizeof self) != 0)
    return fail(kernel_error(errno, "bind the socket for the kernel's notifications"));
  // Beyond net.core.rmem_max needs CAP_NET_ADMIN; a smaller buffer is lost sooner, not wrong.
  if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &receive_buffer, sizeof receive_buffer) != 0)
    static_cast<void>(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer));
  for (const int group : kGroups) {
    if (setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof group) != 0)
      return fail(kernel_error(errno, fmt::format("join the kernel's notifications, group {}", group)));
  }
  core->listen();
  return std::unique_ptr<KernelWatch>(new NetlinkWatch(core));
}

NetlinkWatch::~NetlinkWatch() {
  core_->over = true;
  boost::system::error_code ignored;
  core_->descriptor.cancel(ignored);
  core_->pause.cancel();
}

}  // namespace umbra::netswitch
