#include "controller/brain/brain.hpp"

#include <algorithm>

#include "controller/brain/capacity.hpp"
#include "controller/brain/causes.hpp"
#include "controller/words.hpp"

namespace umbra::controller {
namespace {

constexpr std::string_view kNoShadow = "no shadow";

constexpr auto kStandbyGrace = std::chrono::seconds(15);  // what a restart of agent or libvirtd takes

/// It is there, and knows what it can do.
bool answers(const HostPicture& host) {
  return host.up && host.hypervisor_up && (host.proven || !host.proof_detail.empty());
}

std::string tier_action(v1::Tier tier, const std::string& standby) {
  return fmt::format("tier {} on {}", tier_name(tier), standby);
}

bool has_memory_there(const VmPicture& vm, const std::string& standby) {
  return vm.shadow && vm.shadow->standby() == standby &&
         (vm.shadow->phase() == v1::SHADOW_PHASE_WARM || vm.shadow->phase() == v1::SHADOW_PHASE_HOT);
}

bool exists_there(const VmPicture& vm, const std::string& standby) {
  return vm.shadow && vm.shadow->standby() == standby && vm.shadow->phase() != v1::SHADOW_PHASE_DROPPED;
}

/// Assessments of every VM: causes of its location, and its part in a shortage of its host.
std::map<std::string, Assessment> assess(const Picture& picture, const BrainSettings& settings) {
  std::map<std::string, std::vector<const VmPicture*>> guests;
  for (const auto& [uuid, vm] : picture.vms) guests[vm.host].push_back(&vm);
  std::map<std::string, Assessment> assessments;
  for (const auto& [name, vms] : guests) {
    const auto host = picture.hosts.find(name);
    if (host == picture.hosts.end()) continue;
    const auto location = location_causes(picture, host->second, settings);
    auto capacity = capacity_causes(host->second, vms, settings);
    for (const auto* vm : vms) {
      auto& assessment = assessments[vm->uuid];
      assessment.causes = location;
      if (const auto cause = capacity.find(vm->uuid); cause != capacity.end())
        assessment.causes.push_back(std::move(cause->second));
      assessment.probability = noisy_or(assessment.causes);
    }
  }
  return assessments;
}

std::string explain(const VmPicture& vm, const Assessment& assessment) {
  std::string text = fmt::format("{:.0f} % to leave {}", 100 * assessment.probability, vm.host);
  for (const auto& cause : assessment.causes)
    text += fmt::format("; {} {:.0f} % ({})", cause.name(), 100 * cause.probability(), cause.detail());
  if (vm.pin) text += fmt::format("; pinned at tier {} by the operator", tier_name(vm.pin->tier));
  return text;
}

}  // namespace

std::vector<Verdict> Brain::tick(const Picture& picture) {
  auto assessments = assess(picture, settings_);
  std::erase_if(memories_, [&](const auto& entry) { return !picture.vms.contains(entry.first); });

  std::vector<const VmPicture*> order;
  for (const auto& [uuid, vm] : picture.vms) order.push_back(&vm);
  std::ranges::sort(order, [&](const auto* a, const auto* b) {
    const double pa = assessments[a->uuid].probability, pb = assessments[b->uuid].probability;
    return std::tie(pb, a->name, a->uuid) < std::tie(pa, b->name, b->uuid);
  });

  Tick tick{picture, {}, {}, {}};
  for (const auto& move : picture.moves) {
    tick.promises.arrivals[move.to].insert(move.vm_uuid);
    ++tick.moves_out[move.from];
    ++tick.moves_in[move.to];
  }
  std::vector<Verdict> verdicts;
  for (const auto* vm : order) {
    auto& memory = recall(*vm);
    memory.assessment = std::move(assessments[vm->uuid]);
    if (vm->moving || !picture.hosts.contains(vm->host)) continue;
    verdicts.push_back(judge(tick, *vm, memory));
    memory.assessment = verdicts.back().assessment;
  }
  return verdicts;
}

Brain::Memory& Brain::recall(const VmPicture& vm) {
  const auto known = memories_.find(vm.uuid);
  if (known != memories_.end()) return known->second;
  // A VM seen for the first time keeps the shadow it has: it is given up only as any other is, by confirmed calm.
  const auto standby = vm.shadow ? vm.shadow->standby() : std::string{};
  const auto level = exists_there(vm, standby) ? level_of(vm.shadow->tier()) : Level::kProfile;
  Memory memory{Confirmation(settings_.confirm_k, settings_.confirm_n, level), level,
                level == Level::kProfile ? "" : standby,
                level == Level::kProfile ? std::string(kNoShadow) : tier_action(tier_of(level), standby)};
  return memories_.emplace(vm.uuid, std::move(memory)).first->second;
}

Verdict Brain::judge(Tick& tick, const VmPicture& vm, Memory& memory) {
  Verdict verdict{vm.uuid, memory.assessment};
  auto& assessment = verdict.assessment;
  memory.level = level_for(assessment.probability, memory.level, settings_);
  const bool counts = !memory.looked_at || tick.picture.steady - *memory.looked_at >= settings_.tick / 2;
  if (counts) memory.looked_at = tick.picture.steady;
  const auto level = counts ? memory.confirmation.look(memory.level) : memory.confirmation.confirmed();
  assessment.tier = vm.pin ? std::max(vm.pin->tier, tier_of(level)) : tier_of(level);
  if (vm.pin) verdict.refresh_interval_ms = vm.pin->refresh_interval_ms;

  Words words{std::string(kNoShadow), {}};
  if (assessment.tier > v1::TIER_PROFILE) words = want_shadow(tick, vm, memory, level, assessment);
  if (assessment.standby.empty()) assessment.tier = v1::TIER_PROFILE;
  memory.standby = assessment.standby;
  if (words.action == memory.action) return verdict;

  memory.action = words.action;
  auto& decision = verdict.decision.emplace();
  decision.set_at_unix_ms(tick.picture.now);
  decision.set_vm(vm.name);
  decision.set_migration_probability(assessment.probability);
  for (const auto& cause : assessment.causes) *decision.add_causes() = cause;
  decision.set_action(words.action);
  decision.set_reason(explain(vm, assessment) + (words.reason.empty() ? "" : ". " + words.reason));
  return verdict;
}

Brain::Words Brain::want_shadow(Tick& tick, const VmPicture& vm, Memory& memory, Level level, Assessment& assessment) {
  const auto cannot = [&](const std::string& what, const std::string& why, std::string remedy) -> Words {
    assessment.obstacle = {Errc::kConflict, why.empty() ? what : fmt::format("{}: {}", what, why), std::move(remedy)};
    return {"hold back: " + what, why};
  };
  if (!vm.refusal.empty()) return cannot("it cannot have a shadow", vm.refusal, "change its definition as that says");
  if (!vm.running)
    return cannot("it does not run", {}, fmt::format("start it, on {}: virsh start {}", vm.host, vm.name));
  if (!vm.pin && tick.picture.steady < memory.quiet_until) return {"hold back: the operator dropped its shadow", {}};
  const auto& host = tick.picture.hosts.at(vm.host);
  if (!host.up || !host.hypervisor_up) {
    assessment.standby = memory.standby;  // unknown is not gone
    return cannot(fmt::format("{} {}", vm.host, host.up ? "has lost its libvirtd" : "is down"),
                  "nothing can be copied from there", "see umbractl doctor");
  }

  const auto chosen = choose_standby(tick, vm, memory, level, assessment);
  if (chosen.host.empty())
    return cannot("no host for its shadow", chosen.why, "make one of them fit, or name one with --to");
  assessment.standby = chosen.host;
  if (!exists_there(vm, assessment.standby)) {
    auto& promised = tick.promises.memory[assessment.standby];
    promised = promised + vm.memory + kShadowOverhead;
  }
  if (level < Level::kCutover) return {tier_action(assessment.tier, assessment.standby), chosen.why};

  const auto held_back = hold_back(tick, vm, memory, assessment);
  if (!held_back.empty()) return {"hold back: " + held_back, chosen.why};
  assessment.cutover = true;
  tick.promises.arrivals[assessment.standby].insert(vm.uuid);
  ++tick.moves_out[vm.host];
  ++tick.moves_in[assessment.standby];
  return {fmt::format("cutover to {}", assessment.standby), chosen.why};
}

Placement Brain::choose_standby(const Tick& tick, const VmPicture& vm, Memory& memory, Level level,
                                const Assessment& assessment) {
  if (vm.pin && !vm.pin->standby.empty() && vm.pin->standby != vm.host)
    return {vm.pin->standby, 0, "the operator chose the host"};

  PlacementQuery query{&vm};
  query.probability_here = assessment.probability;
  query.other_zone = std::ranges::any_of(assessment.causes, [&](const v1::Cause& cause) {
    return cause.name() == kZoneHealth && cause.probability() >= settings_.staged;
  });
  std::erase_if(memory.avoid_until, [&](const auto& entry) { return entry.second <= tick.picture.steady; });
  for (const auto& [host, until] : memory.avoid_until) query.avoid.insert(host);

  const auto current = tick.picture.hosts.find(memory.standby);
  const bool known = current != tick.picture.hosts.end();
  if (!known || answers(current->second))
    memory.silent_since.reset();
  else if (!memory.silent_since)
    memory.silent_since = tick.picture.steady;
  if (memory.silent_since && tick.picture.steady - *memory.silent_since < kStandbyGrace)
    return {memory.standby, 0, fmt::format("{} does not answer, which may be a restart", memory.standby)};

  // Before a cutover the place must be worth it; a shadow that only waits may also be where little is gained.
  Placement nowhere;
  for (const double gain : {level >= Level::kHot ? settings_.minimum_gain : 0.0, 0.0}) {
    query.least_gain = gain;
    if (known && objection(tick.picture, query, current->second, tick.promises, settings_).empty())
      return {memory.standby, 0, {}};
    auto placement = place(tick.picture, query, tick.promises, settings_);
    if (!placement.host.empty()) return placement;
    nowhere = std::move(placement);
  }
  return nowhere;
}

std::string Brain::hold_back(const Tick& tick, const VmPicture& vm, const Memory& memory,
                             const Assessment& assessment) const {
  const auto& standby = assessment.standby;
  if (!settings_.automatic) return "automatic cutover is off";
  if (memory.moved_at && tick.picture.steady - *memory.moved_at < settings_.cooldown)
    return "cooldown after its last move";
  const auto host = tick.picture.hosts.find(standby);
  if (host == tick.picture.hosts.end() || !host->second.up) return fmt::format("{} is down", standby);
  if (!answers(host->second)) return fmt::format("{} does not answer", standby);
  const double there = probability_there(tick.picture, vm, host->second, tick.promises, settings_);
  if (assessment.probability - there < settings_.minimum_gain) return fmt::format("too little to gain on {}", standby);
  if (!has_memory_there(vm, standby)) return fmt::format("its shadow on {} is not warm yet", standby);
  const auto count = [](const std::map<std::string, unsigned>& moves, const std::string& name) {
    const auto found = moves.find(name);
    return found == moves.end() ? 0U : found->second;
  };
  if (count(tick.moves_out, vm.host) >= settings_.moves_per_host) return fmt::format("enough moves out of {}", vm.host);
  if (count(tick.moves_in, standby) >= settings_.moves_per_host) return fmt::format("enough moves into {}", standby);
  return {};
}

void Brain::moved(const std::string& vm_uuid, TimePoint now) {
  const auto memory = memories_.find(vm_uuid);
  if (memory == memories_.end()) return;
  forget(memory->second);
  memory->second.moved_at = now;
}

void Brain::dropped(const std::string& vm_uuid, TimePoint now) {
  const auto memory = memories_.find(vm_uuid);
  if (memory == memories_.end()) return;
  forget(memory->second);
  memory->second.quiet_until = now + settings_.cooldown;
}

void Brain::begin_afresh(const std::string& vm_uuid) {
  const auto memory = memories_.find(vm_uuid);
  if (memory != memories_.end()) memory->second.assessment.obstacle.reset();
}

void Brain::forget(Memory& memory) {
  memory.confirmation = Confirmation(settings_.confirm_k, settings_.confirm_n, Level::kProfile);
  memory.level = Level::kProfile;
  memory.standby.clear();
  memory.action = kNoShadow;
}

void Brain::failed_there(const std::string& vm_uuid, const std::string& host, TimePoint now) {
  const auto memory = memories_.find(vm_uuid);
  if (memory != memories_.end()) memory->second.avoid_until[host] = now + settings_.cooldown;
}

const Assessment* Brain::assessment(const std::string& vm_uuid) const {
  const auto memory = memories_.find(vm_uuid);
  return memory == memories_.end() ? nullptr : &memory->second.assessment;
}

}  // namespace umbra::controller
