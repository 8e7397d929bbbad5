#include <spdlog/spdlog.h>

#include "controller/api/evacuate.hpp"
#include "controller/api/fleet_service.hpp"
#include "controller/api/tidy.hpp"
#include "controller/api/views.hpp"
#include "controller/planner/standstill.hpp"
#include "controller/words.hpp"

namespace umbra::controller {
namespace {

using namespace std::chrono_literals;

constexpr auto kLook = 500ms;
constexpr Milliseconds kLongestInterval = 24h;  // between two refreshes
constexpr auto kLateNews = 1s;                  // that a VM was started

bool reached(const v1::Shadow& shadow, v1::Tier tier) {
  switch (shadow.phase()) {
    case v1::SHADOW_PHASE_STAGED:
    case v1::SHADOW_PHASE_PRECOPY:
      return tier <= v1::TIER_STAGED;
    case v1::SHADOW_PHASE_WARM:
      return tier <= v1::TIER_WARM;
    case v1::SHADOW_PHASE_HOT:
      return true;
    default:
      return false;
  }
}

/// Who waited learns that it is tried on.
Error stays_pinned(Error error, const std::string& vm) {
  error.remedy = fmt::format("{}{}it stays pinned until umbractl shadow drop {}", error.remedy,
                             error.remedy.empty() ? "" : "; ", vm);
  return error;
}

}  // namespace

Result<void> FleetService::check_standby(const VmRecord& record, const std::string& host, std::string remedy) const {
  UMBRA_CHECK(find_host(core_.inventory, host));
  const auto picture = core_.pilot.picture();
  const auto reason =
      objection(picture, {&picture.vms.at(record.vm.uuid())}, picture.hosts.at(host), {}, core_.brain.settings());
  if (reason.empty()) return {};
  return fail(
      {Errc::kConflict, fmt::format("{} cannot take {}: it {}", host, record.vm.name(), reason), std::move(remedy)});
}

Task<void> FleetService::await_running(std::string vm_uuid) {
  const auto until = core_.clock.steady() + kLateNews;
  while (true) {
    const auto* record = core_.inventory.vm(vm_uuid);
    if (record == nullptr) co_return fail({Errc::kNotFound, "the VM is gone", "see umbractl vms"});
    auto runs = core_.inventory.check_runs(*record);
    if (runs || core_.clock.steady() >= until) co_return runs;
    co_await core_.inventory.changed().wait_until(until);
  }
}

Task<void> FleetService::keep_shadow(rpc::Caller caller, v1::PinShadowRequest request, rpc::Sink<v1::Shadow> sink) {
  UMBRA_CO_CHECK(check_texts(request));
  UMBRA_CO_TRY(const auto* record, find_vm(core_.inventory, request.vm()));
  const auto uuid = record->vm.uuid();
  const auto name = record->vm.name();
  const auto tier = request.tier() == v1::TIER_UNSPECIFIED ? v1::TIER_WARM : request.tier();
  if (tier < v1::TIER_STAGED || tier > v1::TIER_HOT)
    co_return fail({Errc::kInvalid, "that tier cannot be kept", "staged, warm or hot; umbractl shadow drop for none"});
  if (request.refresh_interval_ms() < 0)
    co_return fail({Errc::kInvalid, "the refresh interval is negative", "leave it out for the agent's own"});
  if (Milliseconds(request.refresh_interval_ms()) > kLongestInterval)
    co_return fail({Errc::kInvalid, "the refresh interval is longer than a day", "leave it out for the agent's own"});
  if (!record->refusal().empty())
    co_return fail(Errc::kUnsupported, "{} cannot have a shadow: {}", name, record->refusal());
  UMBRA_CO_CHECK(core_.inventory.check_owned(*record));
  UMBRA_CO_CHECK(co_await await_running(uuid));
  UMBRA_CO_TRY(record, find_vm(core_.inventory, uuid));
  if (record->moving())
    co_return fail(
        {Errc::kConflict, fmt::format("{} is moving to {}", name, record->moving_to), "wait for the move to end"});
  if (!request.to().empty())
    UMBRA_CO_CHECK(
        check_standby(*record, request.to(), "name another host, or leave --to out to let the controller choose"));
  core_.keeper.begin_afresh(uuid);
  core_.brain.begin_afresh(uuid);
  UMBRA_CO_CHECK(core_.pilot.set_pin({uuid, request.to(), tier, request.refresh_interval_ms()}));
  audit(caller,
        fmt::format("shadow keep{}{}, tier {}", request.to().empty() ? "" : " on ", request.to(), tier_name(tier)),
        {"", name});
  core_.pilot.nudge();
  if (request.wait()) co_return co_await follow_shadow(uuid, tier, sink);
  v1::Shadow wished;
  wished.set_vm_uuid(uuid);
  wished.set_vm_name(name);
  wished.set_source(record->host);
  wished.set_standby(request.to());
  wished.set_tier(tier);
  co_return co_await sink.send(std::move(wished));
}

Task<void> FleetService::follow_shadow(std::string vm_uuid, v1::Tier tier, rpc::Sink<v1::Shadow> sink) {
  std::string shown;
  Standstill standstill(core_.clock, core_.inventory.heartbeat().interval);
  while (true) {
    const auto* record = core_.inventory.vm(vm_uuid);
    if (record == nullptr) co_return fail({Errc::kNotFound, "the VM is gone", "see umbractl vms"});
    if (core_.pilot.pin(vm_uuid) == nullptr)
      co_return fail({Errc::kCancelled, "the shadow was dropped", "umbractl events tells by whom"});
    const auto* assessment = core_.brain.assessment(vm_uuid);
    if (assessment != nullptr && record->shadow && record->shadow->standby() == assessment->standby) {
      auto shadow = *record->shadow;
      const bool done = reached(shadow, tier);
      if (auto bytes = shadow.SerializeAsString(); bytes != shown) {
        shown = std::move(bytes);
        UMBRA_CO_CHECK(co_await sink.send(std::move(shadow)));
      }
      if (done) co_return Result<void>{};
    }
    if (auto failure = core_.keeper.last_failure(vm_uuid))
      co_return fail(stays_pinned(std::move(*failure), record->vm.name()));
    auto hindered = standstill.look(record->shadow ? &*record->shadow : nullptr, record->vm.name());
    if (assessment != nullptr && assessment->obstacle)
      hindered = fail(with_context(*assessment->obstacle, record->vm.name()));
    if (!hindered) co_return fail(stays_pinned(std::move(hindered).error(), record->vm.name()));
    co_await core_.inventory.changed().wait_until(core_.clock.steady() + kLook);
  }
}

Task<v1::UnpinShadowReply> FleetService::drop_shadow(rpc::Caller caller, v1::UnpinShadowRequest request) {
  UMBRA_CO_TRY(const auto* record, find_vm(core_.inventory, request.vm()));
  const auto uuid = record->vm.uuid();
  if (record->moving())
    co_return fail({Errc::kConflict, fmt::format("{} is moving to it", record->vm.name()), "wait for the move to end"});
  UMBRA_CO_TRY(const bool pinned, core_.pilot.remove_pin(uuid));
  const bool has_one = record->shadow && record->shadow->phase() != v1::SHADOW_PHASE_DROPPED;
  if (!pinned && !has_one)
    co_return fail({Errc::kNotFound, fmt::format("{} has no shadow", record->vm.name()), "see umbractl shadows"});
  audit(caller, "shadow drop", {"", record->vm.name()});
  // The newest decision would otherwise go on to say that it is pinned.
  v1::Decision decision;
  decision.set_at_unix_ms(core_.clock.unix_ms());
  decision.set_vm(record->vm.name());
  decision.set_action("drop its shadow");
  decision.set_reason(fmt::format("asked by {}{}", caller.name, pinned ? "; it is not pinned any more" : ""));
  if (const auto id = core_.store.log.add_decision(uuid, decision); !id)
    spdlog::error("a decision could not be stored: {}", id.error());
  core_.brain.dropped(uuid, core_.clock.steady());
  core_.keeper.wish(uuid, {});
  core_.pilot.nudge();
  co_return v1::UnpinShadowReply{};
}

Task<void> FleetService::cutover(rpc::Caller caller, v1::StartCutoverRequest request,
                                 rpc::Sink<v1::MoveProgress> sink) {
  UMBRA_CO_CHECK(check_texts(request));
  UMBRA_CO_TRY(const auto* record, find_vm(core_.inventory, request.vm()));
  const auto reason = request.reason().empty() ? fmt::format("asked by {}", caller.name) : request.reason();
  const auto name = record->vm.name();
  const Mover::Note note = [this, caller, name, told = std::make_shared<bool>(false)](const Move& ordered) {
    if (!std::exchange(*told, true)) audit(caller, fmt::format("cutover to {}", ordered.to), {"", name});
  };
  UMBRA_CO_TRY(const auto move, core_.mover.cutover(record->vm.uuid(), reason, caller.name, note));
  note(*move);  // has been called, unless the order could not go out at once
  co_return co_await follow(move, sink);
}

Task<void> FleetService::migrate(rpc::Caller caller, v1::MigrateRequest request, rpc::Sink<v1::MoveProgress> sink) {
  UMBRA_CO_CHECK(check_texts(request));
  UMBRA_CO_TRY(const auto* record, find_vm(core_.inventory, request.vm()));
  const auto name = record->vm.name();
  if (!record->refusal().empty()) co_return fail(Errc::kUnsupported, "{} cannot be moved: {}", name, record->refusal());
  UMBRA_CO_CHECK(core_.inventory.check_owned(*record));
  if (record->host != request.to())
    UMBRA_CO_CHECK(check_standby(*record, request.to(), "name another host; umbractl hosts shows what they have free"));
  const auto reason = request.reason().empty() ? fmt::format("asked by {}", caller.name) : request.reason();
  UMBRA_CO_TRY(const auto move, core_.mover.migrate(record->vm.uuid(), request.to(), reason, caller.name));
  audit(caller, fmt::format("migrate to {}", request.to()), {"", name});
  co_return co_await follow(move, sink);
}

Task<void> FleetService::follow(std::shared_ptr<const Move> move, rpc::Sink<v1::MoveProgress> sink) {
  std::uint64_t seen = 0;
  while (!move->end) {
    if (auto undecided = core_.mover.undecided(*move)) {
      v1::MoveProgress last;
      last.set_vm(move->vm);
      *last.mutable_result() = *undecided;
      co_return co_await sink.send(std::move(last));
    }
    if (std::exchange(seen, move->news) != move->news) UMBRA_CO_CHECK(co_await sink.send(move->progress));
    if (!move->end && seen == move->news) co_await core_.mover.changed().wait_until(core_.clock.steady() + kLook);
  }
  UMBRA_CO_TRY(const auto result, *move->end);
  v1::MoveProgress last;
  last.set_vm(move->vm);
  *last.mutable_result() = result;
  co_return co_await sink.send(std::move(last));
}

Task<void> FleetService::evacuate(rpc::Caller caller, v1::EvacuateRequest request,
                                  rpc::Sink<v1::EvacuateProgress> sink) {
  UMBRA_CO_CHECK(check_texts(request));
  UMBRA_CO_TRY(auto plan, plan_evacuation(core_.pilot.picture(), request.host_or_zone(), core_.brain.settings()));
  v1::EvacuateProgress first;
  for (const auto& planned : plan) *first.add_plan() = planned;
  UMBRA_CO_CHECK(co_await sink.send(std::move(first)));
  if (request.dry_run()) co_return Result<void>{};

  audit(caller, fmt::format("evacuate {}: {} VMs", request.host_or_zone(), plan.size()));
  const auto reason =
      request.reason().empty() ? fmt::format("evacuation of {}", request.host_or_zone()) : request.reason();
  auto evacuation = core_.evacuator.start(std::move(plan), reason, caller.name);
  co_return co_await controller::follow(core_, std::move(evacuation), std::move(sink));
}

}  // namespace umbra::controller
