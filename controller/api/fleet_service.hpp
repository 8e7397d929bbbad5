/// What people and their programs call.
#pragma once

#include "controller/core.hpp"
#include "umbra/v1/controller.rpc.hpp"

namespace umbra::controller {

/// Looking: queries.cpp, forecasts.cpp. Shadows and moves: actions.cpp. Zones, maintenance, telemetry:
/// settings_calls.cpp. Fences, restarts: host_loss_calls.cpp. Doctor: doctor.cpp. Audit: audit_calls.cpp. What a caller
/// started goes on when the caller goes away.
class FleetService final : public v1::FleetService {
 public:
  /// @param state_dir for Doctor, which looks at its disk
  FleetService(Core core, std::filesystem::path state_dir) : core_(core), state_dir_(std::move(state_dir)) {}

  Task<v1::ListHostsReply> list_hosts(rpc::Caller caller, v1::ListHostsRequest request) override;
  Task<v1::ListVmsReply> list_vms(rpc::Caller caller, v1::ListVmsRequest request) override;
  Task<v1::ListZonesReply> list_zones(rpc::Caller caller, v1::ListZonesRequest request) override;
  Task<v1::ListShadowsReply> list_shadows(rpc::Caller caller, v1::ListShadowsRequest request) override;
  Task<void> watch_events(rpc::Caller caller, v1::WatchEventsRequest request, rpc::Sink<v1::Event> sink) override;
  Task<v1::ListAuditReply> list_audit(rpc::Caller caller, v1::ListAuditRequest request) override;
  Task<v1::WhyReply> why(rpc::Caller caller, v1::WhyRequest request) override;
  Task<v1::ForecastReply> forecast(rpc::Caller caller, v1::ForecastRequest request) override;
  Task<v1::DoctorReply> doctor(rpc::Caller caller, v1::DoctorRequest request) override;
  Task<v1::GetVersionReply> get_version(rpc::Caller caller, v1::GetVersionRequest request) override;

  Task<void> keep_shadow(rpc::Caller caller, v1::PinShadowRequest request, rpc::Sink<v1::Shadow> sink) override;
  Task<v1::UnpinShadowReply> drop_shadow(rpc::Caller caller, v1::UnpinShadowRequest request) override;
  Task<void> cutover(rpc::Caller caller, v1::StartCutoverRequest request, rpc::Sink<v1::MoveProgress> sink) override;
  Task<void> migrate(rpc::Caller caller, v1::MigrateRequest request, rpc::Sink<v1::MoveProgress> sink) override;
  Task<void> evacuate(rpc::Caller caller, v1::EvacuateRequest request, rpc::Sink<v1::EvacuateProgress> sink) override;

  Task<v1::Fence> fence_host(rpc::Caller caller, v1::FenceHostRequest request) override;
  Task<v1::UnfenceHostReply> unfence_host(rpc::Caller caller, v1::UnfenceHostRequest request) override;
  Task<v1::ListFencesReply> list_fences(rpc::Caller caller, v1::ListFencesRequest request) override;
  Task<v1::RestartVmReply> restart_vm(rpc::Caller caller, v1::RestartVmRequest request) override;
  Task<v1::ResolveVmReply> resolve_vm(rpc::Caller caller, v1::ResolveVmRequest request) override;

  Task<v1::InviteReply> invite(rpc::Caller caller, v1::InviteRequest request) override;
  Task<v1::Zone> set_zone(rpc::Caller caller, v1::SetZoneRequest request) override;
  Task<v1::Maintenance> add_maintenance(rpc::Caller caller, v1::AddMaintenanceRequest request) override;
  Task<v1::ListMaintenanceReply> list_maintenance(rpc::Caller caller, v1::ListMaintenanceRequest request) override;
  Task<v1::RemoveMaintenanceReply> remove_maintenance(rpc::Caller caller,
                                                      v1::RemoveMaintenanceRequest request) override;
  Task<v1::ImportTelemetryReply> import_telemetry(rpc::Caller caller, v1::ImportTelemetryRequest request) override;

 private:
  void audit(const rpc::Caller& caller, std::string text, EventLog::About about = {});
  /// Why the VM's shadow cannot be on that host; nothing when it can.
  Result<void> check_standby(const VmRecord& record, const std::string& host, std::string remedy) const;
  /// Ends once the VM runs, or soon with an error that says how to start it: its agent tells of a start a moment later.
  Task<void> await_running(std::string vm_uuid);
  Task<void> follow(std::shared_ptr<const Move> move, rpc::Sink<v1::MoveProgress> sink);
  Task<void> follow_shadow(std::string vm_uuid, v1::Tier tier, rpc::Sink<v1::Shadow> sink);

  Core core_;
  std::filesystem::path state_dir_;
};

}  // namespace umbra::controller
