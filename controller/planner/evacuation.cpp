#include "controller/planner/evacuation.hpp"

namespace umbra::controller {

Result<std::vector<v1::PlannedMove>> plan_evacuation(const Picture& picture, const std::string& host_or_zone,
                                                     const BrainSettings& settings, bool urgent) {
  PlacementQuery query;
  for (const auto& [name, host] : picture.hosts)
    if (name == host_or_zone || host.zone == host_or_zone) query.avoid.insert(name);
  if (query.avoid.empty())
    return fail(
        {Errc::kNotFound, fmt::format("no host or zone '{}'", host_or_zone), "see umbractl hosts and umbractl zones"});

  Promises promises;
  for (const auto& move : picture.moves) promises.arrivals[move.to].insert(move.vm_uuid);
  std::vector<v1::PlannedMove> plan;
  for (const auto& [uuid, vm] : picture.vms) {
    if (!query.avoid.contains(vm.host) || !vm.running) continue;
    auto& planned = plan.emplace_back();
    planned.set_vm(vm.name);
    planned.set_from(vm.host);
    planned.set_memory_bytes(vm.memory.count);
    if (vm.moving) {
      planned.set_reason("it is moving already");
      continue;
    }
    if (!vm.refusal.empty()) {
      planned.set_reason(fmt::format("it cannot have a shadow: {}", vm.refusal));
      continue;
    }
    query.vm = &vm;
    query.whatever_threatens = false;
    auto placement = place(picture, query, promises, settings);
    if (placement.host.empty() && urgent) {
      query.whatever_threatens = true;
      placement = place(picture, query, promises, settings);
    }
    if (vm.shadow && vm.shadow->phase() >= v1::SHADOW_PHASE_PRECOPY && vm.shadow->phase() <= v1::SHADOW_PHASE_HOT) {
      const auto standby = picture.hosts.find(vm.shadow->standby());
      if (standby != picture.hosts.end() && objection(picture, query, standby->second, promises, settings).empty()) {
        placement = {standby->first, 0, fmt::format("its shadow is on {}", standby->first)};
        planned.set_shadow(vm.shadow->tier());
      }
    }
    planned.set_to(placement.host);
    planned.set_reason(placement.host.empty() ? "no host for it: " + placement.why : placement.why);
    if (placement.host.empty()) continue;
    promises.arrivals[placement.host].insert(uuid);
    if (planned.shadow() == v1::TIER_UNSPECIFIED) {
      auto& promised = promises.memory[placement.host];
      promised = promised + vm.memory + kShadowOverhead;
    }
  }
  return plan;
}

std::shared_ptr<const Evacuation> Evacuator::start(std::vector<v1::PlannedMove> plan, std::string reason,
                                                   std::string actor) {
  auto job = std::make_shared<Job>();
  job->plan = std::move(plan);
  job->reason = std::move(reason);
  job->actor = std::move(actor);
  for (const auto& planned : job->plan) {
    // The plan was made from this inventory a moment ago, and names are unique on a host.
    std::string uuid;
    for (const auto& [candidate, record] : inventory_.vms())
      if (record.vm.name() == planned.vm() && record.host == planned.from()) uuid = candidate;
    job->vm_uuids.push_back(std::move(uuid));
  }
  for (unsigned i = 0; i < at_once_; ++i) tasks_.spawn(work(job));
  return job;
}

asio::awaitable<void> Evacuator::work(std::shared_ptr<Job> job) {
  while (job->next < job->plan.size()) {
    const auto index = job->next++;
    const auto outcome = co_await carry_out(job, job->plan[index], job->vm_uuids[index]);
    ++(outcome ? job->moved : job->failed);
    if (!outcome)
      events_.add(v1::EVENT_KIND_CUTOVER, v1::SEVERITY_WARNING, fmt::format("was not evacuated: {}", outcome.error()),
                  {job->plan[index].from(), job->plan[index].vm()}, job->actor);
    mover_.changed().notify();
  }
}

Task<void> Evacuator::carry_out(std::shared_ptr<Job> job, v1::PlannedMove planned, std::string vm_uuid) {
  if (planned.to().empty()) co_return fail(Errc::kConflict, "{}", planned.reason());
  UMBRA_CO_TRY(const auto move, mover_.migrate(vm_uuid, planned.to(), job->reason, job->actor));
  job->moves.push_back(move);
  UMBRA_CO_TRY(const auto result, co_await mover_.end_of(move));
  if (result.outcome() != v1::OUTCOME_MOVED) co_return fail(Errc::kUnavailable, "{}", result.detail());
  co_return Result<void>{};
}

}  // namespace umbra::controller
