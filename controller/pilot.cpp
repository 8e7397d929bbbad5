#include "controller/pilot.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>

#include "controller/words.hpp"

namespace umbra::controller {
namespace {

using namespace std::chrono_literals;

constexpr Milliseconds kForecastBudget = 100ms;
constexpr Milliseconds kProfilesEvery = 30s;
constexpr Milliseconds kProfilesApart = 1s;  // when VMs or hosts changed
constexpr auto kHouseEvery = 5min;
constexpr Milliseconds kLogKept = 24h * 90;

void complain(const Result<void>& done, std::string_view what) {
  if (!done) spdlog::error("{}: {}", what, done.error());
}

}  // namespace

Pilot::Pilot(Inventory& inventory, Store& store, EventLog& events, Clock& clock, asio::any_io_executor executor,
             Brain& brain, Demand& demand, Zones& zones, ShadowKeeper& keeper, Mover& mover,
             std::optional<ZoneFeed> feed)
    : inventory_(inventory),
      store_(store),
      events_(events),
      clock_(clock),
      brain_(brain),
      demand_(demand),
      zones_(zones),
      keeper_(keeper),
      mover_(mover),
      feed_(std::move(feed)),
      nudged_(std::move(executor), clock) {}

Result<void> Pilot::load() {
  UMBRA_TRY(auto pins, store_.wishes.pins());
  for (auto& pin : pins) pins_[pin.vm_uuid] = pin;
  return zones_.load();
}

asio::awaitable<void> Pilot::run() {
  while (true) {
    tick();
    co_await nudged_.wait_until(clock_.steady() + brain_.settings().tick);
  }
}

void Pilot::tick() {
  read_feed();
  zones_.look(inventory_, clock_.steady(), clock_.unix_ms());
  const auto zone_of = [this](const std::string& host) {
    const auto* node = inventory_.node(host);
    return node == nullptr ? std::string() : node->node.zone();
  };
  demand_.refresh(inventory_.vms(), zone_of, clock_.unix_ms(), kForecastBudget);
  tell_growing();
  const auto seen = picture();
  for (const auto& verdict : brain_.tick(seen)) act(verdict);
  keep_profiles(seen);
  keep_house();
}

void Pilot::tell_growing() {
  for (const auto& growth : demand_.take_growing()) {
    const auto what =
        fmt::format("has grown for {} min in a way that its forecasts did not expect (certainty {:.0f} %)",
                    (clock_.unix_ms() - growth.since) / 60'000, 100 * growth.probability);
    if (growth.scope != v1::SCOPE_VM) {
      const bool zone = growth.scope == v1::SCOPE_ZONE;
      const auto* const kind = zone ? "zone" : "account";
      events_.add(zone ? v1::EVENT_KIND_ZONE : v1::EVENT_KIND_VM, v1::SEVERITY_WARNING,
                  fmt::format("{0} {1}: the CPU demand of its VMs {2}; see umbractl forecast {1} --of {0}", kind,
                              growth.name, what),
                  {}, "brain");
    } else if (const auto* record = inventory_.vm(growth.name); record != nullptr) {
      events_.add(v1::EVENT_KIND_VM, v1::SEVERITY_WARNING,
                  fmt::format("its CPU demand {}; see umbractl forecast {}", what, record->vm.name()),
                  {record->host, record->vm.name()}, "brain");
    }
  }
}

void Pilot::read_feed() {
  if (!feed_) return;
  const auto news = feed_->poll();
  if (!news) return;
  if (!*news) {
    events_.add(v1::EVENT_KIND_ZONE, v1::SEVERITY_WARNING,
                fmt::format("{}; the zones keep the health they had", news->error()), {}, "feed");
    return;
  }
  for (const auto& word : **news) {
    if (const auto set = zones_.set(word); !set) {
      complain(set, "zone feed");
      continue;
    }
    events_.add(
        v1::EVENT_KIND_ZONE, word.health < 1 ? v1::SEVERITY_WARNING : v1::SEVERITY_INFO,
        fmt::format("zone {}: health {:.2f}{}{}", word.zone, word.health, word.reason.empty() ? "" : ", ", word.reason),
        {}, "feed");
  }
}

Picture Pilot::picture() const {
  Picture picture;
  picture.now = clock_.unix_ms();
  picture.steady = clock_.steady();
  picture.zones = zones_.picture();
  for (const auto& [name, node] : inventory_.nodes()) {
    if (!node.is_host()) continue;
    picture.hosts[name] = {name,
                           node.node.zone(),
                           node.up,
                           node.hypervisor_up,
                           node.proof.proven(),
                           node.proof.detail(),
                           node.capacity.cpus(),
                           Bytes{node.capacity.memory_free_bytes()}};
  }
  for (const auto& [uuid, record] : inventory_.vms()) {
    auto& vm = picture.vms[uuid];
    vm.uuid = uuid;
    vm.name = record.vm.name();
    vm.host = record.host;
    vm.running = record.active();
    vm.refusal = record.refusal();
    vm.memory = Bytes{record.vm.memory_bytes()};
    vm.moving = record.moving();
    if (const auto* pinned = pin(uuid)) vm.pin = *pinned;
    vm.shadow = record.shadow;
    vm.demand = demand_.of(uuid);
  }
  for (const auto& move : mover_.moves()) picture.moves.push_back({move->vm_uuid, move->from, move->to});
  auto windows = store_.wishes.maintenance(picture.now);
  if (windows)
    picture.maintenance = std::move(*windows);
  else
    spdlog::error("maintenance windows cannot be read: {}", windows.error());
  return picture;
}

void Pilot::act(const Verdict& verdict) {
  const auto& assessment = verdict.assessment;
  const auto* record = inventory_.vm(verdict.vm_uuid);
  if (record == nullptr) return;
  if (verdict.decision) {
    events_.add(v1::EVENT_KIND_DECISION, v1::SEVERITY_INFO,
                fmt::format("{}: {}", verdict.decision->action(), verdict.decision->reason()),
                {record->host, record->vm.name()}, "brain");
    const auto id = store_.log.add_decision(verdict.vm_uuid, *verdict.decision);
    const auto action = verdict.decision->action();
    const auto what = assessment.cutover ? "cutover" : action.substr(0, action.find_first_of(" :"));
    const auto& causes = verdict.decision->causes();
    const auto likeliest = std::ranges::max_element(causes, {}, &v1::Cause::probability);
    ++decided_[{what, likeliest == causes.end() ? "none" : likeliest->name()}];
    if (!id) spdlog::error("a decision could not be stored: {}", id.error());
    if (id && assessment.cutover) cutover_decisions_[verdict.vm_uuid] = *id;
  }
  keeper_.wish(verdict.vm_uuid, {assessment.standby, assessment.tier, verdict.refresh_interval_ms});
  if (!assessment.cutover) return;
  const auto reason = verdict.decision ? verdict.decision->reason() : std::string("the threshold is crossed");
  if (const auto move = mover_.cutover(verdict.vm_uuid, reason, "brain"); !move)
    events_.add(v1::EVENT_KIND_CUTOVER, v1::SEVERITY_WARNING, move.error().text(), {record->host, record->vm.name()},
                "brain");
}

void Pilot::ended(const v1::CutoverResult& result) {
  const bool moved = result.outcome() == v1::OUTCOME_MOVED;
  if (moved) {
    brain_.moved(result.vm_uuid(), clock_.steady());
    // A shadow pinned to where the VM now runs goes wherever the brain finds a place for it.
    if (const auto* pinned = pin(result.vm_uuid()); pinned != nullptr && pinned->standby == result.to()) {
      auto free = *pinned;
      free.standby.clear();
      complain(set_pin(free), "pin");
    }
  } else if (!result.primary_changed()) {
    brain_.failed_there(result.vm_uuid(), result.to(), clock_.steady());
  }
  const auto decision = cutover_decisions_.extract(result.vm_uuid());
  if (!decision.empty())
    complain(store_.log.set_decision_outcome(
                 decision.mapped(),
                 moved ? fmt::format("moved in epoch {}, blackout {:.1f} ms", result.epoch(), result.blackout_ms())
                       : fmt::format("{}: {}", outcome_name(result.outcome()), result.detail())),
             "decision");
  nudge();
}

const Pin* Pilot::pin(const std::string& vm_uuid) const {
  const auto found = pins_.find(vm_uuid);
  return found == pins_.end() ? nullptr : &found->second;
}

Result<void> Pilot::set_pin(const Pin& pin) {
  UMBRA_CHECK(store_.wishes.save_pin(pin));
  pins_[pin.vm_uuid] = pin;
  return {};
}

Result<bool> Pilot::remove_pin(const std::string& vm_uuid) {
  pins_.erase(vm_uuid);
  return store_.wishes.remove_pin(vm_uuid);
}

void Pilot::keep_profiles(const Picture& picture) {
  const bool stale = profiles_of_ != inventory_.generation();
  if (clock_.steady() - profiles_at_ < (stale ? kProfilesApart : kProfilesEvery)) return;
  profiles_at_ = clock_.steady();
  profiles_of_ = inventory_.generation();
  std::map<std::string, std::vector<v1::Profile>> profiles;
  for (const auto& [zone, health] : picture.zones) {
    auto there = picture;  // were there no other zone
    std::erase_if(there.hosts, [&](const auto& host) { return host.second.zone != zone; });
    for (const auto& [uuid, vm] : picture.vms) {
      const auto* record = inventory_.vm(uuid);
      const auto placement =
          vm.refusal.empty() ? place(there, {&vm}, {}, brain_.settings()) : Placement{{}, 0, vm.refusal};
      auto& profile = profiles[uuid].emplace_back();
      profile.set_zone(zone);
      profile.set_host(placement.host);
      if (placement.host.empty()) profile.set_verdict(placement.why);
      profile.set_state(record->vm.state());
      profile.set_vcpus(record->vm.vcpus());
      profile.set_memory_bytes(vm.memory.count);
      if (record->last_sample) {
        profile.set_cpus_used(record->last_sample->cpus_used());
        profile.set_dirty_bytes_per_second(record->last_sample->dirty_bytes_per_second());
      }
      if (vm.demand) profile.set_cpus_peak(vm.demand->peak_quantile(brain_.settings().window, 0.9));
      profile.set_updated_unix_ms(picture.now);
    }
  }
  complain(store_.fleet.save_profiles(profiles), "profiles");
}

void Pilot::keep_house() {
  if (clock_.steady() < house_due_) return;
  house_due_ = clock_.steady() + kHouseEvery;
  complain(store_.telemetry.roll_up(clock_.unix_ms()), "telemetry");
  complain(store_.log.prune(clock_.unix_ms() - kLogKept.count()), "events");
}

}  // namespace umbra::controller
