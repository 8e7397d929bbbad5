#include "cli/fakes/fleet.hpp"

#include "base/clock.hpp"

#include <boost/asio/redirect_error.hpp>
#include <stdexcept>

namespace umbra::cli {
namespace {

constexpr std::uint64_t kMemory = std::uint64_t{256} << 20;
constexpr std::int64_t kNow = 1'777'636'800'000;

v1::Cause cause(const char* name, double probability, const char* detail) {
  v1::Cause made;
  made.set_name(name);
  made.set_probability(probability);
  made.set_detail(detail);
  return made;
}

v1::MoveProgress progress(const std::string& vm, const char* phase, double at_ms, std::uint64_t remaining) {
  v1::MoveProgress made;
  made.set_vm(vm);
  made.set_phase(phase);
  made.set_at_ms(at_ms);
  made.set_total_bytes(kMemory);
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

FakeFleet::FakeFleet(asio::any_io_executor executor) : news_(executor, asio::steady_timer::time_point::max()) {
  for (const auto& [name, zone] : {std::pair{"host1", "a"}, std::pair{"host2", "b"}}) {
    auto& host = hosts_[name];
    host.mutable_node()->set_name(name);
    host.mutable_node()->set_role(v1::ROLE_AGENT);
    host.mutable_node()->set_zone(zone);
    host.set_up(true);
    host.set_hypervisor_up(true);
    host.mutable_capacity()->set_cpus(4);
    host.mutable_capacity()->set_memory_total_bytes(std::uint64_t{8} << 30);
    host.mutable_capacity()->set_memory_free_bytes(std::uint64_t{4} << 30);
    host.mutable_proof()->set_proven(true);
    host.mutable_proof()->set_qemu_version("8.2.2");
    host.set_version("0.1.0");
    host.set_last_seen_unix_ms(kNow);
    zones_[zone].set_name(zone);
    zones_[zone].set_health(1);
    zones_[zone].set_heartbeat_health(1);
    zones_[zone].set_set_health(1);
    zones_[zone].set_hosts(1);
    zones_[zone].set_hosts_up(1);
  }
  for (const auto* name : {"web1", "db1"}) {
    auto& view = vms_[name];
    view.mutable_vm()->set_name(name);
    view.mutable_vm()->set_uuid(std::string("uuid-of-") + name);
    view.mutable_vm()->set_state(v1::VM_STATE_RUNNING);
    view.mutable_vm()->set_memory_bytes(kMemory);
    view.mutable_vm()->set_vcpus(1);
    view.mutable_vm()->add_addresses(std::string("10.107.12.") + (name[0] == 'w' ? "101" : "102"));
    view.set_host("host1");
    view.set_zone("a");
    view.set_epoch(1);
    view.set_tier(v1::TIER_PROFILE);
  }
  auto& web1 = vms_["web1"];
  *web1.add_causes() = cause("zone health", 0.5, "zone a is at 0.40");
  *web1.add_causes() = cause("capacity", 0.2, "demand exceeds capacity in 20 of 100 paths");
  *web1.add_causes() = cause("maintenance", 0, "");
  web1.set_migration_probability(0.6);
  web1.mutable_last_sample()->set_at_unix_ms(kNow);
  web1.mutable_last_sample()->set_cpus_used(0.92);
}

void FakeFleet::happen(v1::EventKind kind, std::string vm, std::string text, std::string node, v1::Severity severity) {
  auto& event = events_.emplace_back();
  event.set_id(events_.size());
  event.set_at_unix_ms(kNow);
  event.set_kind(kind);
  event.set_vm(std::move(vm));
  event.set_text(std::move(text));
  event.set_node(std::move(node));
  event.set_severity(severity);
  news_.cancel();
}

void FakeFleet::lose(const std::string& host) {
  hosts_[host].set_up(false);
  for (auto& [name, view] : vms_)
    if (view.host() == host) view.mutable_vm()->set_state(v1::VM_STATE_UNKNOWN);
}

void FakeFleet::own(const std::string& vm, const std::string& account) {
  vms_[vm].mutable_vm()->set_account(account);
}

void FakeFleet::refuse(const std::string& vm, const std::string& why) {
  vms_[vm].mutable_vm()->set_refusal(why);
}

void FakeFleet::forge(const std::string& text) {
  auto& web1 = vms_["web1"];
  web1.mutable_vm()->set_name(text);
  web1.mutable_vm()->set_refusal(text);
  web1.mutable_causes(0)->set_name(text);
  web1.mutable_causes(0)->set_detail(text);
  auto& shadow = *web1.mutable_shadow();
  shadow.set_vm_name(text);
  shadow.set_source(text);
  shadow.set_standby(text);
  shadow.set_detail(text);
  zones_["a"].set_reason(text);
  zones_["a"].set_set_by(text);
  hosts_["host1"].set_version(text);
  auto& window = windows_[1];
  window.set_id(1);
  window.set_host_or_zone(text);
  window.set_reason(text);
  happen(v1::EVENT_KIND_VM, text, text);
  events_.back().set_actor(text);
  events_.back().set_node(text);
  audit.push_back(events_.back());
  audit.back().set_at_unix_ms(SystemClock().unix_ms());
  audit.back().set_peer(text);
  audit.back().set_outcome(text);
  check_detail = text;
}

Result<v1::VmView*> FakeFleet::find_vm(const std::string& name_or_uuid) {
  for (auto& [name, view] : vms_)
    if (name == name_or_uuid || view.vm().uuid() == name_or_uuid) return &view;
  return fail({Errc::kNotFound, fmt::format("no VM '{}'", name_or_uuid), "see umbractl vms"});
}

Result<void> FakeFleet::check_host(const std::string& name) const {
  if (hosts_.contains(name)) return {};
  return fail({Errc::kNotFound, fmt::format("no host '{}'", name), "see umbractl hosts"});
}

Result<void> FakeFleet::check_host_or_zone(const std::string& name) const {
  if (hosts_.contains(name) || zones_.contains(name)) return {};
  return fail({Errc::kNotFound, fmt::format("no host or zone '{}'", name), "see umbractl hosts and umbractl zones"});
}

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

Task<v1::ListHostsReply> FakeFleet::list_hosts(rpc::Caller, v1::ListHostsRequest) {
  v1::ListHostsReply reply;
  for (const auto& [name, host] : hosts_) *reply.add_hosts() = host;
  co_return reply;
}

Task<v1::ListVmsReply> FakeFleet::list_vms(rpc::Caller, v1::ListVmsRequest request) {
  v1::ListVmsReply reply;
  if (!request.vm().empty()) {
    UMBRA_CO_TRY(const auto* view, find_vm(request.vm()));
    *reply.add_vms() = *view;
    co_return reply;
  }
  for (const auto& [name, view] : vms_) *reply.add_vms() = view;
  co_return reply;
}

Task<v1::ListZonesReply> FakeFleet::list_zones(rpc::Caller, v1::ListZonesRequest) {
  v1::ListZonesReply reply;
  for (const auto& [name, zone] : zones_) *reply.add_zones() = zone;
  co_return reply;
}

Task<v1::ListShadowsReply> FakeFleet::list_shadows(rpc::Caller, v1::ListShadowsRequest) {
  v1::ListShadowsReply reply;
  for (const auto& [name, view] : vms_)
    if (view.has_shadow()) *reply.add_shadows() = view.shadow();
  co_return reply;
}

Task<void> FakeFleet::watch_events(rpc::Caller, v1::WatchEventsRequest request, rpc::Sink<v1::Event> sink) {
  const std::size_t last = request.last() == 0 ? 100 : request.last();
  auto next = events_.size() - std::min(last, events_.size());
  while (true) {
    for (; next < events_.size(); ++next) {
      const auto event = events_[next];
      if (request.vm().empty() || request.vm() == event.vm()) UMBRA_CO_CHECK(co_await sink.send(event));
    }
    if (!request.follow()) co_return Result<void>{};
    boost::system::error_code woken;
    auto waited = asio::redirect_error(asio::use_awaitable, woken);
    co_await news_.async_wait(waited);
    const auto state = co_await asio::this_coro::cancellation_state;
    if (state.cancelled() != asio::cancellation_type::none) co_return fail(Errc::kCancelled, "the reader has gone");
  }
}

Task<v1::ListAuditReply> FakeFleet::list_audit(rpc::Caller, v1::ListAuditRequest request) {
  v1::ListAuditReply reply;
  std::size_t next = request.page().empty() ? 0 : std::stoul(request.page());
  for (; next < audit.size() && reply.events_size() < 2; ++next) {
    const auto& event = audit[next];
    if (event.at_unix_ms() >= request.since_unix_ms() &&
        (request.actor().empty() || request.actor() == event.actor()) &&
        (request.vm().empty() || request.vm() == event.vm()))
      *reply.add_events() = event;
  }
  if (next < audit.size()) reply.set_next_page(std::to_string(next));
  co_return reply;
}

Task<v1::WhyReply> FakeFleet::why(rpc::Caller, v1::WhyRequest request) {
  UMBRA_CO_TRY(const auto* view, find_vm(request.vm()));
  v1::WhyReply reply;
  *reply.mutable_vm() = *view;
  for (const auto& [name, zone] : zones_) {
    auto& profile = *reply.add_profiles();
    profile.set_zone(name);
    if (name == view->zone())
      profile.set_verdict("no other host here");
    else
      profile.set_host(name == "a" ? "host1" : "host2");
    profile.set_memory_bytes(view->vm().memory_bytes());
  }
  auto& decision = *reply.add_decisions();
  decision.set_at_unix_ms(kNow);
  decision.set_migration_probability(view->migration_probability());
  *decision.mutable_causes() = view->causes();
  decision.set_action("tier warm on host2");
  decision.set_reason("3 of 3 looks were above 0.50");
  co_return reply;
}

/// web1 needs 1 core, give or take 0.1 for each step ahead; host1 has 2 VMs, one of them without history, which are
/// also all of account acme; nothing is known of db1.
Task<v1::ForecastReply> FakeFleet::forecast(rpc::Caller, v1::ForecastRequest request) {
  v1::ForecastReply reply;
  const bool host = request.name() == "host1";
  const bool account = request.name() == "acme";
  const bool several = host || account;
  if (!several || request.scope() == v1::SCOPE_VM) UMBRA_CO_CHECK(find_vm(request.name()));
  reply.set_name(request.name());
  reply.set_scope(host ? v1::SCOPE_HOST : account ? v1::SCOPE_ACCOUNT : v1::SCOPE_VM);
  reply.set_vms(several ? 2 : 1);
  reply.set_vms_unknown(several || request.name() == "db1" ? 1 : 0);
  constexpr std::int64_t kStep = 300'000;
  reply.set_step_ms(kStep);
  reply.set_begins_unix_ms(kNow);
  reply.set_capacity(request.capacity() > 0 ? request.capacity() : 4);
  reply.set_exceed_probability(0.125);
  reply.set_history_begins_unix_ms(kNow - request.history_ms());
  for (std::int64_t at = 0; at < request.history_ms(); at += kStep)
    reply.add_history(at == 0 ? std::numeric_limits<double>::quiet_NaN() : 1);
  if (request.name() == "db1") co_return reply;
  reply.set_learned_steps(288);
  reply.set_growth_probability(host ? 0 : 0.95);
  for (std::int64_t at = 0; at < request.horizon_ms(); at += kStep) {
    auto& step = *reply.add_steps();
    step.set_mean(1);
    for (const auto level : request.levels())
      step.add_quantiles(1 + 0.1 * (level - 0.5) * static_cast<double>(at / kStep + 1));
  }
  co_return reply;
}

Task<v1::DoctorReply> FakeFleet::doctor(rpc::Caller, v1::DoctorRequest) {
  v1::DoctorReply reply;
  auto& check = *reply.add_checks();
  check.set_node("host1");
  check.set_name("hold");
  check.set_ok(healthy);
  check.set_detail(!check_detail.empty() ? check_detail : healthy ? "QEMU 10.0.2 holds" : "QEMU 7.2.0 is too old");
  check.set_remedy(healthy ? "" : "install QEMU 8.1 or newer");
  co_return reply;
}

Task<v1::GetVersionReply> FakeFleet::get_version(rpc::Caller, v1::GetVersionRequest) {
  v1::GetVersionReply reply;
  reply.set_version(UMBRA_VERSION);
  co_return reply;
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
  shadow.set_total_bytes(kMemory);
  shadow.set_remaining_bytes(kMemory);
  shadow.set_refresh_interval_ms(request.refresh_interval_ms() == 0 ? 10'000 : request.refresh_interval_ms());
  shadow.set_phase(v1::SHADOW_PHASE_STAGING);
  const auto staging = shadow;
  UMBRA_CO_CHECK(co_await sink.send(staging));
  if (!request.wait()) co_return Result<void>{};
  shadow.set_phase(v1::SHADOW_PHASE_PRECOPY);
  shadow.set_rate_bytes_per_second(50 << 20);
  shadow.set_remaining_bytes(kMemory / 2);
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
  const auto refreshing = progress(view->vm().name(), "refresh", 0, kMemory / 16);
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
    const auto copying = progress(view->vm().name(), "precopy", 100, kMemory / 4 * quarters);
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
    planned.set_memory_bytes(kMemory);
    planned.set_reason("most free memory in another zone");
  }
  UMBRA_CO_CHECK(co_await sink.send(plan));
  if (request.dry_run()) co_return Result<void>{};
  v1::EvacuateProgress news;
  for (const auto& planned : plan.plan()) {
    *news.mutable_move() = progress(planned.vm(), "precopy", 10, kMemory / 2);
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
  fence.set_at_unix_ms(kNow);
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

FakeController::FakeController(rpc::Tls tls) : fleet_(std::make_shared<FakeFleet>(io_.get_executor())) {
  auto server = rpc::Server::listen(io_.get_executor(), {asio::ip::address_v4::loopback(), 0}, std::move(tls),
                                    rpc::Services{fleet_});
  if (!server) throw std::runtime_error(server.error().text());
  server_ = std::move(*server);
  address_ = fmt::format("127.0.0.1:{}", server_->endpoint().port());
  thread_ = std::thread([this] { io_.run(); });
}

FakeController::~FakeController() {
  asio::post(io_, [this] {
    server_.reset();
    io_.stop();
  });
  thread_.join();
}

}  // namespace umbra::cli
