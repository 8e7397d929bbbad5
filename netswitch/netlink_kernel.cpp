#include "netswitch/netlink_kernel.hpp"

#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sys/utsname.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "netswitch/device_files.hpp"
#include "netswitch/kernel_error.hpp"
#include "netswitch/netlink_attributes.hpp"
#include "netswitch/netlink_watch.hpp"

namespace umbra::netswitch {
namespace {

bool is_linux(int major, int minor) {
  utsname running{};
  int its_major = 0, its_minor = 0;
  if (uname(&running) != 0 || std::sscanf(running.release, "%d.%d", &its_major, &its_minor) != 2) return false;
  return std::pair(its_major, its_minor) >= std::pair(major, minor);
}

Link read_link(const nlmsghdr* header) {
  const auto* info = static_cast<const ifinfomsg*>(nlmsg_data(header));
  Link link;
  link.index = info->ifi_index;
  link.up = (info->ifi_flags & IFF_UP) != 0;
  std::array<nlattr*, IFLA_MAX + 1> attributes{};
  nlmsg_parse(const_cast<nlmsghdr*>(header), sizeof *info, attributes.data(), IFLA_MAX, nullptr);
  if (auto* name = attributes[IFLA_IFNAME]) link.name = nla_get_string(name);
  if (auto* alias = attributes[IFLA_IFALIAS]) link.alias = nla_get_string(alias);
  if (auto* length = attributes[IFLA_TXQLEN]) link.queue_length = nla_get_u32(length);
  if (auto* discipline = attributes[IFLA_QDISC]) {
    static const bool quick = is_linux(6, 14);
    link.resizable = quick && std::string_view(nla_get_string(discipline)) == "noqueue";
  }
  if (auto* mac = attributes[IFLA_ADDRESS]; mac != nullptr && nla_len(mac) == 6) {
    std::array<std::uint8_t, 6> bytes{};
    std::memcpy(bytes.data(), nla_data(mac), bytes.size());
    link.mac = MacAddress(bytes);
  }
  if (auto* details = attributes[IFLA_LINKINFO]) {
    if (auto* kind = nla_find(static_cast<nlattr*>(nla_data(details)), nla_len(details), IFLA_INFO_KIND)) {
      link.kind = nla_get_string(kind);
    }
  }
  if (auto* stats = attributes[IFLA_STATS64]) {
    rtnl_link_stats64 counters{};  // copied: the attribute is aligned to four bytes only
    std::memcpy(&counters, nla_data(stats), std::min(sizeof counters, static_cast<std::size_t>(nla_len(stats))));
    link.counters = {counters.rx_bytes, counters.rx_packets, counters.tx_bytes, counters.tx_packets};
  }
  return link;
}

ifinfomsg any_link() {
  ifinfomsg header{};
  header.ifi_family = AF_UNSPEC;
  return header;
}

}  // namespace

Result<std::unique_ptr<NetlinkKernel>> NetlinkKernel::open() {
  UMBRA_TRY(auto socket, NetlinkSocket::open());
  return std::unique_ptr<NetlinkKernel>(new NetlinkKernel(std::move(socket)));
}

Result<std::vector<Link>> NetlinkKernel::links() {
  std::vector<Link> links;
  const NetlinkMessage ask(RTM_GETLINK, NLM_F_DUMP, any_link());
  UMBRA_CHECK(socket_.request(
      ask, "list links", [&](const nlmsghdr* answer) { links.push_back(read_link(answer)); }, [&] { links.clear(); }));
  return links;
}

Result<Link> NetlinkKernel::link(const std::string& name) {
  Link link;
  NetlinkMessage ask(RTM_GETLINK, 0, any_link());
  ask.add(IFLA_IFNAME, name);
  UMBRA_CHECK(socket_.request(ask, fmt::format("find link {}", name),
                              [&](const nlmsghdr* answer) { link = read_link(answer); }));
  return link;
}

Result<int> NetlinkKernel::index_of(const std::string& dev) {
  UMBRA_TRY(auto found, link(dev));
  return found.index;
}

Result<std::string> NetlinkKernel::name_of(int index) {
  std::string name;
  ifinfomsg header = any_link();
  header.ifi_index = index;
  auto asked = socket_.request(NetlinkMessage(RTM_GETLINK, 0, header), fmt::format("find link number {}", index),
                               [&](const nlmsghdr* answer) { name = read_link(answer).name; });
  if (!asked && asked.error().code != Errc::kNotFound) return fail(std::move(asked.error()));
  return name;
}

Result<std::string> NetlinkKernel::name_of(int index, std::unordered_map<int, std::string>& known) {
  auto found = known.find(index);
  if (found == known.end()) {
    UMBRA_TRY(auto name, name_of(index));
    found = known.emplace(index, std::move(name)).first;
  }
  return found->second;
}

Result<void> NetlinkKernel::create_tap(const std::string& name, const TapOptions& options) {
  return create_persistent_tap(name, options);
}

Result<void> NetlinkKernel::delete_link(const std::string& name) {
  NetlinkMessage ask(RTM_DELLINK, 0, any_link());
  ask.add(IFLA_IFNAME, name);
  return socket_.request(ask, fmt::format("delete link {}", name));
}

Result<void> NetlinkKernel::change_link(const std::string& name, const LinkChange& change) {
  ifinfomsg header = any_link();
  if (change.up) {
    header.ifi_change = IFF_UP;
    header.ifi_flags = *change.up ? IFF_UP : 0;
  }
  NetlinkMessage ask(RTM_NEWLINK, 0, header);
  ask.add(IFLA_IFNAME, name);
  if (change.mac) ask.add(IFLA_ADDRESS, change.mac->bytes());
  if (change.alias) ask.add(IFLA_IFALIAS, *change.alias);
  if (change.queue_length) ask.add(IFLA_TXQLEN, *change.queue_length);
  return socket_.request(ask, fmt::format("change link {}", name));
}

Result<void> NetlinkKernel::add_address(const std::string& dev, const IpAddress& address, std::uint8_t prefix) {
  UMBRA_TRY(const int index, index_of(dev));
  ifaddrmsg header{};
  header.ifa_family = address.family();
  header.ifa_prefixlen = prefix;
  header.ifa_index = static_cast<unsigned>(index);
  // A gateway address stands on many taps of the fleet at once by design; nobody on the far side could answer.
  if (address.is_v6()) header.ifa_flags = IFA_F_NODAD;
  NetlinkMessage ask(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, header);
  ask.add(IFA_LOCAL, address.bytes()).add(IFA_ADDRESS, address.bytes());
  return socket_.request(ask, fmt::format("add address {}/{} to {}", address, prefix, dev));
}

Result<std::vector<LinkAddress>> NetlinkKernel::addresses() {
  std::vector<std::pair<int, LinkAddress>> found;
  const NetlinkMessage ask(RTM_GETADDR, NLM_F_DUMP, ifaddrmsg{});
  UMBRA_CHECK(socket_.request(
      ask, "list addresses",
      [&](const nlmsghdr* answer) {
        const auto* message = static_cast<const ifaddrmsg*>(nlmsg_data(answer));
        const auto attributes = attributes_of<ifaddrmsg, IFA_MAX + 1>(answer);
        const auto address =
            read_address(attributes[IFA_LOCAL] != nullptr ? attributes[IFA_LOCAL] : attributes[IFA_ADDRESS]);
        if (address) found.push_back({static_cast<int>(message->ifa_index), {"", *address, message->ifa_prefixlen}});
      },
      [&] { found.clear(); }));
  std::unordered_map<int, std::string> names;
  std::vector<LinkAddress> addresses;
  addresses.reserve(found.size());
  for (auto& [index, address] : found) {
    UMBRA_TRY(address.dev, name_of(index, names));
    addresses.push_back(std::move(address));
  }
  return addresses;
}

Result<std::unique_ptr<KernelWatch>> NetlinkKernel::watch(asio::any_io_executor executor, Watcher watcher) {
  return NetlinkWatch::open(std::move(executor), std::move(watcher), socket_.port());
}

Result<void> NetlinkKernel::write_sysctl(const std::string& dev, Sysctl key, int value) {
  return write_interface_sysctl(dev, key, value);
}

}  // namespace umbra::netswitch
