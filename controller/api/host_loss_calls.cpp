// Fences, restarts, and cutovers that a person decides.
#include "controller/api/fleet_service.hpp"
#include "controller/api/tidy.hpp"
#include "controller/api/views.hpp"

namespace umbra::controller {
namespace {

std::string with_reason(std::string what, const std::string& reason) {
  return reason.empty() ? what : what + ": " + reason;
}

}  // namespace

Task<v1::Fence> FleetService::fence_host(rpc::Caller caller, v1::FenceHostRequest request) {
  UMBRA_CO_CHECK(check_texts(request));
  audit(caller,
        with_reason(fmt::format("fence {}{} is asked for", request.host(), request.confirmed() ? " --confirmed" : ""),
                    request.reason()),
        {request.host(), ""});
  auto host = request.host(), reason = request.reason(), actor = caller.name;
  co_return co_await core_.host_loss.fence(std::move(host), request.confirmed(), std::move(reason), std::move(actor));
}

Task<v1::UnfenceHostReply> FleetService::unfence_host(rpc::Caller caller, v1::UnfenceHostRequest request) {
  UMBRA_CO_CHECK(check_texts(request));
  UMBRA_CO_CHECK(core_.host_loss.unfence(request.host(), request.reason(), caller.name));
  audit(caller, with_reason(fmt::format("unfence {}", request.host()), request.reason()), {request.host(), ""});
  co_return v1::UnfenceHostReply{};
}

Task<v1::ListFencesReply> FleetService::list_fences(rpc::Caller, v1::ListFencesRequest) {
  v1::ListFencesReply reply;
  for (auto& fence : core_.host_loss.fences()) *reply.add_fences() = std::move(fence);
  for (const auto& agent : core_.host_loss.settings().agents) reply.add_agents(agent.host);
  co_return reply;
}

Task<v1::RestartVmReply> FleetService::restart_vm(rpc::Caller caller, v1::RestartVmRequest request) {
  UMBRA_CO_CHECK(check_texts(request));
  UMBRA_CO_TRY(const auto* record, find_vm_or_gone(core_.inventory, request.vm()));
  auto uuid = record->vm.uuid(), on = request.on(), reason = request.reason(), actor = caller.name;
  audit(caller, with_reason(fmt::format("restart{}{} is asked for", on.empty() ? "" : " on ", on), reason),
        {record->host, record->vm.name()});
  co_return co_await core_.host_loss.restart(std::move(uuid), std::move(on), std::move(reason), std::move(actor));
}

Task<v1::ResolveVmReply> FleetService::resolve_vm(rpc::Caller caller, v1::ResolveVmRequest request) {
  UMBRA_CO_CHECK(check_texts(request));
  UMBRA_CO_TRY(const auto* record, find_vm(core_.inventory, request.vm()));
  const auto uuid = record->vm.uuid(), name = record->vm.name();
  v1::ResolveVmReply reply;
  auto asked = uuid;
  UMBRA_CO_TRY(auto sides, co_await core_.resolver.look(std::move(asked)));
  for (auto& side : sides) *reply.add_sides() = std::move(side);
  if (request.keep().empty()) co_return reply;
  audit(caller, with_reason(fmt::format("resolve --keep {} is asked for", request.keep()), request.reason()),
        {"", name});
  auto keep = request.keep(), reason = request.reason(), actor = caller.name, vm = uuid;
  UMBRA_CO_TRY(const auto epoch,
               co_await core_.resolver.keep(std::move(vm), std::move(keep), std::move(reason), std::move(actor)));
  reply.set_epoch(epoch);
  co_return reply;
}

}  // namespace umbra::controller
