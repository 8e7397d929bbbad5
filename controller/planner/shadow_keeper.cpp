#include "controller/planner/shadow_keeper.hpp"

#include "controller/words.hpp"
#include "umbra/v1/agent.rpc.hpp"

namespace umbra::controller {
namespace {

using namespace std::chrono_literals;

constexpr Deadline kCall = 20s;      // the agent asks libvirt before it admits a wish
constexpr unsigned kReports = 5;     // before an accepted wish that none of them shows is sent again
constexpr auto kLongestPause = 60s;  // between attempts that fail; an agent's own pauses grow as long
constexpr auto kTellAgain = 10min;
constexpr auto kArrival = 2s;  // a guest that has just moved has its hosts for itself
constexpr unsigned kMostLosses = 3;

bool exists(const v1::Shadow& shadow) {
  return shadow.phase() != v1::SHADOW_PHASE_PROFILE && shadow.phase() != v1::SHADOW_PHASE_MOVED &&
         shadow.phase() != v1::SHADOW_PHASE_DROPPED;
}

bool reached(const VmRecord& record, const ShadowWish& wish) {
  if (wish.standby.empty()) return true;
  const auto phase = record.shadow->phase();
  return phase >= v1::SHADOW_PHASE_WARM || (wish.tier == v1::TIER_STAGED && phase == v1::SHADOW_PHASE_STAGED);
}

/// It was begun and ended, or could not even be begun.
bool lost(const v1::Shadow& shadow) {
  return shadow.phase() == v1::SHADOW_PHASE_DROPPED ||
         (shadow.phase() == v1::SHADOW_PHASE_PROFILE && !shadow.detail().empty());
}

}  // namespace

Milliseconds ShadowKeeper::pause_after(unsigned failures) const {
  const Milliseconds first = inventory_.heartbeat().interval * kReports;
  return std::max(first, std::min<Milliseconds>(kLongestPause, first * (1U << std::min(failures, 10U))));
}

bool ShadowKeeper::fulfilled(const VmRecord& record, const ShadowWish& wish) const {
  const auto& shadow = record.shadow;
  if (wish.standby.empty()) return !shadow || !exists(*shadow);
  return shadow && exists(*shadow) && shadow->standby() == wish.standby && shadow->tier() == wish.tier &&
         !warrants_.due(shadow->warrant_until_unix_ms()) &&
         (wish.refresh_interval_ms == 0 || shadow->refresh_interval_ms() == wish.refresh_interval_ms);
}

bool ShadowKeeper::knows_routers(const VmRecord& record, const State& state) const {
  if (state.wish.tier != v1::TIER_HOT || state.wish.standby.empty()) return true;
  const auto session = inventory_.session(record.host);
  if (!session || state.told_over.lock() != *session) return false;
  return std::ranges::equal(inventory_.routers(record.host, state.wish.standby), state.routers, {},
                            &v1::Node::SerializeAsString, &v1::Node::SerializeAsString);
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
  if (fulfilled(*record, wish) && knows_routers(*record, state)) {
    if (!reached(*record, wish)) return;
    state.progress.losses = state.progress.failures = 0;
    state.progress.failure.reset();
    state.told.erase(wish.standby);
    return;
  }
  if (state.busy || clock_.steady() < state.not_before || !inventory_.session(record->host)) return;
  const bool asked = state.progress.asked_at != TimePoint{};
  if (asked && clock_.steady() - state.progress.asked_at < pause_after(state.progress.failures)) return;
  const bool lost_again = asked && record->shadow && lost(*record->shadow);
  // Once that is known, another cause is told at once: it may name what a person can do.
  if (lost_again && (++state.progress.losses >= kMostLosses || state.progress.failures > 0))
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
  if (!answer) fail_there(vm_uuid, state, answer.error());
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
  std::vector<v1::Node> routers;
  if (wish.tier == v1::TIER_HOT) routers = inventory_.routers(record->host, wish.standby);
  for (const auto& router : routers) *keep.add_routers() = router;
  UMBRA_CO_CHECK(co_await agent.keep_shadow(std::move(keep), kCall));
  if (const auto found = states_.find(vm_uuid); found != states_.end()) {
    found->second.told_over = session;
    found->second.routers = std::move(routers);
  }
  co_return Result<void>{};
}

void ShadowKeeper::fail_there(const std::string& vm_uuid, State& state, Error why) {
  const auto* record = inventory_.vm(vm_uuid);
  const auto name = record != nullptr ? record->vm.name() : vm_uuid;
  const auto wanted = state.wish.standby.empty()
                          ? std::string("the shadow cannot be dropped")
                          : fmt::format("tier {} on {} cannot be kept", tier_name(state.wish.tier), state.wish.standby);
  const auto now = clock_.steady();
  if (auto& told = state.told[state.wish.standby]; told.what != why.message || now - told.at >= kTellAgain) {
    told = {why.message, now};
    events_.add(v1::EVENT_KIND_SHADOW, v1::SEVERITY_WARNING, fmt::format("{}: {}", wanted, why),
                {state.wish.standby, name});
  }
  state.progress.failure = why;
  ++state.progress.failures;
  state.progress.losses = 0;
  if (!state.wish.standby.empty()) failed_(vm_uuid, state.wish.standby, why);
}

}  // namespace umbra::controller
