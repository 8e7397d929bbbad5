#include "agentd/services.hpp"

#include <deque>

#include "base/shield.hpp"

namespace umbra::agent {
namespace {

constexpr int kMostSnapshots = 1'000;  // and checkpoints, of one VM
// A phase of a cutover takes milliseconds in which the guests need the cores: its news go out in bundles, with the end
// at the latest.
constexpr std::chrono::milliseconds kBundle{50};

Result<void> check_foreign_xml(const std::string& xml, const virt::ForeignClaim& claim,
                               const virt::ForeignRules& rules) {
  const auto checked = virt::check_foreign(xml, claim, rules);
  if (checked) return {};
  return fail(with_context(checked.error(), fmt::format("{} is not taken as a shadow", claim.name)));
}

/// What this host's libvirt is asked to keep of the VM.
Result<void> check_foreign_definition(const v1::Vm& vm, const v1::KeptDefinition& kept,
                                      const virt::ForeignRules& rules) {
  const virt::ForeignClaim claim{vm.uuid(), vm.name(), vm.tap(), Bytes{vm.memory_bytes()}, false};
  if (kept.snapshots_size() > kMostSnapshots || kept.checkpoints_size() > kMostSnapshots)
    return fail({Errc::kDenied, fmt::format("{} has more than {} snapshots or checkpoints", vm.name(), kMostSnapshots),
                 "delete some: virsh snapshot-list"});
  if (!kept.inactive_xml().empty()) UMBRA_CHECK(check_foreign_xml(kept.inactive_xml(), claim, rules));
  for (const auto* list : {&kept.snapshots(), &kept.checkpoints()})
    for (const auto& xml : *list)
      if (const auto checked = virt::check_foreign_snapshot(xml, claim, rules); !checked)
        return fail(with_context(checked.error(), fmt::format("a snapshot of {} is not taken", vm.name())));
  return {};
}

}  // namespace

Task<v1::StageReply> StandbyApi::stage(rpc::Caller caller, v1::StageRequest request) {
  UMBRA_CO_TRY(auto* standby, host_.standby());
  UMBRA_CO_CHECK(warrants_.allow(caller, request, standby->served(request.vm().uuid())));
  const virt::ForeignClaim claim{request.vm().uuid(), request.vm().name(), request.vm().tap(),
                                 Bytes{request.vm().memory_bytes()}};
  UMBRA_CO_CHECK(check_foreign_xml(request.domain_xml(), claim, rules_));
  request.clear_kept();  // comes with Accept, and is looked at there
  co_return co_await shielded(standby->stage(std::move(request)));
}

Task<v1::AcceptReply> StandbyApi::accept(rpc::Caller caller, v1::AcceptRequest request) {
  UMBRA_CO_TRY(auto* standby, host_.standby());
  UMBRA_CO_CHECK(warrants_.allow(caller, request));
  UMBRA_CO_CHECK(check_foreign_definition(request.vm(), request.kept(), rules_));
  co_return co_await shielded(standby->accept(std::move(request)));
}

Task<v1::ReleasedReply> StandbyApi::released(rpc::Caller caller, v1::ReleasedRequest request) {
  UMBRA_CO_TRY(auto* standby, host_.standby());
  UMBRA_CO_CHECK(warrants_.allow(caller, request));
  co_return co_await shielded(standby->released(std::move(request)));
}

Task<v1::RefuseReply> StandbyApi::refuse(rpc::Caller caller, v1::RefuseRequest request) {
  UMBRA_CO_TRY(auto* standby, host_.standby());
  UMBRA_CO_CHECK(warrants_.allow(caller, request));
  co_return co_await shielded(standby->refuse(std::move(request)));
}

Task<v1::AmendReply> StandbyApi::amend(rpc::Caller caller, v1::AmendRequest request) {
  UMBRA_CO_TRY(auto* standby, host_.standby());
  UMBRA_CO_CHECK(warrants_.allow(caller, request));
  UMBRA_CO_CHECK(check_foreign_definition(request.vm(), request.kept(), rules_));
  UMBRA_CO_CHECK(co_await shielded(standby->amend(std::move(request))));
  co_return v1::AmendReply{};
}

Task<v1::InspectReply> StandbyApi::inspect(rpc::Caller caller, v1::InspectRequest request) {
  UMBRA_CO_TRY(auto* standby, host_.standby());
  UMBRA_CO_CHECK(warrants_.allow(caller, request));
  co_return co_await standby->inspect(std::move(request));
}

Task<v1::DiscardReply> StandbyApi::discard(rpc::Caller caller, v1::DiscardRequest request) {
  UMBRA_CO_TRY(auto* standby, host_.standby());
  UMBRA_CO_CHECK(warrants_.allow(caller, request));
  UMBRA_CO_CHECK(co_await shielded(standby->discard(std::move(request))));
  co_return v1::DiscardReply{};
}

Task<v1::RenewReply> StandbyApi::renew(rpc::Caller caller, v1::RenewRequest request) {
  if (caller.name != request.source())
    co_return fail(Errc::kDenied, "{} cannot renew the shadows of {}", caller.name, request.source());
  UMBRA_CO_TRY(auto* standby, host_.standby());
  co_return co_await shielded(standby->renew(std::move(request)));
}

Task<v1::Shadow> AgentApi::keep_shadow(rpc::Caller caller, v1::KeepShadowRequest request) {
  UMBRA_CO_CHECK(warrants_.allow(caller, request));
  co_return co_await shielded(host_.keep_shadow(std::move(request)));
}

Task<v1::DropShadowReply> AgentApi::drop_shadow(rpc::Caller, v1::DropShadowRequest request) {
  UMBRA_CO_CHECK(co_await host_.drop_shadow(std::move(request)));
  co_return v1::DropShadowReply{};
}

namespace {

/// What a cutover tells while its listener may be slow, or gone.
struct Feed {
  Feed(asio::any_io_executor executor, Clock& clock) : changed(std::move(executor), clock) {}
  std::deque<v1::CutoverProgress> news;
  std::optional<Result<v1::CutoverResult>> end;
  Signal changed;
};

asio::awaitable<void> follow(Host& host, v1::CutoverRequest request, std::shared_ptr<Feed> feed) {
  shadow::Cutover::Progress tell = [feed](const v1::CutoverProgress& progress) {
    feed->news.push_back(progress);
    feed->changed.notify();
  };
  try {
    feed->end = co_await host.cutover(std::move(request), tell);
  } catch (const std::exception& bug) {
    feed->end = fail(Errc::kInternal, "bug: {}", bug.what());
  }
  feed->changed.notify();
}

}  // namespace

Task<void> AgentApi::cutover(rpc::Caller caller, v1::CutoverRequest request, rpc::Sink<v1::CutoverProgress> sink) {
  const auto* vm = host_.vm(request.vm_uuid());
  UMBRA_CO_CHECK(warrants_.allow(caller, request, vm != nullptr ? vm->addresses() : v1::Vm{}.addresses()));
  const auto feed = std::make_shared<Feed>(executor_, clock_);
  asio::co_spawn(executor_, follow(host_, std::move(request), feed), asio::detached);
  while (!feed->end || !feed->news.empty()) {
    while (!feed->end && feed->news.empty()) co_await feed->changed.wait_until(Signal::TimePoint::max());
    const auto due = clock_.steady() + kBundle;
    while (!feed->end && clock_.steady() < due) co_await feed->changed.wait_until(due);
    while (!feed->news.empty()) {
      auto progress = std::move(feed->news.front());
      feed->news.pop_front();
      UMBRA_CO_CHECK(co_await sink.send(std::move(progress)));
    }
  }
  UMBRA_CO_TRY(const auto result, *feed->end);
  v1::CutoverProgress last;
  *last.mutable_result() = result;
  co_return co_await sink.send(std::move(last));
}

Task<v1::LastCutoverReply> AgentApi::last_cutover(rpc::Caller, v1::LastCutoverRequest request) {
  v1::LastCutoverReply reply;
  UMBRA_CO_TRY(*reply.mutable_result(), co_await host_.last_cutover(request.vm_uuid()));
  co_return reply;
}

Task<v1::DiagnoseReply> AgentApi::diagnose(rpc::Caller, v1::DiagnoseRequest) {
  UMBRA_CO_TRY(const auto checks, co_await host_.diagnose());
  v1::DiagnoseReply reply;
  for (const auto& check : checks) *reply.add_checks() = check;
  co_return reply;
}

Task<v1::StartDefinitionReply> AgentApi::start_definition(rpc::Caller, v1::StartDefinitionRequest request) {
  UMBRA_CO_CHECK(co_await shielded(host_.start_definition(std::move(request))));
  co_return v1::StartDefinitionReply{};
}

Task<v1::VmAccount> AgentApi::account(rpc::Caller, v1::AccountRequest request) {
  co_return co_await host_.account(request.vm_uuid());
}

Task<v1::YieldReply> AgentApi::yield(rpc::Caller, v1::YieldRequest request) {
  UMBRA_CO_CHECK(co_await shielded(host_.yield(std::move(request))));
  co_return v1::YieldReply{};
}

Task<v1::ResolveReply> AgentApi::resolve(rpc::Caller, v1::ResolveRequest request) {
  UMBRA_CO_CHECK(co_await shielded(host_.resolve(std::move(request))));
  co_return v1::ResolveReply{};
}

Task<v1::PointReply> NetSwitchApi::point(rpc::Caller caller, v1::PointRequest request) {
  UMBRA_CO_CHECK(warrants_.allow(caller, request));
  UMBRA_CO_CHECK(network_.point(request));
  co_return v1::PointReply{};
}

Task<v1::UnpointReply> NetSwitchApi::unpoint(rpc::Caller caller, v1::UnpointRequest request) {
  UMBRA_CO_CHECK(warrants_.allow(caller, request));
  UMBRA_CO_CHECK(network_.unpoint(request));
  co_return v1::UnpointReply{};
}

Task<v1::ReconcileReply> NetSwitchApi::reconcile(rpc::Caller caller, v1::ReconcileRequest request) {
  UMBRA_CO_CHECK(warrants_.allow(caller, request));
  co_return network_.reconcile(request);
}

}  // namespace umbra::agent
