// Routes and neighbours of NetlinkKernel.
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <unordered_map>

#include "netswitch/kernel_error.hpp"
#include "netswitch/netlink_attributes.hpp"
#include "netswitch/netlink_kernel.hpp"

namespace umbra::netswitch {
namespace {

struct RouteAnswer {
  Route route;
  int dev_index = 0;
};

/// Nothing if it is not a route to a single address.
std::optional<RouteAnswer> read_route(const nlmsghdr* header) {
  const auto* message = static_cast<const rtmsg*>(nlmsg_data(header));
  const auto attributes = attributes_of<rtmsg, RTA_MAX + 1>(header);
  const auto destination = read_address(attributes[RTA_DST]);
  if (!destination || message->rtm_dst_len != destination->bits()) return std::nullopt;
  RouteAnswer answer;
  answer.route.destination = *destination;
  answer.route.via = read_address(attributes[RTA_GATEWAY]);
  answer.route.protocol = message->rtm_protocol;
  if (auto* dev = attributes[RTA_OIF]) answer.dev_index = static_cast<int>(nla_get_u32(dev));
  return answer;
}

rtmsg main_table(const IpAddress& destination, int protocol) {
  rtmsg header{};
  header.rtm_family = destination.family();
  header.rtm_dst_len = destination.bits();
  header.rtm_table = RT_TABLE_MAIN;
  header.rtm_protocol = static_cast<unsigned char>(protocol);
  header.rtm_type = RTN_UNICAST;
  return header;
}

std::string describe(const Route& route) {
  std::string text = fmt::format("route {}", route.destination);
  if (route.via) text += fmt::format(" via {}", *route.via);
  if (!route.dev.empty()) text += fmt::format(" dev {}", route.dev);
  return text;
}

}  // namespace

Result<std::vector<Route>> NetlinkKernel::routes(int protocol) {
  std::vector<RouteAnswer> answers;
  for (const int family : {AF_INET, AF_INET6}) {
    const std::size_t before = answers.size();
    rtmsg header{};
    header.rtm_family = static_cast<unsigned char>(family);
    header.rtm_table = RT_TABLE_MAIN;
    header.rtm_protocol = static_cast<unsigned char>(protocol);
    const NetlinkMessage ask(RTM_GETROUTE, NLM_F_DUMP, header);
    auto asked = socket_.request(
        ask, "list routes",
        [&](const nlmsghdr* header_of_answer) {
          auto answer = read_route(header_of_answer);
          if (answer && answer->route.protocol == protocol) answers.push_back(std::move(*answer));
        },
        [&] { answers.resize(before); });
    // A kernel booted with ipv6.disable=1 has no such routes.
    if (!asked && !(family == AF_INET6 && asked.error().code == Errc::kUnsupported))
      return fail(std::move(asked.error()));
  }
  std::unordered_map<int, std::string> names;
  std::vector<Route> routes;
  routes.reserve(answers.size());
  for (RouteAnswer& answer : answers) {
    UMBRA_TRY(answer.route.dev, name_of(answer.dev_index, names));
    routes.push_back(std::move(answer.route));
  }
  return routes;
}

Result<std::optional<Route>> NetlinkKernel::route_to(const IpAddress& destination) {
  rtmsg header{};
  header.rtm_family = destination.family();
  header.rtm_dst_len = destination.bits();
  header.rtm_flags = RTM_F_FIB_MATCH;  // the table's entry that would be used, not the path derived from it
  NetlinkMessage ask(RTM_GETROUTE, 0, header);
  ask.add(RTA_DST, destination.bytes());
  std::optional<RouteAnswer> answer;
  auto asked = socket_.request(ask, fmt::format("look up route {}", destination),
                               [&](const nlmsghdr* found) { answer = read_route(found); });
  // No route at all, or one that refuses: ENETUNREACH; EHOSTUNREACH, EINVAL, EACCES for unreachable, blackhole,
  // prohibit.
  const bool answered = asked || asked.error().code == Errc::kUnavailable || asked.error().code == Errc::kInvalid ||
                        asked.error().code == Errc::kUnsupported;
  if (!answered) return fail(std::move(asked.error()));
  if (!answer) return std::nullopt;
  UMBRA_TRY(answer->route.dev, name_of(answer->dev_index));
  return std::move(answer->route);
}

Result<void> NetlinkKernel::add_route(const Route& route) {
  return set_route(route, NLM_F_CREATE | NLM_F_EXCL);
}

Result<void> NetlinkKernel::replace_route(const Route& route) {
  return set_route(route, NLM_F_CREATE | NLM_F_REPLACE);
}

Result<void> NetlinkKernel::set_route(const Route& route, int flags) {
  rtmsg header = main_table(route.destination, route.protocol);
  header.rtm_scope = route.via ? RT_SCOPE_UNIVERSE : RT_SCOPE_LINK;
  NetlinkMessage ask(RTM_NEWROUTE, flags, header);
  ask.add(RTA_DST, route.destination.bytes());
  if (route.via) ask.add(RTA_GATEWAY, route.via->bytes());
  if (!route.dev.empty()) {
    UMBRA_TRY(const int index, index_of(route.dev));
    ask.add(RTA_OIF, static_cast<std::uint32_t>(index));
  }
  return socket_.request(ask, "set " + describe(route));
}

Result<void> NetlinkKernel::delete_route(const IpAddress& destination, int protocol) {
  rtmsg header = main_table(destination, protocol);
  header.rtm_scope = RT_SCOPE_NOWHERE;  // of whatever scope
  NetlinkMessage ask(RTM_DELROUTE, 0, header);
  ask.add(RTA_DST, destination.bytes());
  return socket_.request(ask, fmt::format("delete route {} protocol {}", destination, protocol));
}

Result<std::vector<Neighbour>> NetlinkKernel::neighbours(const std::string& dev) {
  int wanted = 0;
  if (!dev.empty()) {
    UMBRA_TRY(wanted, index_of(dev));
  }
  std::vector<std::pair<int, Neighbour>> found;
  NetlinkMessage ask(RTM_GETNEIGH, NLM_F_DUMP, ndmsg{});
  if (wanted != 0) ask.add(NDA_IFINDEX, static_cast<std::uint32_t>(wanted));
  UMBRA_CHECK(socket_.request(
      ask, dev.empty() ? "list neighbours" : fmt::format("list neighbours of {}", dev),
      [&](const nlmsghdr* answer) {
        const auto* message = static_cast<const ndmsg*>(nlmsg_data(answer));
        const auto attributes = attributes_of<ndmsg, NDA_MAX + 1>(answer);
        const auto address = read_address(attributes[NDA_DST]);
        auto* mac = attributes[NDA_LLADDR];
        if ((message->ndm_state & NUD_PERMANENT) == 0 || !address || mac == nullptr) return;
        if (wanted != 0 && message->ndm_ifindex != wanted) return;
        std::array<std::uint8_t, 6> bytes{};
        if (nla_len(mac) != static_cast<int>(bytes.size())) return;
        std::memcpy(bytes.data(), nla_data(mac), bytes.size());
        found.push_back({message->ndm_ifindex, {dev, *address, MacAddress(bytes)}});
      },
      [&] { found.clear(); }));
  std::unordered_map<int, std::string> names{{wanted, dev}};
  std::vector<Neighbour> neighbours;
  neighbours.reserve(found.size());
  for (auto& [index, neighbour] : found) {
    UMBRA_TRY(neighbour.dev, name_of(index, names));
    neighbours.push_back(std::move(neighbour));
  }
  return neighbours;
}

Result<void> NetlinkKernel::replace_neighbour(const Neighbour& neighbour) {
  UMBRA_TRY(const int index, index_of(neighbour.dev));
  ndmsg header{};
  header.ndm_family = neighbour.address.family();
  header.ndm_ifindex = index;
  header.ndm_state = NUD_PERMANENT;
  NetlinkMessage ask(RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, header);
  ask.add(NDA_DST, neighbour.address.bytes()).add(NDA_LLADDR, neighbour.mac.bytes());
  return socket_.request(ask, fmt::format("set neighbour {} on {}", neighbour.address, neighbour.dev));
}

Result<void> NetlinkKernel::delete_neighbour(const std::string& dev, const IpAddress& address) {
  UMBRA_TRY(const int index, index_of(dev));
  ndmsg header{};
  header.ndm_family = address.family();
  header.ndm_ifindex = index;
  NetlinkMessage ask(RTM_DELNEIGH, 0, header);
  ask.add(NDA_DST, address.bytes());
  return socket_.request(ask, fmt::format("delete neighbour {} of {}", address, dev));
}

}  // namespace umbra::netswitch
