// What FakeFleet does when it is told to: shadows, moves, fences, zones, maintenance, telemetry.
#include "base/clock.hpp"
#include "cli/fakes/fleet.hpp"

namespace umbra::cli {
namespace {

v1::MoveProgress progress(const std::string& vm, const char* phase, double at_ms, std::uint64_t remaining) {
  v1::MoveProgress made;
  made.set_vm(vm);
  made.set_phase(phase);
  made.set_at_ms(at_ms);
  made.set_total_bytes(kFakeMemory);
  made.set_remaining_bytes(remaining);
  made.set_rate_bytes_per_second(50 << 20);
  made.set_dirty_bytes_per_second(8 << 20);
  made.set_eta_ms(static_cast<double>(remaining >> 20) / 42 * 1000);
  return made;
}

v1::ShadowPhase phase_of(v1::Tier tier) {
  return tier == v1::TIER_STAGED ? v1::SHADOW_PHASE_STAGED
         : tier == v1::TIER_HOT  ? v1::SHADOW_PHASE_HOT
                                 : v1::SHADOW_PHASE_WARM;
}

}  // namespace

v1::CutoverResult FakeFleet::move(v1::VmView& view, const std::string& to, const std::string& reason) {
  v1::CutoverResult result;
  result.set_vm(view.vm().name());
  result.set_vm_uuid(view.vm().uuid());
  result.set_from(view.host());
  result.set_to(to);
  result.set_epoch(view.epoch() + 1);
  result.set_reason(reason);
  result.set_outcome(move_outcome);
  auto& flip = *result.add_phases();
  flip.set_name("flip");
  flip.set_took_ms(1.25);
  view.set_epoch(result.epoch());
  if (move_outcome != v1::OUTCOME_MOVED) {
    result.set_detail(move_detail);
    return result;
  }
  result.set_blackout_ms(11.5);
  result.set_blackout_error_ms(0.25);
  result.set_reach_ms(74);
  view.set_host(to);
  view.set_zone(hosts_[to].node().zone());
  view.clear_shadow();
  happen(v1::EVENT_KIND_CUTOVER, view.vm().name(), "moved to " + to);
  return result;
}

Task<void> FakeFleet::keep_shadow(rpc::Caller, v1::PinShadowRequest request, rpc::Sink<v1::Shadow> sink) {
  UMBRA_CO_TRY(auto* view, find_vm(request.vm()));
  const auto to = request.to().empty() ? "host2" : request.to();
  UMBRA_CO_CHECK(check_host(to));
  auto& shadow = *view->mutable_shadow();
  shadow.set_vm_uuid(view->vm().uuid());
  shadow.set_vm_name(view->vm().name());
  shadow.set_source(view->host());
  shadow.set_standby(to);
  shadow.set_tier(request.tier());
  shadow.set_total_bytes(kFakeMemory);
  shadow.set_remaining_bytes(kFakeMemory);
  shadow.set_refresh_interval_ms(request.refresh_interval_ms() == 0 ? 10'000 : request.refresh_interval_ms());
  shadow.set_phase(v1::SHADOW_PHASE_STAGING);
  const auto staging = shadow;
  UMBRA_CO_CHECK(co_await sink.send(staging));
  if (!request.wait()) co_return Result<void>{};
  shadow.set_phase(v1::SHADOW_PHASE_PRECOPY);
  shadow.set_rate_bytes_per_second(50 << 20);
  shadow.set_remaining_bytes(kFakeMemory / 2);
  const auto copying = shadow;
  UMBRA_CO_CHECK(co_await sink.send(copying));
  shadow.set_phase(phase_of(request.tier()));
  shadow.set_remaining_bytes(0);
  const auto ready = shadow;
  co_return co_await sink.send(ready);
}

Task<v1::UnpinShadowReply> FakeFleet::drop_shadow(rpc::Caller, v1::UnpinShadowRequest request) {
  UMBRA_CO_TRY(auto* view, find_vm(request.vm()));
  if (!view->has_shadow())
    co_return fail({Errc::kNotFound, fmt::format("{} has no shadow", view->vm().name()), "see umbractl shadows"});
  view->clear_shadow();
  co_return v1::UnpinShadowReply{};
}

Task<void> FakeFleet::cutover(rpc::Caller caller, v1::StartCutoverRequest request, rpc::Sink<v1::MoveProgress> sink) {
  UMBRA_CO_TRY(auto* view, find_vm(request.vm()));
  if (!view->has_shadow())
    co_return fail({Errc::kConflict, fmt::format("{} has no shadow", view->vm().name()),
                    fmt::format("warm one first: umbractl shadow keep {0}, or umbractl migrate {0} --to HOST",
                                view->vm().name())});
  const auto refreshing = progress(view->vm().name(), "refresh", 0, kFakeMemory / 16);
  UMBRA_CO_CHECK(co_await sink.send(refreshing));
  if (breaks_during_moves) {
    if (auto session = caller.session.lock()) session->close("the controller stops");
    co_return fail(Errc::kCancelled, "stopped");
  }
  const auto flipping = progress(view->vm().name(), "flip", 20, 0);
  UMBRA_CO_CHECK(co_await sink.send(flipping));
  const auto to = view->shadow().standby();
  auto last = progress(view->vm().name(), "moved", 74, 0);
  *last.mutable_result() = move(*view, to, request.reason());
  co_return co_await sink.send(last);
}

Task<void> FakeFleet::migrate(rpc::Caller, v1::MigrateRequest request, rpc::Sink<v1::MoveProgress> sink) {
  UMBRA_CO_TRY(auto* view, find_vm(request.vm()));
  UMBRA_CO_CHECK(check_host(request.to()));
  for (const auto quarters : {4U, 2U, 1U}) {
    const auto copying = progress(view->vm().name(), "precopy", 100, kFakeMemory / 4 * quarters);
    UMBRA_CO_CHECK(co_await sink.send(copying));
  }
  auto last = progress(view->vm().name(), "moved", 2000, 0);
  *last.mutable_result() = move(*view, request.to(), request.reason());
  co_return co_await sink.send(last);
}

Task<void> FakeFleet::evacuate(rpc::Caller, v1::EvacuateRequest request, rpc::Sink<v1::EvacuateProgress> sink) {
  UMBRA_CO_CHECK(check_host_or_zone(request.host_or_zone()));
  v1::EvacuateProgress plan;
  for (const auto& [name, view] : vms_) {
    if (view.host() != request.host_or_zone() && view.zone() != request.host_or_zone()) continue;
    auto& planned = *plan.add_plan();
    planned.set_vm(name);
    planned.set_from(view.host());
    planned.set_to(view.host() == "host1" ? "host2" : "host1");
    planned.set_memory_bytes(kFakeMemory);
    planned.set_reason("most free memory in another zone");
  }
  UMBRA_CO_CHECK(co_await sink.send(plan));
  if (request.dry_run()) co_return Result<void>{};
  v1::EvacuateProgress news;
  for (const auto& planned : plan.plan()) {
    *news.mutable_move() = progress(planned.vm(), "precopy", 10, kFakeMemory / 2);
    UMBRA_CO_CHECK(co_await sink.send(news));
    *news.mutable_move()->mutable_result() = move(vms_[planned.vm()], planned.to(), request.reason());
    if (move_outcome == v1::OUTCOME_MOVED)
      news.set_moved(news.moved() + 1);
    else
      news.set_failed(news.failed() + 1);
    UMBRA_CO_CHECK(co_await sink.send(news));
  }
  co_return Result<void>{};
}

Task<v1::Fence> FakeFleet::fence_host(rpc::Caller caller, v1::FenceHostRequest request) {
  UMBRA_CO_CHECK(check_host(request.host()));
  auto& host = hosts_[request.host()];
  if (!request.confirmed())
    co_return fail(
        {Errc::kNotFound, fmt::format("no fence agent is configured for {}", request.host()),
         fmt::format("see with your own eyes that it is off, then: umbractl fence {} --confirmed", request.host())});
  auto& fence = *host.mutable_fence();
  fence.set_host(request.host());
  fence.set_epoch(1);
  fence.set_at_unix_ms(kFakeNow);
  fence.set_actor(caller.name);
  fence.set_reason(request.reason());
  fence.set_confirmed(true);
  fence.set_vms(2);
  host.set_up(false);
  co_return fence;
}

Task<v1::UnfenceHostReply> FakeFleet::unfence_host(rpc::Caller, v1::UnfenceHostRequest request) {
  UMBRA_CO_CHECK(check_host(request.host()));
  hosts_[request.host()].clear_fence();
  co_return v1::UnfenceHostReply{};
}

Task<v1::ListFencesReply> FakeFleet::list_fences(rpc::Caller, v1::ListFencesRequest) {
  v1::ListFencesReply reply;
  for (const auto& [name, host] : hosts_)
    if (host.has_fence()) *reply.add_fences() = host.fence();
  reply.add_agents("host2");
  co_return reply;
}

Task<v1::RestartVmReply> FakeFleet::restart_vm(rpc::Caller, v1::RestartVmRequest request) {
  UMBRA_CO_TRY(auto* view, find_vm(request.vm()));
  if (!hosts_[view->host()].has_fence())
    co_return fail(
        {Errc::kConflict,
         fmt::format("{0} is {1}'s, which is not fenced: it may be running there", request.vm(), view->host()),
         fmt::format("make sure that it is off, then: umbractl fence {}", view->host())});
  v1::RestartVmReply reply;
  reply.set_vm(request.vm());
  reply.set_from(view->host());
  reply.set_to(request.on().empty() ? "host2" : request.on());
  reply.set_epoch(2);
  co_return reply;
}

Task<v1::ResolveVmReply> FakeFleet::resolve_vm(rpc::Caller, v1::ResolveVmRequest request) {
  UMBRA_CO_CHECK(find_vm(request.vm()));
  v1::ResolveVmReply reply;
  auto& here = *reply.add_sides();
  here.set_host("host1");
  here.set_reachable(true);
  here.mutable_account()->set_domain("paused");
  here.mutable_account()->set_qemu("postmigrate");
  here.mutable_account()->set_source_phase("promised");
  here.mutable_account()->set_source_epoch(7);
  here.mutable_account()->set_can_run(true);
  reply.add_sides()->set_host("host2");
  if (!request.keep().empty()) reply.set_epoch(8);
  co_return reply;
}

Task<v1::Zone> FakeFleet::set_zone(rpc::Caller caller, v1::SetZoneRequest request) {
  const auto found = zones_.find(request.zone());
  if (found == zones_.end())
    co_return fail({Errc::kNotFound, fmt::format("no zone '{}'", request.zone()), "see umbractl zones"});
  auto& zone = found->second;
  zone.set_set_health(request.health());
  zone.set_health(std::min(zone.heartbeat_health(), request.health()));
  zone.set_set_by(caller.name);
  zone.set_reason(request.reason());
  co_return zone;
}

Task<v1::Maintenance> FakeFleet::add_maintenance(rpc::Caller, v1::AddMaintenanceRequest request) {
  UMBRA_CO_CHECK(check_host_or_zone(request.window().host_or_zone()));
  auto& window = windows_[++last_window_] = request.window();
  window.set_id(last_window_);
  co_return window;
}

Task<v1::ListMaintenanceReply> FakeFleet::list_maintenance(rpc::Caller, v1::ListMaintenanceRequest) {
  v1::ListMaintenanceReply reply;
  for (const auto& [id, window] : windows_) *reply.add_windows() = window;
  co_return reply;
}

Task<v1::RemoveMaintenanceReply> FakeFleet::remove_maintenance(rpc::Caller, v1::RemoveMaintenanceRequest request) {
  if (windows_.erase(request.id()) == 0)
    co_return fail(
        {Errc::kNotFound, fmt::format("no maintenance window {}", request.id()), "see umbractl maintenance list"});
  co_return v1::RemoveMaintenanceReply{};
}

Task<v1::ImportTelemetryReply> FakeFleet::import_telemetry(rpc::Caller, v1::ImportTelemetryRequest request) {
  batches.push_back(request.samples_size());
  v1::ImportTelemetryReply reply;
  for (const auto& sample : request.samples()) {
    UMBRA_CO_TRY(const auto* view, find_vm(sample.vm()));
    const auto [at, added] =
        telemetry.insert_or_assign({view->vm().name(), sample.metric(), sample.at_unix_ms()}, sample.value());
    added ? reply.set_stored(reply.stored() + 1) : reply.set_replaced(reply.replaced() + 1);
  }
  co_return reply;
}

Task<v1::InviteReply> FakeFleet::invite(rpc::Caller, v1::InviteRequest request) {
  if (request.name() == "host1")
    co_return fail({Errc::kConflict, "host1 is in the fleet, and connected", "choose another name"});
  v1::InviteReply reply;
  reply.set_token(std::string(64, 'x'));
  reply.set_until_unix_ms(SystemClock().unix_ms() + request.valid_ms());
  reply.set_port(7444);
  co_return reply;
}

}  // namespace umbra::cli
