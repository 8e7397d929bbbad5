#include <algorithm>
#include <cmath>

#include "controller/api/fleet_service.hpp"
#include "controller/api/tidy.hpp"
#include "controller/api/views.hpp"

namespace umbra::controller {
namespace {

constexpr int kMostSamples = 5000;
constexpr UnixMillis kClockSkew = 60'000;  // that a sample may seem to come from the future
constexpr double kMostValue = 1e18;        // of any metric: what is more is no measurement

Result<TelemetryPoint> read_sample(const Inventory& inventory, const v1::TelemetrySample& sample, UnixMillis now) {
  UMBRA_TRY(const auto* record, find_vm(inventory, sample.vm()));
  const auto metric = std::ranges::find(kMetrics, sample.metric());
  if (metric == kMetrics.end())
    return fail({Errc::kInvalid, fmt::format("no metric '{}'", sample.metric()),
                 fmt::format("known are {}", fmt::join(kMetrics, ", "))});
  if (sample.at_unix_ms() <= 0 || sample.at_unix_ms() > now + kClockSkew)
    return fail({Errc::kInvalid, fmt::format("its time, {} ms since 1970, is not in the past", sample.at_unix_ms()),
                 "correct the timestamp"});
  if (!std::isfinite(sample.value()) || sample.value() < 0 || sample.value() > kMostValue)
    return fail({Errc::kInvalid,
                 fmt::format("its value {} is not a number from 0 to {:.0e}", sample.value(), kMostValue),
                 "correct or leave it out"});
  return TelemetryPoint{record->vm.uuid(), *metric, sample.at_unix_ms(), sample.value()};
}

}  // namespace

Task<v1::Zone> FleetService::set_zone(rpc::Caller caller, v1::SetZoneRequest request) {
  UMBRA_CO_CHECK(check_texts(request));
  const auto known = core_.zones.list(core_.inventory);
  const auto is_it = [&](const v1::Zone& zone) { return zone.name() == request.zone(); };
  if (std::ranges::none_of(known, is_it))
    co_return fail({Errc::kNotFound, fmt::format("no zone '{}'", request.zone()), "see umbractl zones"});
  UMBRA_CO_CHECK(core_.zones.set({request.zone(), request.health(), request.reason(), caller.name}));
  audit(caller, fmt::format("zone {}: health set to {:.2f}{}{}", request.zone(), request.health(),
                            request.reason().empty() ? "" : ", ", request.reason()));
  core_.pilot.nudge();
  const auto zones = core_.zones.list(core_.inventory);
  co_return *std::ranges::find_if(zones, is_it);
}

Task<v1::Maintenance> FleetService::add_maintenance(rpc::Caller caller, v1::AddMaintenanceRequest request) {
  UMBRA_CO_CHECK(check_texts(request));
  auto window = request.window();
  UMBRA_CO_CHECK(check_host_or_zone(core_.inventory, window.host_or_zone()));
  if (window.ends_unix_ms() <= window.begins_unix_ms() || window.ends_unix_ms() <= core_.clock.unix_ms())
    co_return fail({Errc::kInvalid, "the window ends before it begins, or is over already",
                    "give an end (--ends, or --for its length) that is after --begins and in the future"});
  UMBRA_CO_TRY(const auto id, core_.store.wishes.add_maintenance(window));
  window.set_id(id);
  audit(caller, fmt::format("maintenance {} of {} added{}{}", id, window.host_or_zone(),
                            window.reason().empty() ? "" : ": ", window.reason()));
  core_.pilot.nudge();
  co_return window;
}

Task<v1::ListMaintenanceReply> FleetService::list_maintenance(rpc::Caller, v1::ListMaintenanceRequest) {
  UMBRA_CO_TRY(auto windows, core_.store.wishes.maintenance(core_.clock.unix_ms()));
  v1::ListMaintenanceReply reply;
  for (auto& window : windows) *reply.add_windows() = std::move(window);
  co_return reply;
}

Task<v1::RemoveMaintenanceReply> FleetService::remove_maintenance(rpc::Caller caller,
                                                                  v1::RemoveMaintenanceRequest request) {
  UMBRA_CO_CHECK(core_.store.wishes.remove_maintenance(request.id()));
  audit(caller, fmt::format("maintenance {} removed", request.id()));
  core_.pilot.nudge();
  co_return v1::RemoveMaintenanceReply{};
}

Task<v1::ImportTelemetryReply> FleetService::import_telemetry(rpc::Caller caller, v1::ImportTelemetryRequest request) {
  if (request.samples_size() > kMostSamples)
    co_return fail({Errc::kInvalid, fmt::format("{} samples in one batch", request.samples_size()),
                    fmt::format("send at most {} at once", kMostSamples)});
  std::vector<TelemetryPoint> points;
  std::set<std::string> vms;
  for (int i = 0; i < request.samples_size(); ++i) {
    auto point = read_sample(core_.inventory, request.samples(i), core_.clock.unix_ms());
    if (!point)
      co_return fail(with_context(point.error(), fmt::format("sample {}, nothing of the batch was stored", i + 1)));
    vms.emplace(point->vm_uuid);
    points.push_back(*point);
  }
  UMBRA_CO_TRY(const auto added, core_.store.telemetry.add(points));
  for (const auto& vm : vms) core_.demand.history_changed(vm);
  audit(caller, fmt::format("telemetry import: {} samples of {} VMs", added.stored, vms.size()));
  core_.pilot.nudge();
  v1::ImportTelemetryReply reply;
  reply.set_stored(added.stored);
  reply.set_replaced(added.replaced);
  co_return reply;
}

Task<v1::InviteReply> FleetService::invite(rpc::Caller caller, v1::InviteRequest request) {
  UMBRA_CO_CHECK(check_texts(request));
  auto reply = core_.enrolment.invite(request);
  if (reply)
    audit(caller, fmt::format("invite as {} of zone {}", rpc::role_name(request.role()), request.zone()),
          {request.name(), ""});
  co_return reply;
}

}  // namespace umbra::controller
