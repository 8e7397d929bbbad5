// The part of Switch that compares the kernel's tables with what they should be.
#include <algorithm>
#include <set>
#include <unordered_map>

#include "netswitch/switch.hpp"

namespace umbra::netswitch {
namespace {

std::string describe(const IpAddress& address, const Hop& hop) {
  return hop.local ? fmt::format("route {} dev {}", address, hop.tap)
                   : fmt::format("route {} via {}", address, hop.via);
}

}  // namespace

/// What the kernel says of all links at once.
struct Switch::Links {
  std::unordered_map<std::string, Link> links;
  std::set<std::pair<std::string, IpAddress>> addresses;
  std::map<std::pair<std::string, IpAddress>, MacAddress> neighbours;
};

Result<void> Switch::adopt() {
  UMBRA_TRY(const auto routes, kernel_.routes(config_.route_protocol));
  for (const Route& route : routes) {
    if (holder(route.destination) == nullptr) hold("", route.destination, Claim{0, 0, Hop::of(route), std::nullopt});
  }
  return {};
}

bool Switch::cares_for(const IpAddress& address) const {
  if (address == config_.gateway_v4 || address == config_.gateway_v6 || known_.contains(address)) return true;
  return std::ranges::any_of(attached_, [&](const auto& entry) {
    return std::ranges::find(entry.second.addresses, address) != entry.second.addresses.end();
  });
}

Result<std::vector<Damage>> Switch::inspect() const {
  std::vector<Damage> damages;
  Links now;
  if (!attached_.empty()) {
    UMBRA_TRY(auto links, kernel_.links());
    for (Link& link : links) now.links.emplace(link.name, std::move(link));
    UMBRA_TRY(const auto addresses, kernel_.addresses());
    for (const LinkAddress& one : addresses) now.addresses.emplace(one.dev, one.address);
    UMBRA_TRY(const auto neighbours, kernel_.neighbours(""));
    for (const Neighbour& one : neighbours) now.neighbours[{one.dev, one.address}] = one.mac;
  }
  std::set<std::string> taken_away;
  for (const auto& [uuid, vm] : attached_) {
    if (!now.links.contains(vm.tap) && !made_.contains(uuid)) {
      taken_away.insert(vm.tap);
      continue;
    }
    if (auto flaws = flaws_of_tap(vm, now); !flaws.empty())
      damages.push_back({Damage::What::kTap, uuid, {}, "tap " + vm.tap, std::move(flaws)});
  }

  UMBRA_TRY(const auto routes, kernel_.routes(config_.route_protocol));
  std::map<IpAddress, Hop> standing;
  for (const Route& route : routes) standing.emplace(route.destination, Hop::of(route));
  for (const auto& [address, claims] : known_) {
    const auto* held = holder(address);
    if (held == nullptr) continue;
    const Hop& hop = *held->second.hop;
    if (hop.local && (taken_away.contains(hop.tap) || !leads_to_attached(hop))) continue;
    const auto stands = standing.find(address);
    if (stands != standing.end() && stands->second == hop) continue;
    damages.push_back({Damage::What::kRoute, held->first, address, describe(address, hop),
                       stands == standing.end() ? "is gone" : "leads elsewhere"});
  }
  return damages;
}

/// In words; empty if it has none.
std::string Switch::flaws_of_tap(const VmNet& vm, const Links& now) const {
  const auto link = now.links.find(vm.tap);
  if (link == now.links.end()) return "is gone";
  std::vector<std::string> flaws;
  if (!link->second.up) flaws.emplace_back("is down");
  if (link->second.mac != config_.gateway_mac) flaws.push_back(fmt::format("has MAC {}", link->second.mac));
  if (!now.addresses.contains({vm.tap, config_.gateway_v4}))
    flaws.push_back(fmt::format("lacks address {}", config_.gateway_v4));
  const bool v6 = std::ranges::any_of(vm.addresses, &IpAddress::is_v6);
  if (v6 && !now.addresses.contains({vm.tap, config_.gateway_v6}))
    flaws.push_back(fmt::format("lacks address {}", config_.gateway_v6));
  for (const IpAddress& address : vm.addresses) {
    const auto neighbour = now.neighbours.find({vm.tap, address});
    if (neighbour == now.neighbours.end() || neighbour->second != vm.guest_mac)
      flaws.push_back(fmt::format("lacks neighbour {}", address));
  }
  return fmt::format("{}", fmt::join(flaws, ", "));
}

Result<void> Switch::repair(const Damage& damage) {
  if (damage.what == Damage::What::kTap) {
    const auto attached = attached_.find(damage.vm);
    if (attached == attached_.end()) return {};
    return attach(VmNet(attached->second));
  }
  const auto* held = holder(damage.address);
  if (held == nullptr) return {};
  const Hop hop = *held->second.hop;
  UMBRA_TRY(const auto stands, where(damage.address));
  if (stands == hop) return {};
  return set_route(damage.address, hop, stands.has_value());
}

}  // namespace umbra::netswitch
