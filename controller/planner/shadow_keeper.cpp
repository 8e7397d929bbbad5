#include "controller/planner/shadow_keeper.hpp"

#include "controller/words.hpp"
#include "umbra/v1/agent.rpc.hpp"

namespace umbra::controller {
namespace {

using namespace std::chrono_literals;

constexpr Deadline kCall = 20s;  // the agent asks libvirt before it admits a wish
constexpr auto kPatience = 5s;   // before an accepted wish that no report shows is sent again
constexpr auto kArrival = 2s;    // a guest that has just moved has its hosts for itself
constexpr unsigned kMostLosses = 3;

bool exists(const v1::Shadow& shadow) {
  return shadow.phase() != v1::SHADOW_PHASE_PROFILE && shadow.phase() != v1::SHADOW_PHASE_MOVED &&
         shadow.phase() != v1::SHADOW_PHASE_DROPPED;
}

}  // namespace

bool ShadowKeeper::fulfilled(const VmRecord& record, const ShadowWish& wish) const {
  const auto& shadow = record.shadow;
  if (wish.standby.empty()) return !shadow || !exists(*shadow);
  return shadow && exists(*shadow) && shadow->standby() == wish.standby && shadow->tier() == wish.tier &&
         !warrants_.due(shadow->warrant_until_unix_ms()) &&
         (wish.refresh_interval_ms == 0 || shadow->refresh_interval_ms() == wish.refresh_interval_ms);
}

void ShadowKeeper::wish(const std::string& vm_uuid, const ShadowWish& wish) {
  const auto* record = inventory_.vm(vm_uuid);
  if (record == nullptr) {
    states_.erase(vm_uuid);
    return;
  }
  auto& state = states_[vm_uuid];
  if (state.owner != record->host) {
    if (!state.owner.empty()) state.not_before = clock_.steady() + kArrival;
    state.owner = record->host;
  }
  if (!(state.wish == wish)) {
    state.wish = wish;
    state.progress = {};
  }
  if (fulfilled(*record, wish)) {
    if (record->shadow && record->shadow->phase() >= v1::SHADOW_PHASE_WARM) state.progress.losses = 0;
    return;
  }
  if (state.busy || clock_.steady() < state.not_before || !inventory_.session(record->host)) return;
  const bool asked = state.progress.asked_at != TimePoint{};
  if (asked && clock_.steady() - state.progress.asked_at < kPatience) return;
  if (asked && record->shadow && record->shadow->phase() == v1::SHADOW_PHASE_DROPPED &&
      ++state.progress.losses >= kMostLosses)
    fail_there(vm_uuid, state,
               {Errc::kUnavailable,
                fmt::format("its shadow on {} is lost again and again: {}", wish.standby, record->shadow->detail()),
                fmt::format("see umbra-agentd's log on {}", wish.standby)});
  state.busy = true;
  tasks_.spawn(ask(vm_uuid, wish));
}

void ShadowKeeper::begin_afresh(const std::string& vm_uuid) {
  const auto found = states_.find(vm_uuid);
  if (found == states_.end()) return;
  found->second.progress = {};
}

std::optional<Error> ShadowKeeper::last_failure(const std::string& vm_uuid) const {
  const auto found = states_.find(vm_uuid);
  return found == states_.end() ? std::nullopt : found->second.progress.failure;
}

asio::awaitable<void> ShadowKeeper::ask(std::string vm_uuid, ShadowWish wish) {
  const auto answer = co_await call(vm_uuid, wish);
  const auto found = states_.find(vm_uuid);
  if (found == states_.end()) co_return;
  auto& state = found->second;
  state.busy = false;
  if (!(state.wish == wish)) co_return;  // another is wanted by now
  state.progress.asked_at = clock_.steady();
  if (answer)
    state.progress.failure.reset();
  else
    fail_there(vm_uuid, state, answer.error());
  inventory_.changed().notify();
}

Task<void> ShadowKeeper::call(std::string vm_uuid, ShadowWish wish) {
  const auto* record = inventory_.vm(vm_uuid);
  if (record == nullptr) co_return Result<void>{};
  UMBRA_CO_TRY(auto session, inventory_.session(record->host));
  v1::AgentClient agent(session);
  if (wish.standby.empty()) {
    v1::DropShadowRequest drop;
    drop.set_vm_uuid(vm_uuid);
    drop.set_why("it is not wanted any more");
    UMBRA_CO_CHECK(co_await agent.drop_shadow(std::move(drop), kCall));
    co_return Result<void>{};
  }
  const auto* standby = inventory_.node(wish.standby);
  if (standby == nullptr)
    co_return fail({Errc::kNotFound, fmt::format("no host '{}'", wish.standby), "see umbractl hosts"});
  v1::KeepShadowRequest keep;
  keep.set_vm_uuid(vm_uuid);
  *keep.mutable_standby() = standby->node;
  keep.set_tier(wish.tier);
  keep.set_refresh_interval_ms(wish.refresh_interval_ms);
  UMBRA_CO_TRY(*keep.mutable_warrant(), warrants_.shadow(*record, standby->node));
  UMBRA_CO_CHECK(co_await agent.keep_shadow(std::move(keep), kCall));
  co_return Result<void>{};
}

void ShadowKeeper::fail_there(const std::string& vm_uuid, State& state, Error why) {
  const auto* record = inventory_.vm(vm_uuid);
  const auto name = record != nullptr ? record->vm.name() : vm_uuid;
  const auto wanted = state.wish.standby.empty()
                          ? std::string("the shadow cannot be dropped")
                          : fmt::format("tier {} on {} cannot be kept", tier_name(state.wish.tier), state.wish.standby);
  if (!state.progress.failure || state.progress.failure->message != why.message)
    events_.add(v1::EVENT_KIND_SHADOW, v1::SEVERITY_WARNING, fmt::format("{}: {}", wanted, why),
                {state.wish.standby, name});
  state.progress.failure = why;
  state.progress.losses = 0;
  if (!state.wish.standby.empty()) failed_(vm_uuid, state.wish.standby, why);
}

}  // namespace umbra::controller
