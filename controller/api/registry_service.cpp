#include "controller/api/registry_service.hpp"

#include "controller/api/tidy.hpp"

namespace umbra::controller {
namespace {

constexpr int kMostAsked = 10'000;

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

Task<v1::RenewCertificateReply> RegistryService::renew_certificate(rpc::Caller caller,
                                                                   v1::RenewCertificateRequest request) {
  co_return core_.enrolment.renew(caller, request);
}

}  // namespace umbra::controller
