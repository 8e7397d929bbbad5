#include "controller/api/fleet_service.hpp"
#include "controller/api/views.hpp"

namespace umbra::controller {
namespace {

constexpr std::uint32_t kEventsByDefault = 100;
constexpr std::uint32_t kEventsAtMost = 100'000;
constexpr std::uint32_t kDecisionsByDefault = 10;
constexpr std::uint32_t kDecisionsAtMost = 1000;

std::uint32_t bounded(std::uint32_t asked, std::uint32_t by_default, std::uint32_t most) {
  return asked == 0 ? by_default : std::min(asked, most);
}

}  // namespace

void FleetService::audit(const rpc::Caller& caller, std::string text, EventLog::About about) {
  core_.audit.done(caller, std::move(text), std::move(about));
}

Task<v1::ListHostsReply> FleetService::list_hosts(rpc::Caller, v1::ListHostsRequest) {
  v1::ListHostsReply reply;
  for (const auto& [name, node] : core_.inventory.nodes()) *reply.add_hosts() = view_host(core_.inventory, node);
  co_return reply;
}

Task<v1::ListVmsReply> FleetService::list_vms(rpc::Caller, v1::ListVmsRequest request) {
  v1::ListVmsReply reply;
  if (!request.vm().empty()) {
    UMBRA_CO_TRY(const auto* record, find_vm(core_.inventory, request.vm()));
    *reply.add_vms() = view_vm(core_, *record);
    co_return reply;
  }
  for (const auto& [uuid, record] : core_.inventory.vms()) *reply.add_vms() = view_vm(core_, record);
  co_return reply;
}

Task<v1::ListZonesReply> FleetService::list_zones(rpc::Caller, v1::ListZonesRequest) {
  v1::ListZonesReply reply;
  for (auto& zone : core_.zones.list(core_.inventory)) *reply.add_zones() = std::move(zone);
  co_return reply;
}

Task<v1::ListShadowsReply> FleetService::list_shadows(rpc::Caller, v1::ListShadowsRequest request) {
  v1::ListShadowsReply reply;
  if (!request.vm().empty()) {
    UMBRA_CO_TRY(const auto* record, find_vm(core_.inventory, request.vm()));
    if (record->shadow) *reply.add_shadows() = *record->shadow;
    co_return reply;
  }
  for (const auto& [uuid, record] : core_.inventory.vms())
    if (record.shadow) *reply.add_shadows() = *record.shadow;
  for (const auto& [name, node] : core_.inventory.nodes())
    for (const auto& held : core_.inventory.leaked(node)) {
      auto* shadow = reply.add_shadows();
      shadow->set_vm_uuid(held.vm_uuid());
      shadow->set_vm_name(held.vm_name());
      shadow->set_source(held.source());
      shadow->set_standby(name);
      shadow->set_phase(held.phase());
      shadow->set_total_bytes(held.memory_bytes());
      shadow->set_detail("held there, and kept by nobody");
    }
  co_return reply;
}

Task<void> FleetService::watch_events(rpc::Caller, v1::WatchEventsRequest request, rpc::Sink<v1::Event> sink) {
  auto named = name_in_events(core_, request.vm());
  if (!named && !request.follow()) co_return fail(named.error());
  const auto vm = named.value_or(request.vm());  // who follows may wait for it to come
  auto after = request.after_id();
  auto last = bounded(request.last(), kEventsByDefault, kEventsAtMost);
  while (true) {
    UMBRA_CO_TRY(auto events, core_.events.events(last, vm, after));
    for (auto& event : events) {
      after = event.id();
      UMBRA_CO_CHECK(co_await sink.send(std::move(event)));
    }
    if (!request.follow()) co_return Result<void>{};
    last = kEventsAtMost;
    if (events.empty()) co_await core_.events.arrived().wait_until(Signal::TimePoint::max());
  }
}

Task<v1::WhyReply> FleetService::why(rpc::Caller, v1::WhyRequest request) {
  UMBRA_CO_TRY(const auto* record, find_vm(core_.inventory, request.vm()));
  const auto uuid = record->vm.uuid();
  v1::WhyReply reply;
  *reply.mutable_vm() = view_vm(core_, *record);
  const auto last = bounded(request.last(), kDecisionsByDefault, kDecisionsAtMost);
  UMBRA_CO_TRY(auto decisions, core_.store.log.decisions(uuid, last));
  for (auto& decision : decisions) *reply.add_decisions() = std::move(decision);
  UMBRA_CO_TRY(auto profiles, core_.store.fleet.profiles(uuid));
  for (auto& profile : profiles) *reply.add_profiles() = std::move(profile);
  co_return reply;
}

Task<v1::GetVersionReply> FleetService::get_version(rpc::Caller, v1::GetVersionRequest) {
  v1::GetVersionReply reply;
  reply.set_version(UMBRA_VERSION);
  co_return reply;
}

}  // namespace umbra::controller
