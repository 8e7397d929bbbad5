#include "cli/fakes/fleet.hpp"

#include "base/clock.hpp"

#include <boost/asio/redirect_error.hpp>
#include <stdexcept>

namespace umbra::cli {
namespace {

v1::Cause cause(const char* name, double probability, const char* detail) {
  v1::Cause made;
  made.set_name(name);
  made.set_probability(probability);
  made.set_detail(detail);
  return made;
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
    host.set_last_seen_unix_ms(kFakeNow);
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
    view.mutable_vm()->set_memory_bytes(kFakeMemory);
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
  web1.mutable_last_sample()->set_at_unix_ms(kFakeNow);
  web1.mutable_last_sample()->set_cpus_used(0.92);
}

void FakeFleet::happen(v1::EventKind kind, std::string vm, std::string text, std::string node, v1::Severity severity) {
  auto& event = events_.emplace_back();
  event.set_id(events_.size());
  event.set_at_unix_ms(kFakeNow);
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
  decision.set_at_unix_ms(kFakeNow);
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
  reply.set_begins_unix_ms(kFakeNow);
  reply.set_capacity(request.capacity() > 0 ? request.capacity() : 4);
  reply.set_exceed_probability(0.125);
  reply.set_history_begins_unix_ms(kFakeNow - request.history_ms());
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
