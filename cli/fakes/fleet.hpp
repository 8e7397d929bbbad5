/// A controller for umbractl's tests: a small fleet in memory behind the real Fleet service, wire and TLS.
#pragma once

#include <deque>
#include <future>
#include <map>
#include <set>
#include <thread>
#include <tuple>

#include "rpc/server.hpp"
#include "umbra/v1/controller.rpc.hpp"

namespace umbra::cli {

inline constexpr std::uint64_t kFakeMemory = std::uint64_t{256} << 20;  ///< of each VM
inline constexpr std::int64_t kFakeNow = 1'777'636'800'000;             ///< when all of it happens

/// Two hosts in two zones; `web1` and `db1` run on host1. Shadows warm up in a few steps, cutovers move a VM to its
/// shadow. Its errors read as the controller's, whose tests (controller/tests/) hold it to the same words. One thread:
/// the server's.
class FakeFleet final : public v1::FleetService {
 public:
  explicit FakeFleet(asio::any_io_executor executor);

  /// How the next moves end; what is not moved stays where it is.
  v1::Outcome move_outcome = v1::OUTCOME_MOVED;
  std::string move_detail = "the standby did not accept in time";  ///< of a move that did not end moved
  /// The connection breaks in the middle of the next moves.
  bool breaks_during_moves = false;
  bool healthy = true;  ///< of doctor's checks
  std::map<std::tuple<std::string, std::string, std::int64_t>, double> telemetry;
  std::vector<int> batches;  ///< sizes of ImportTelemetry's requests

  std::string check_detail;      ///< of doctor's check, when given
  std::vector<v1::Event> audit;  ///< what ListAudit looks through; pages of two

  /// The host is down, and what runs there in an unknown state, with the samples of before.
  void lose(const std::string& host);
  /// The VM is this account's; the VM cannot have a shadow.
  void own(const std::string& vm, const std::string& account);
  void refuse(const std::string& vm, const std::string& why);
  /// Puts a text wherever the controller would show one that others wrote; web1 is still found by its old name.
  void forge(const std::string& text);
  /// Adds an event and wakes who follows.
  void happen(v1::EventKind kind, std::string vm, std::string text, std::string node = {},
              v1::Severity severity = v1::SEVERITY_INFO);

  Task<v1::ListHostsReply> list_hosts(rpc::Caller, v1::ListHostsRequest) override;
  Task<v1::ListVmsReply> list_vms(rpc::Caller, v1::ListVmsRequest) override;
  Task<v1::ListZonesReply> list_zones(rpc::Caller, v1::ListZonesRequest) override;
  Task<v1::ListShadowsReply> list_shadows(rpc::Caller, v1::ListShadowsRequest) override;
  Task<void> watch_events(rpc::Caller, v1::WatchEventsRequest, rpc::Sink<v1::Event>) override;
  Task<v1::ListAuditReply> list_audit(rpc::Caller, v1::ListAuditRequest) override;
  Task<v1::WhyReply> why(rpc::Caller, v1::WhyRequest) override;
  Task<v1::ForecastReply> forecast(rpc::Caller, v1::ForecastRequest) override;
  Task<v1::DoctorReply> doctor(rpc::Caller, v1::DoctorRequest) override;
  Task<v1::GetVersionReply> get_version(rpc::Caller, v1::GetVersionRequest) override;
  Task<void> keep_shadow(rpc::Caller, v1::PinShadowRequest, rpc::Sink<v1::Shadow>) override;
  Task<v1::UnpinShadowReply> drop_shadow(rpc::Caller, v1::UnpinShadowRequest) override;
  Task<void> cutover(rpc::Caller, v1::StartCutoverRequest, rpc::Sink<v1::MoveProgress>) override;
  Task<void> migrate(rpc::Caller, v1::MigrateRequest, rpc::Sink<v1::MoveProgress>) override;
  Task<void> evacuate(rpc::Caller, v1::EvacuateRequest, rpc::Sink<v1::EvacuateProgress>) override;
  Task<v1::Fence> fence_host(rpc::Caller, v1::FenceHostRequest) override;
  Task<v1::InviteReply> invite(rpc::Caller, v1::InviteRequest) override;
  Task<v1::UnfenceHostReply> unfence_host(rpc::Caller, v1::UnfenceHostRequest) override;
  Task<v1::ListFencesReply> list_fences(rpc::Caller, v1::ListFencesRequest) override;
  Task<v1::RestartVmReply> restart_vm(rpc::Caller, v1::RestartVmRequest) override;
  Task<v1::ResolveVmReply> resolve_vm(rpc::Caller, v1::ResolveVmRequest) override;
  Task<v1::Zone> set_zone(rpc::Caller, v1::SetZoneRequest) override;
  Task<v1::Maintenance> add_maintenance(rpc::Caller, v1::AddMaintenanceRequest) override;
  Task<v1::ListMaintenanceReply> list_maintenance(rpc::Caller, v1::ListMaintenanceRequest) override;
  Task<v1::RemoveMaintenanceReply> remove_maintenance(rpc::Caller, v1::RemoveMaintenanceRequest) override;
  Task<v1::ImportTelemetryReply> import_telemetry(rpc::Caller, v1::ImportTelemetryRequest) override;

 private:
  Result<v1::VmView*> find_vm(const std::string& name_or_uuid);
  Result<void> check_host(const std::string& name) const;
  Result<void> check_host_or_zone(const std::string& name) const;
  /// Moves a VM to `to` and says how it ended.
  v1::CutoverResult move(v1::VmView& view, const std::string& to, const std::string& reason);

  std::map<std::string, v1::Host> hosts_;
  std::map<std::string, v1::VmView> vms_;
  std::map<std::string, v1::Zone> zones_;
  std::map<std::uint64_t, v1::Maintenance> windows_;
  std::deque<v1::Event> events_;
  asio::steady_timer news_;  ///< never fires; cancelled to wake followers
  std::uint64_t last_window_ = 0;
};

/// Serves a FakeFleet on a free port of 127.0.0.1, on a thread of its own, until destroyed.
class FakeController {
 public:
  explicit FakeController(rpc::Tls tls);
  ~FakeController();

  std::string address() const { return address_; }
  /// Runs `work` on the server's thread and waits for it.
  template <class Work>
  auto on_loop(Work work) {
    std::packaged_task<decltype(work(std::declval<FakeFleet&>()))()> task([&] { return work(*fleet_); });
    auto done = task.get_future();
    asio::post(io_, [&] { task(); });
    return done.get();
  }

 private:
  asio::io_context io_{1};
  std::shared_ptr<FakeFleet> fleet_;
  std::unique_ptr<rpc::Server> server_;
  std::string address_;
  std::thread thread_;
};

}  // namespace umbra::cli
