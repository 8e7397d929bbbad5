#include "controller/inventory/routes.hpp"

#include <algorithm>

#include "umbra/v1/agent.rpc.hpp"

namespace umbra::controller {
namespace {

using namespace std::chrono_literals;

constexpr Deadline kPush = 5s;
constexpr auto kRetry = 2s;

}  // namespace

v1::ReconcileRequest wanted_routes(const Inventory& inventory, const AddressBook* addresses) {
  v1::ReconcileRequest request;
  for (const auto& [uuid, record] : inventory.vms()) {
    const auto* host = inventory.node(record.host);
    if (host == nullptr || !record.active()) continue;
    for (const auto& address : record.vm.addresses()) {
      if (addresses != nullptr && !addresses->leads(uuid, address)) continue;
      auto* route = request.add_routes();
      route->set_vm_uuid(uuid);
      route->set_address(address);
      route->set_epoch(record.owner_epoch);
      route->set_host(record.host);
      route->set_underlay_address(host->node.underlay_address());
    }
  }
  request.set_complete(inventory.settled() && std::ranges::all_of(inventory.nodes(), [](const auto& entry) {
                         const auto& node = entry.second;
                         return !node.is_host() || node.fence || (node.up && node.vms_known);
                       }));
  return request;
}

asio::awaitable<void> RoutePusher::run() {
  while (true) {
    addresses_.refresh();
    for (const auto& [name, node] : inventory_.nodes()) {
      auto session = inventory_.session(name);
      if (!session) continue;
      auto& told = told_[name];
      const bool current = told.session.lock() == *session && told.generation == inventory_.generation();
      if (current || told.busy || clock_.steady() < told.not_before) continue;
      told.busy = true;
      tasks_.spawn(push(name, std::move(*session)));
    }
    co_await inventory_.changed().wait_until(clock_.steady() + inventory_.heartbeat().interval);
  }
}

asio::awaitable<void> RoutePusher::push(std::string node, std::shared_ptr<rpc::Session> session) {
  addresses_.refresh();
  const auto generation = inventory_.generation();
  auto routes = wanted_routes(inventory_, &addresses_);
  v1::NetSwitchClient client(session);
  const auto reply = co_await client.reconcile(std::move(routes), kPush);
  auto& told = told_[node];
  told.busy = false;
  told.session = session;
  if (reply) {
    told.generation = generation;
    told.failure.clear();
    hear_of_newer(node, *reply);
    co_return;
  }
  told.generation = 0;
  told.not_before = clock_.steady() + kRetry;
  if (!session->is_open() || told.failure == reply.error().message) co_return;
  told.failure = reply.error().message;
  events_.add(v1::EVENT_KIND_ROUTE, v1::SEVERITY_WARNING,
              fmt::format("did not take its VM routes, and is asked again: {}", reply.error()), {node});
}

/// What a node leaves alone is told, and outdone. Of a VM that is on its way a newer epoch is no news.
void RoutePusher::hear_of_newer(const std::string& node, const v1::ReconcileReply& reply) {
  google::protobuf::RepeatedPtrField<v1::KnownEpoch> news;
  for (const auto& known : reply.newer()) {
    const auto* record = inventory_.vm(known.vm_uuid());
    if (record == nullptr || !record->moving()) *news.Add() = known;
  }
  if (!news.empty()) inventory_.heard_epochs(node, news);
}

}  // namespace umbra::controller
