#include "controller/fakes/fake_agent.hpp"

namespace umbra::controller {
namespace {

using namespace std::chrono_literals;

constexpr auto kPause = 5ms;

}  // namespace

std::string uuid_of(std::string_view vm_name) {
  std::string digits;
  for (const unsigned char c : vm_name) digits += fmt::format("{:02x}", c);
  return fmt::format("00000000-0000-4000-8000-{:0>12}", digits.substr(0, 12));
}

class FakeAgent::AgentApi final : public v1::AgentService {
 public:
  explicit AgentApi(FakeAgent& agent) : agent_(agent) {}

  Task<v1::Shadow> keep_shadow(rpc::Caller, v1::KeepShadowRequest request) override {
    ++agent_.keeps;
    agent_.kept[request.vm_uuid()] = request;
    if (agent_.keep_shadow_error) co_return fail(*agent_.keep_shadow_error);
    const auto found = agent_.vms_.find(request.vm_uuid());
    if (found == agent_.vms_.end()) co_return fail(Errc::kNotFound, "no such VM here");
    UMBRA_CO_TRY(const auto warrant, agent_.warranted(request.warrant(), request.vm_uuid(), request.standby().name()));
    auto& shadow = agent_.shadows_[request.vm_uuid()];
    const bool same = shadow.standby() == request.standby().name();
    shadow.set_vm_uuid(request.vm_uuid());
    shadow.set_vm_name(found->second.name());
    shadow.set_source(agent_.name());
    shadow.set_standby(request.standby().name());
    shadow.set_tier(request.tier());
    shadow.set_warrant_until_unix_ms(warrant.not_after_unix_ms());
    shadow.set_refresh_interval_ms(request.refresh_interval_ms() == 0 ? 5000 : request.refresh_interval_ms());
    shadow.set_total_bytes(found->second.memory_bytes());
    if (!same || shadow.phase() == v1::SHADOW_PHASE_DROPPED) shadow.set_phase(v1::SHADOW_PHASE_STAGING);
    agent_.changed_.notify();
    co_return shadow;
  }

  Task<v1::DropShadowReply> drop_shadow(rpc::Caller, v1::DropShadowRequest request) override {
    agent_.shadows_.erase(request.vm_uuid());
    ++agent_.drops;
    agent_.changed_.notify();
    co_return v1::DropShadowReply{};
  }

  Task<void> cutover(rpc::Caller, v1::CutoverRequest request, rpc::Sink<v1::CutoverProgress> sink) override {
    const auto shadow = agent_.shadows_.find(request.vm_uuid());
    if (shadow == agent_.shadows_.end() || shadow->second.phase() < v1::SHADOW_PHASE_WARM)
      co_return fail(Errc::kConflict, "no shadow is held");
    const auto uuid = request.vm_uuid();
    UMBRA_CO_TRY(const auto warrant, agent_.warranted(request.warrant(), uuid, request.standby().name()));
    if (warrant.epoch() != request.epoch()) co_return fail(Errc::kDenied, "its warrant is for another epoch");
    if (agent_.on_cutover) agent_.on_cutover();
    agent_.cutovers.push_back(request);
    agent_.told_[uuid].clear();
    agent_.tasks_.spawn(agent_.perform(std::move(request)));
    for (std::size_t told = 0;;) {
      auto& news = agent_.told_[uuid];
      if (told == news.size()) {
        co_await agent_.changed_.wait_until(Signal::TimePoint::max());
        continue;
      }
      auto progress = news[told++];
      const bool last = progress.has_result();
      UMBRA_CO_CHECK(co_await sink.send(std::move(progress)));
      if (last) co_return Result<void>{};
    }
  }

  Task<v1::LastCutoverReply> last_cutover(rpc::Caller, v1::LastCutoverRequest request) override {
    if (agent_.silent_about_cutovers) co_return fail(Errc::kUnavailable, "as the test wants it");
    const auto last = agent_.last_cutovers_.find(request.vm_uuid());
    if (agent_.deny_cutovers || last == agent_.last_cutovers_.end())
      co_return fail(Errc::kNotFound, "no cutover of it is known here");
    v1::LastCutoverReply reply;
    *reply.mutable_result() = last->second;
    co_return reply;
  }

  Task<v1::StartDefinitionReply> start_definition(rpc::Caller, v1::StartDefinitionRequest request) override {
    if (agent_.start_error) co_return fail(*agent_.start_error);
    const auto uuid = request.vm().uuid();
    agent_.vms_[uuid] = request.vm();
    agent_.vms_[uuid].set_state(v1::VM_STATE_RUNNING);
    agent_.served[uuid] = request.epoch();
    agent_.started.push_back(std::move(request));
    agent_.changed_.notify();
    if (std::exchange(agent_.start_hangs, false)) co_return fail(Errc::kTimeout, "as the test wants it");
    co_return v1::StartDefinitionReply{};
  }

  Task<v1::VmAccount> account(rpc::Caller, v1::AccountRequest request) override {
    co_return agent_.accounts[request.vm_uuid()];
  }

  Task<v1::YieldReply> yield(rpc::Caller, v1::YieldRequest request) override {
    if (agent_.yield_error) co_return fail(*agent_.yield_error);
    agent_.vms_.erase(request.vm_uuid());
    agent_.accounts.erase(request.vm_uuid());
    agent_.yields.push_back(std::move(request));
    co_return v1::YieldReply{};
  }

  Task<v1::ResolveReply> resolve(rpc::Caller, v1::ResolveRequest request) override {
    agent_.accounts[request.vm_uuid()].set_domain("running");
    agent_.resolves.push_back(std::move(request));
    co_return v1::ResolveReply{};
  }

  Task<v1::DiagnoseReply> diagnose(rpc::Caller, v1::DiagnoseRequest) override {
    v1::DiagnoseReply reply;
    auto* check = reply.add_checks();
    check->set_node(agent_.name());
    check->set_name("hold");
    check->set_ok(agent_.proven);
    co_return reply;
  }

 private:
  FakeAgent& agent_;
};

class FakeAgent::NetSwitchApi final : public v1::NetSwitchService {
 public:
  explicit NetSwitchApi(FakeAgent& agent) : agent_(agent) {}
  Task<v1::PointReply> point(rpc::Caller, v1::PointRequest) override { co_return v1::PointReply{}; }
  Task<v1::UnpointReply> unpoint(rpc::Caller, v1::UnpointRequest) override { co_return v1::UnpointReply{}; }
  Task<v1::ReconcileReply> reconcile(rpc::Caller, v1::ReconcileRequest request) override {
    v1::ReconcileReply reply;
    for (const auto& route : request.routes()) {
      const auto newer = agent_.newer_routes.find(route.vm_uuid());
      if (newer == agent_.newer_routes.end() || newer->second <= route.epoch()) continue;
      auto* known = reply.add_newer();
      known->set_vm_uuid(route.vm_uuid());
      known->set_address(route.address());
      known->set_epoch(newer->second);
    }
    agent_.routes = std::move(request);
    co_return reply;
  }

 private:
  FakeAgent& agent_;
};

FakeAgent::FakeAgent(asio::any_io_executor executor, Clock& clock, FakeHosts& hosts, v1::Node node, rpc::Tls tls,
                     std::string controller)
    : executor_(executor),
      clock_(clock),
      hosts_(hosts),
      node_(std::move(node)),
      tls_(std::move(tls)),
      controller_(std::move(controller)),
      changed_(executor, clock),
      tasks_(executor) {
  capacity.set_cpus(2);
  capacity.set_memory_total_bytes(8ULL << 30);
  capacity.set_memory_free_bytes(4ULL << 30);
  hosts_[name()] = this;
  connect();
  tasks_.spawn(report());
}

FakeAgent::~FakeAgent() {
  hosts_.erase(name());
}

void FakeAgent::connect() {
  rpc::Services services{std::make_shared<NetSwitchApi>(*this)};
  if (node_.role() == v1::ROLE_AGENT)
    services = {std::make_shared<NetSwitchApi>(*this), std::make_shared<AgentApi>(*this)};
  dialer_ = std::make_unique<rpc::Dialer>(executor_, controller_, tls_, rpc::Expect{"", v1::ROLE_CONTROLLER}, services,
                                          rpc::DialerHooks{.on_connected = [this](auto) { changed_.notify(); }});
}

Result<v1::WarrantStatement> FakeAgent::warranted(const v1::Warrant& warrant, const std::string& vm_uuid,
                                                  const std::string& standby) const {
  UMBRA_TRY(auto statement, rpc::warrant::open(tls_, warrant, clock_.unix_ms()));
  if (statement.vm_uuid() != vm_uuid || statement.source() != name() || statement.standby() != standby)
    return fail(Errc::kDenied, "its warrant is for something else");
  return statement;
}

void FakeAgent::disconnect() {
  dialer_.reset();
}

asio::awaitable<void> FakeAgent::stop() {
  disconnect();
  co_await tasks_.stop();
}

void FakeAgent::add_vm(const std::string& vm_name, const std::string& address) {
  auto& vm = vms_[uuid_of(vm_name)];
  vm.set_uuid(uuid_of(vm_name));
  vm.set_name(vm_name);
  vm.set_state(v1::VM_STATE_RUNNING);
  vm.set_memory_bytes(256ULL << 20);
  vm.set_vcpus(1);
  vm.add_addresses(address);
  changed_.notify();
}

void FakeAgent::undefine_vm(const std::string& vm_name) {
  const auto uuid = uuid_of(vm_name);
  vms_.erase(uuid);
  if (const auto told = definitions.find(uuid); told != definitions.end()) told->second.clear();
  changed_.notify();
}

v1::Vm* FakeAgent::vm(const std::string& uuid) {
  const auto found = vms_.find(uuid);
  return found == vms_.end() ? nullptr : &found->second;
}

/// One step of their lives per report.
void FakeAgent::grow_shadows() {
  for (auto& [uuid, shadow] : shadows_) {
    if (shadows_stall) return;
    if (shadow.phase() == v1::SHADOW_PHASE_STAGING && !standby_refusal.empty()) {
      shadow.set_phase(v1::SHADOW_PHASE_DROPPED);
      shadow.set_detail(standby_refusal);
    } else if (shadow.phase() == v1::SHADOW_PHASE_STAGING) {
      shadow.set_phase(v1::SHADOW_PHASE_STAGED);
    } else if (shadow.phase() == v1::SHADOW_PHASE_STAGED && shadow.tier() >= v1::TIER_WARM) {
      shadow.set_phase(v1::SHADOW_PHASE_PRECOPY);
    } else if (shadow.phase() >= v1::SHADOW_PHASE_PRECOPY && shadow.phase() <= v1::SHADOW_PHASE_HOT) {
      shadow.set_phase(shadow.tier() == v1::TIER_HOT ? v1::SHADOW_PHASE_HOT : v1::SHADOW_PHASE_WARM);
    }
  }
}

v1::ReportRequest FakeAgent::news() {
  v1::ReportRequest report;
  *report.mutable_capacity() = capacity;
  report.mutable_proof()->set_proven(proven);
  report.set_hypervisor_up(hypervisor_up);
  report.set_vms_known(hypervisor_up);
  for (const auto& [uuid, vm] : vms_) *report.add_vms() = vm;
  for (const auto& [uuid, shadow] : shadows_) *report.add_shadows() = shadow;
  for (const auto& [uuid, shadow] : held) *report.add_held() = shadow;
  for (const auto& [uuid, xml] : definitions) {
    auto* told = report.add_definitions();
    told->set_vm_uuid(uuid);
    told->set_xml(xml);
    told->set_autostart(autostart.contains(uuid));
  }
  for (const auto& [uuid, epoch] : served) {
    if (!tell_served) break;
    auto* told = report.add_served();
    told->set_vm_uuid(uuid);
    told->set_epoch(epoch);
    told->set_active(vms_.contains(uuid));
  }
  if (tell_cutovers_in_reports)
    for (const auto& cutover : untold_) *report.add_cutovers() = cutover;
  return report;
}

asio::awaitable<void> FakeAgent::report() {
  std::weak_ptr<rpc::Session> registered;
  while (true) {
    const auto session =
        dialer_ ? dialer_->session() : Result<std::shared_ptr<rpc::Session>>(fail(Errc::kUnavailable, "off"));
    if (session) {
      v1::RegistryClient registry(*session);
      if (registered.lock() != *session) {
        v1::RegisterRequest request;
        *request.mutable_node() = node_;
        request.set_version(UMBRA_VERSION);
        request.mutable_proof()->set_proven(proven);
        request.set_epochs_known(true);
        for (const auto* epochs : {&served, &known})
          for (const auto& [uuid, epoch] : *epochs) {
            auto* told = request.add_known_epochs();
            told->set_vm_uuid(uuid);
            told->set_epoch(epoch);
          }
        const auto reply = co_await registry.register_(std::move(request), 5s);
        if (reply) registered = *session;
        if (reply) taken_over.assign(reply->taken_over().begin(), reply->taken_over().end());
        if (reply && obey)
          for (const auto& taken : reply->taken_over()) vms_.erase(taken.vm_uuid());
      }
      grow_shadows();
      auto report = news();
      std::erase_if(definitions, [](const auto& entry) { return entry.second.empty(); });
      const auto told = static_cast<std::ptrdiff_t>(report.cutovers_size());
      const auto reply = co_await registry.report(std::move(report), 5s);
      if (reply) taken_over.assign(reply->taken_over().begin(), reply->taken_over().end());
      if (reply) untold_.erase(untold_.begin(), untold_.begin() + told);
    }
    co_await changed_.wait_until(clock_.steady() + kPause);
  }
}

asio::awaitable<void> FakeAgent::perform(v1::CutoverRequest request) {
  const auto uuid = request.vm_uuid();
  const auto tell = [&](const std::string& phase) {
    told_[uuid].emplace_back().set_phase(phase);
    changed_.notify();
  };
  tell("arm");
  while (pause_before_cutover) co_await changed_.wait_until(clock_.steady() + kPause);
  if (std::exchange(hang_up_in_cutover, false)) disconnect();
  v1::CutoverResult result;
  result.set_vm(vms_[uuid].name());
  result.set_vm_uuid(uuid);
  result.set_from(name());
  result.set_to(request.standby().name());
  result.set_epoch(request.epoch());
  result.set_reason(request.reason());
  result.set_outcome(cutover_outcome);
  if (cutover_outcome == v1::OUTCOME_MOVED) {
    result.set_blackout_ms(12);
    result.set_reach_ms(20);
    auto& standby = *hosts_.at(request.standby().name());
    standby.vms_[uuid] = vms_[uuid];
    standby.served[uuid] = request.epoch();
    standby.changed_.notify();
    vms_.erase(uuid);
    served.erase(uuid);
    shadows_.erase(uuid);
  } else {
    served[uuid] = request.epoch();
    result.set_detail("as the test wants it");
  }
  if (!std::exchange(forget_cutovers, false)) {
    last_cutovers_[uuid] = result;
    untold_.push_back(result);
  }
  *told_[uuid].emplace_back().mutable_result() = result;
  changed_.notify();
}

}  // namespace umbra::controller
