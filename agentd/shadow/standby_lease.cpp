// What a standby holds for whom, and for how long: leases, strays, and what is told of them.
#include <spdlog/spdlog.h>

#include "agentd/shadow/standby_shadow.hpp"

namespace umbra::shadow {
namespace {

using namespace std::chrono_literals;

constexpr Deadline kCall = 5s;  // one libvirt call
constexpr Deadline kLock = 1s;  // a shadow at which something is done is looked at again soon
constexpr auto kAwake = 15s;    // between looks at the leases; a longer pause was this agent's own

bool same(const v1::ShadowId& one, const v1::ShadowId& other) {
  return one.journal() == other.journal() && one.number() == other.number();
}

}  // namespace

Result<void> Standby::undamaged(const std::string& vm_uuid) const {
  const auto found = left_alone_.find(vm_uuid);
  if (found == left_alone_.end()) return {};
  return fail(
      {Errc::kCorrupt,
       fmt::format("the record of VM {} in the journal of {} is damaged: {}", vm_uuid, config_.node, found->second),
       "look at the VM on both hosts; then umbra-agentd --forget-damaged, there, and restart it"});
}

Task<v1::RenewReply> Standby::renew(v1::RenewRequest request) {
  v1::RenewReply reply;
  reply.set_incarnation(journal_.incarnation());
  std::map<std::string, const v1::KeptShadow*> named;
  for (const auto& kept : request.shadows()) named[kept.vm_uuid()] = &kept;
  for (const auto& [uuid, kept] : named) {
    const auto* shadow = find(uuid);
    const bool held = shadow != nullptr && shadow->request.source() == request.source() &&
                      same(shadow->request.id(), kept->id()) && shadow->doomed.empty() &&
                      shadow->life.phase() != Phase::kDropped;
    if (!held && !left_alone_.contains(uuid)) reply.add_missing_vm_uuids(uuid);
  }
  const auto shadows = shadows_;
  for (const auto& [uuid, shadow] : shadows) {
    const auto& id = shadow->request.id();
    if (shadow->request.source() != request.source()) continue;
    if (const auto kept = named.find(uuid); kept != named.end() && same(kept->second->id(), id)) {
      shadow->renewed = clock_.steady();
      shadow->renewed_unix_ms = clock_.unix_ms();
      shadow->abandoned = false;
      continue;
    }
    if (id.journal() == request.newest().journal() && id.number() > request.newest().number())
      continue;  // the message came late: this one was staged since
    const auto guard = co_await shadow->lock.lock(kLock, "another step of this shadow");
    if (!guard || find(uuid) != shadow.get()) continue;
    const auto dropped =
        co_await drop_as_due(*shadow, fmt::format("{} does not keep it any more", shadow->request.source()));
    if (!dropped) spdlog::warn("dropping the shadow of {}: {}", shadow->name(), dropped.error());
  }
  co_return reply;
}

/// A source that is silent for a lease's time is gone, or cannot reach this host: what it has not been promised is
/// freed, so that the VM can be started here. What was accepted and has all of its memory stays: it may be the only
/// copy. What was accepted and has not is of no use any more, and a refusal is true: it has not been released.
asio::awaitable<void> Standby::end_leases() {
  const auto now = clock_.steady();
  const auto pause = now - awake_;
  const bool slept = awake_ != Signal::TimePoint{} && pause > kAwake;
  awake_ = now;
  const auto shadows = shadows_;
  for (const auto& [uuid, shadow] : shadows) {
    if (slept) shadow->renewed = std::min(now, shadow->renewed + pause);  // silence counts while somebody listens
    const auto phase = shadow->life.phase();
    if (now - shadow->renewed < config_.lease || shadow->request.id().journal().empty()) continue;
    if (phase != Phase::kStaged && !in_cutover(phase)) continue;
    const auto guard = co_await shadow->lock.lock(kLock, "another step of this shadow");
    if (!guard || find(uuid) != shadow.get() || shadow->life.phase() != phase || shadow->gone) continue;
    if (now - shadow->renewed < config_.lease) continue;
    const auto silent = fmt::format("{} has not been heard for {} s", shadow->request.source(),
                                    std::chrono::duration_cast<std::chrono::seconds>(now - shadow->renewed).count());
    const auto domain = co_await hypervisor_.domain(uuid, kCall);
    if (!domain) continue;
    if (phase == Phase::kStaged || (phase == Phase::kArmed && domain->incoming)) {
      if (phase == Phase::kStaged)
        hooks_.note(v1::SEVERITY_WARNING, shadow->name(), fmt::format("its shadow is given up: {}", silent));
      else
        hooks_.note(
            v1::SEVERITY_ALERT, shadow->name(),
            fmt::format("its cutover in epoch {0} is refused: {1}; if it is paused on {2}, virsh resume it there",
                        shadow->life.epoch(), silent, shadow->request.source()));
      const auto dropped = co_await drop_as_due(*shadow, silent);
      if (!dropped) spdlog::warn("dropping the shadow of {}: {}", shadow->name(), dropped.error());
    } else if (!std::exchange(shadow->abandoned, true)) {
      hooks_.note(v1::SEVERITY_ALERT, shadow->name(),
                  fmt::format("{}, in the middle of a cutover to {}; its copy here waits, paused, in epoch {}: when {} "
                              "does not come back, umbractl resolve {}",
                              silent, config_.node, shadow->life.epoch(), shadow->request.source(), shadow->name()));
    }
  }
}

/// A start of a QEMU that was given up may be done later. Such a shadow has never run, and nobody waits for it.
asio::awaitable<void> Standby::sweep(std::vector<virt::Domain> domains) {
  strays_.clear();
  for (const auto& listed : domains) {
    if (!listed.incoming || holds(listed.uuid) || left_alone_.contains(listed.uuid)) continue;
    const auto uuid = listed.uuid;
    const auto domain = co_await hypervisor_.domain(uuid, kCall);
    if (!domain || !domain->is_shadow() || holds(uuid)) continue;
    if (once_held_.contains(uuid)) {
      hooks_.note(v1::SEVERITY_INFO, listed.name, "a shadow that was given up before it was there is ended");
      const auto destroyed = co_await hypervisor_.destroy(uuid, virt::Ending::kOrdinary, kCall);
      if (!destroyed) spdlog::warn("{}: {}", listed.name, destroyed.error());
      continue;
    }
    v1::HeldShadow stray;
    stray.set_vm_uuid(uuid);
    stray.set_vm_name(listed.name);
    stray.set_phase(v1::SHADOW_PHASE_STAGED);
    stray.set_memory_bytes(listed.memory.count);
    stray.set_detail(
        fmt::format("the journal of {} does not know it: virsh destroy {}, there", config_.node, listed.name));
    strays_.push_back(std::move(stray));
  }
}

std::vector<v1::HeldShadow> Standby::held() const {
  auto list = strays_;
  for (const auto& [uuid, shadow] : shadows_) {
    v1::HeldShadow held;
    held.set_vm_uuid(uuid);
    held.set_vm_name(shadow->name());
    held.set_source(shadow->request.source());
    held.set_phase(static_cast<v1::ShadowPhase>(shadow->life.phase()));
    held.set_memory_bytes(shadow->request.vm().memory_bytes());
    held.set_since_unix_ms(shadow->since_unix_ms);
    held.set_renewed_unix_ms(shadow->renewed_unix_ms);
    if (!shadow->doomed.empty()) held.set_detail("it cannot be dropped yet: " + shadow->doomed);
    list.push_back(std::move(held));
  }
  return list;
}

}  // namespace umbra::shadow
