#include "controller/api/registry_service.hpp"

#include "controller/api/evacuate.hpp"
#include "controller/api/tidy.hpp"

namespace umbra::controller {
namespace {

constexpr int kMostAsked = 10'000;
constexpr const char* kShutdown = "its shutdown was announced by itself";
constexpr UnixMillis kAway = 10 * 60'000;        // until a host that shut down may get guests again
constexpr UnixMillis kMostPatience = 3'600'000;  // of a shutdown

}  // namespace

Task<v1::RegisterReply> RegistryService::register_(rpc::Caller caller, v1::RegisterRequest request) {
  tidy(request);
  const auto& node = request.node();
  if (node.name() != caller.name || node.role() != caller.role)
    co_return fail({Errc::kDenied,
                    fmt::format("a node with the certificate of {} {} registers as {} {}", rpc::role_name(caller.role),
                                caller.name, rpc::role_name(node.role()), node.name()),
                    "set agent.name and agent.role to what its certificate says, or issue another with umbractl pki"});
  check_.sift(caller.name, caller.role, request);
  // Zones are keys and words of command lines, as node names are.
  if (const auto zone = rpc::check_name(node.zone()); !zone)
    co_return fail({Errc::kInvalid, fmt::format("{} registers in a zone whose name is none", node.name()),
                    "correct agent.zone: 1 to 63 letters, digits, '.', '_' and '-', starting with a letter or digit"});
  UMBRA_CO_CHECK(core_.inventory.registered(request, caller.session));
  core_.pilot.nudge();
  v1::RegisterReply reply;
  reply.set_heartbeat_interval_ms(core_.inventory.heartbeat().interval.count());
  for (auto& taken : core_.host_loss.to_go(caller.name)) *reply.add_taken_over() = std::move(taken);
  co_return reply;
}

Task<v1::ReportReply> RegistryService::report(rpc::Caller caller, v1::ReportRequest request) {
  check_.sift(caller.name, caller.role, request);
  tidy(request);
  // First how cutovers ended: it explains where the report's VMs are.
  for (const auto& cutover : request.cutovers()) core_.mover.reported(caller.name, cutover);
  UMBRA_CO_CHECK(core_.inventory.reported(caller.name, caller.session.lock(), request));
  core_.host_loss.reported(caller.name, request);
  v1::ReportReply reply;
  reply.set_taken_over_known(true);
  for (auto& taken : core_.host_loss.to_go(caller.name)) *reply.add_taken_over() = std::move(taken);
  co_return reply;
}

Task<v1::WhoseVmsReply> RegistryService::whose_vms(rpc::Caller caller, v1::WhoseVmsRequest request) {
  if (request.vm_uuids_size() > kMostAsked)
    co_return fail({Errc::kInvalid, fmt::format("{} VMs are asked for at once", request.vm_uuids_size()),
                    fmt::format("ask for at most {}", kMostAsked)});
  co_return core_.host_loss.whose(caller.name, request);
}

/// Instead of what was expected before. @param begins 0: none
Result<void> RegistryService::expect_shutdown(const std::string& host, UnixMillis begins, UnixMillis ends) {
  UMBRA_TRY(const auto windows, core_.store.wishes.maintenance(core_.clock.unix_ms()));
  for (const auto& window : windows)
    if (window.host_or_zone() == host && window.reason() == kShutdown)
      UMBRA_CHECK(core_.store.wishes.remove_maintenance(window.id()));
  if (begins != 0) {
    v1::Maintenance window;
    window.set_host_or_zone(host);
    window.set_begins_unix_ms(begins);
    window.set_ends_unix_ms(ends);
    window.set_reason(kShutdown);
    UMBRA_CHECK(core_.store.wishes.add_maintenance(window));
  }
  core_.pilot.nudge();
  return {};
}

Task<v1::AnnounceShutdownReply> RegistryService::announce_shutdown(rpc::Caller caller,
                                                                   v1::AnnounceShutdownRequest request) {
  const auto at = request.at_unix_ms();
  if (at < 0) co_return fail(Errc::kInvalid, "a shutdown at {} ms since 1970", at);
  const auto begins = at == 0 ? 0 : std::max(at, core_.clock.unix_ms());
  UMBRA_CO_CHECK(expect_shutdown(caller.name, begins, begins + kAway));
  core_.events.add(v1::EVENT_KIND_HOST, v1::SEVERITY_INFO,
                   at == 0 ? "its shutdown is planned no more" : "is to be shut down", {caller.name, ""}, caller.name);
  co_return v1::AnnounceShutdownReply{};
}

Task<void> RegistryService::leave(rpc::Caller caller, v1::LeaveRequest request, rpc::Sink<v1::EvacuateProgress> sink) {
  const auto now = core_.clock.unix_ms();
  const auto patience = std::clamp<UnixMillis>(request.patience_ms(), 0, kMostPatience);
  UMBRA_CO_CHECK(expect_shutdown(caller.name, now, now + patience + kAway));
  UMBRA_CO_TRY(auto plan, plan_evacuation(core_.pilot.picture(), caller.name, core_.brain.settings(), true));
  core_.events.add(v1::EVENT_KIND_HOST, v1::SEVERITY_WARNING,
                   fmt::format("shuts down; {} VMs are moved away", plan.size()), {caller.name, ""}, caller.name);
  v1::EvacuateProgress first;
  for (const auto& planned : plan) *first.add_plan() = planned;
  UMBRA_CO_CHECK(co_await sink.send(std::move(first)));
  auto evacuation = core_.evacuator.start(std::move(plan), fmt::format("{} shuts down", caller.name), caller.name);
  co_return co_await follow(core_, std::move(evacuation), std::move(sink));
}

Task<v1::RenewCertificateReply> RegistryService::renew_certificate(rpc::Caller caller,
                                                                   v1::RenewCertificateRequest request) {
  co_return core_.enrolment.renew(caller, request);
}

}  // namespace umbra::controller
