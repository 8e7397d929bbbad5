#include "agentd/network.hpp"

#include <set>

namespace umbra::agent {
namespace {

Result<std::vector<netswitch::IpAddress>> parse_all(const google::protobuf::RepeatedPtrField<std::string>& texts) {
  std::vector<netswitch::IpAddress> addresses;
  for (const auto& text : texts) {
    UMBRA_TRY(auto address, netswitch::IpAddress::parse(text));
    addresses.push_back(address);
  }
  return addresses;
}

}  // namespace

std::string Network::objection(const v1::Vm& vm) const {
  const auto addresses = parse_all(vm.addresses());
  if (!addresses) return addresses.error().message;
  for (const auto& address : *addresses)
    if (auto why = switch_.config().addresses.objection(address); !why.empty()) return why;
  return {};
}

Result<void> Network::attach(const v1::Vm& vm, bool awaited) {
  if (vm.tap().empty()) return {};  // not routed by us
  netswitch::VmNet net;
  net.uuid = vm.uuid();
  net.name = vm.name();
  net.tap = vm.tap();
  net.awaited = awaited;
  UMBRA_TRY(net.guest_mac, netswitch::MacAddress::parse(vm.mac()));
  UMBRA_TRY(net.addresses, parse_all(vm.addresses()));
  UMBRA_CHECK(switch_.attach(net));
  taps_[vm.uuid()] = vm.tap();
  return {};
}

Result<void> Network::detach(const std::string& vm_uuid) {
  UMBRA_CHECK(switch_.detach(vm_uuid));
  taps_.erase(vm_uuid);
  return {};
}

Result<netswitch::Hop> Network::hop(const std::string& vm_uuid, const std::string& host,
                                    const std::string& underlay) const {
  if (host == node_) {
    const auto tap = taps_.find(vm_uuid);
    if (tap == taps_.end()) return fail(Errc::kNotFound, "{} has no tap for VM {}", node_, vm_uuid);
    return netswitch::Hop::to_tap(tap->second);
  }
  UMBRA_TRY(const auto via, netswitch::IpAddress::parse(underlay));
  return netswitch::Hop::to_host(via);
}

Result<void> Network::point(const v1::PointRequest& request) {
  UMBRA_TRY(const auto addresses, parse_all(request.addresses()));
  if (addresses.empty()) return {};
  UMBRA_TRY(const auto to, hop(request.vm_uuid(), request.host(), request.underlay_address()));
  for (const auto& address : addresses) UMBRA_CHECK(switch_.point(request.vm_uuid(), address, to, request.epoch()));
  return {};
}

Result<void> Network::unpoint(const v1::UnpointRequest& request) {
  UMBRA_TRY(const auto addresses, parse_all(request.addresses()));
  Result<void> outcome;
  for (const auto& address : addresses)  // one that fails does not keep the others
    if (auto undone = switch_.undo(request.vm_uuid(), address, request.epoch()); !undone) outcome = std::move(undone);
  return outcome;
}

Result<void> Network::serve(const v1::Vm& vm, std::uint64_t epoch) {
  UMBRA_TRY(const auto addresses, parse_all(vm.addresses()));
  Result<void> outcome;
  for (const auto& address : addresses)  // one that fails does not keep the others
    if (auto served = switch_.serve(vm.uuid(), address, epoch); !served) outcome = std::move(served);
  return outcome;
}

void Network::fill(v1::RegisterRequest& request) const {
  for (const auto& known : switch_.epochs()) {
    auto* one = request.add_known_epochs();
    one->set_vm_uuid(known.vm);
    one->set_address(known.address.to_string());
    one->set_epoch(known.epoch);
  }
}

Result<v1::ReconcileReply> Network::reconcile(const v1::ReconcileRequest& request) {
  std::vector<netswitch::WantedRoute> routes;
  std::vector<Error> failed;
  std::set<std::string> nodes;
  for (const auto& route : request.routes()) nodes.insert(route.underlay_address());
  const auto read = [&](const v1::WantedRoute& route) -> Result<netswitch::WantedRoute> {
    UMBRA_TRY(const auto to, hop(route.vm_uuid(), route.host(), route.underlay_address()));
    UMBRA_TRY(const auto address, netswitch::IpAddress::parse(route.address()));
    if (nodes.contains(address.to_string()))
      return fail({Errc::kInvalid, fmt::format("{} is a node's own address, and no VM's", address),
                   fmt::format("give VM {} another address", route.vm_uuid())});
    return netswitch::WantedRoute{route.vm_uuid(), address, to, route.epoch()};
  };
  for (const auto& route : request.routes()) {
    auto one = read(route);
    if (one)
      routes.push_back(std::move(*one));
    else if (one.error().code != Errc::kNotFound)  // this host's, without a tap yet: attach() comes first
      failed.push_back(std::move(one.error()));
  }
  // A route left out above would count as unwanted.
  const bool complete = request.complete() && routes.size() == static_cast<std::size_t>(request.routes_size());
  UMBRA_TRY(auto report, switch_.reconcile(routes, complete));
  for (auto& [address, error] : report.failed) failed.push_back(std::move(error));
  if (!failed.empty())
    return fail(
        with_context(failed.front(), fmt::format("{} of {} routes failed", failed.size(), request.routes_size())));
  v1::ReconcileReply reply;
  reply.set_added(static_cast<std::uint32_t>(report.added.size()));
  reply.set_changed(static_cast<std::uint32_t>(report.changed.size()));
  reply.set_removed(static_cast<std::uint32_t>(report.removed.size()));
  for (const auto& known : report.newer) {
    auto* newer = reply.add_newer();
    newer->set_vm_uuid(known.vm);
    newer->set_address(known.address.to_string());
    newer->set_epoch(known.epoch);
  }
  return reply;
}

}  // namespace umbra::agent
