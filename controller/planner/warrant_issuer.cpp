#include "controller/planner/warrant_issuer.hpp"

namespace umbra::controller {

v1::WarrantStatement WarrantIssuer::statement(const VmRecord& record, const v1::Node& standby,
                                              Milliseconds validity) const {
  v1::WarrantStatement statement;
  statement.set_vm_uuid(record.vm.uuid());
  statement.set_vm_name(record.vm.name());
  *statement.mutable_addresses() = record.vm.addresses();
  statement.set_source(record.host);
  statement.set_standby(standby.name());
  statement.set_standby_underlay_address(standby.underlay_address());
  statement.set_issued_at_unix_ms(clock_.unix_ms());
  statement.set_not_after_unix_ms(clock_.unix_ms() + validity.count());
  return statement;
}

Result<v1::Warrant> WarrantIssuer::shadow(const VmRecord& record, const v1::Node& standby) const {
  auto warrant = statement(record, standby, kShadowValidity);
  warrant.set_kind(v1::WARRANT_KIND_SHADOW);
  warrant.set_epoch(record.owner_epoch);
  for (const auto act : {v1::WARRANT_ACT_STAGE, v1::WARRANT_ACT_INSPECT, v1::WARRANT_ACT_DISCARD})
    warrant.add_acts(act);
  return sign_(std::move(warrant));
}

Result<v1::Warrant> WarrantIssuer::cutover(const VmRecord& record, const v1::CutoverRequest& request) const {
  auto warrant = statement(record, request.standby(), kCutoverValidity);
  warrant.set_kind(v1::WARRANT_KIND_CUTOVER);
  warrant.set_epoch(request.epoch());
  for (const auto& router : request.routers()) warrant.add_routers(router.name());
  for (const auto act :
       {v1::WARRANT_ACT_ACCEPT, v1::WARRANT_ACT_RELEASE, v1::WARRANT_ACT_REFUSE, v1::WARRANT_ACT_INSPECT,
        v1::WARRANT_ACT_DISCARD, v1::WARRANT_ACT_POINT, v1::WARRANT_ACT_UNPOINT})
    warrant.add_acts(act);
  return sign_(std::move(warrant));
}

}  // namespace umbra::controller
