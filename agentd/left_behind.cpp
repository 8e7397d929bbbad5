// What an earlier life of the agent left in the QEMUs here and the journal does not tell of: it was lost, or restored
// from a time before.
#include <spdlog/spdlog.h>

#include "agentd/host.hpp"
#include "agentd/shadow/hold.hpp"
#include "agentd/virt/domain_xml.hpp"

namespace umbra::agent {
namespace {

using namespace std::chrono_literals;

constexpr Deadline kCall = 5s;
constexpr auto kStaysPaused = 10s;  // what is paused for less is taken back by who paused it

}  // namespace

/// Each once, at the first inventory of this life at which no shadow of it is kept; and once more when it stays paused:
/// a `stop` that an earlier life gave up may be done late.
asio::awaitable<void> Host::look_for_left_behind(std::vector<virt::Domain> domains) {
  for (const auto& domain : domains) {
    const bool active = domain.state == virt::DomainState::kPaused || domain.state == virt::DomainState::kRunning;
    if (!active || domain.incoming || standby_.holds(domain.uuid) || damaged_.contains(domain.uuid)) continue;
    if (const auto kept = source(domain.uuid); kept && exists(kept->phase())) continue;
    const bool paused = domain.state == virt::DomainState::kPaused;
    auto& look = looked_at_[domain.uuid];
    if (!paused)
      look.paused.reset();
    else if (!look.paused)
      look.paused = clock_.steady();
    const bool again = paused && !look.found_paused && clock_.steady() - *look.paused >= kStaysPaused;
    if (look.done && !again) continue;
    const auto looked = co_await look_at(domain);
    if (looked)
      looked_at_[domain.uuid] = {.done = true, .found_paused = paused, .paused = looked_at_[domain.uuid].paused};
    else
      spdlog::warn("{}: {}", domain.name, looked.error());
  }
}

/// Nobody would end such a hold, and a guest that stops for any reason would stay stopped in it. What is left of a
/// guest that moved may be the only copy, and so may one that is paused: a person sees to those.
Task<void> Host::look_at(virt::Domain domain) {
  const auto uuid = domain.uuid;
  UMBRA_CO_TRY(const auto definition, co_await hypervisor_.definition(uuid, kCall));
  const bool noted = definition.live_xml.find(virt::kOurLine) != std::string::npos;
  shadow::Hold hold(hypervisor_.monitor(uuid), changed_, clock_);
  auto qmp = hold.qmp();
  UMBRA_CO_TRY(auto status, co_await qmp.status(kCall));
  const auto alert = [&](const std::string& text) {
    outbox_.event(v1::EVENT_KIND_VM, v1::SEVERITY_ALERT, domain.name, text);
  };
  if (status.state == qmp::RunState::kPostMigrate) {
    alert(
        fmt::format("its guest was moved away, but the journal of {} does not know where: when it runs elsewhere, "
                    "virsh destroy and undefine it here. When it runs nowhere, what is here is memory that the guest "
                    "may have left behind, older than its disks: virsh destroy it here, and virsh start it",
                    config_.name));
    co_return Result<void>{};
  }
  if (noted) {
    UMBRA_CO_TRY(const auto migration, co_await hold.ask(kCall));
    if (migration.status != qmp::MigrationStatus::kNone && migration.status != qmp::MigrationStatus::kCompleted)
      UMBRA_CO_CHECK(co_await hold.cancel(kCall));
    std::string nothing;
    UMBRA_CO_CHECK(co_await hypervisor_.annotate(uuid, std::move(nothing), kCall));
    UMBRA_CO_TRY(status, co_await hold.state_after(kCall));
    outbox_.event(v1::EVENT_KIND_SHADOW, v1::SEVERITY_WARNING, domain.name,
                  fmt::format("a shadow was held that the journal of {} does not know; it is given up", config_.name));
  }
  if (status.state == qmp::RunState::kPaused && !domain.suspended)
    alert(
        fmt::format("is paused on {0}, and by nobody whom the journal there knows: when it runs nowhere else, virsh "
                    "resume it on {0}",
                    config_.name));
  co_return Result<void>{};
}

/// A copy that waits here, and no record tells of its cutover: only the controller's word ends it.
Task<void> Host::end_unrecorded(std::string vm_uuid) {
  if (const auto kept = source(vm_uuid); (kept && exists(kept->phase())) || standby_.holds(vm_uuid))
    co_return Result<void>{};
  const auto domain = co_await hypervisor_.domain(vm_uuid, kCall);
  if (!domain && domain.error().code == Errc::kNotFound) co_return Result<void>{};
  if (!domain) co_return fail(domain.error());
  if (domain->state != virt::DomainState::kPaused) co_return Result<void>{};  // one that runs does not yield
  UMBRA_CO_CHECK(co_await hypervisor_.destroy(vm_uuid, virt::Ending::kMovedAway, kCall));
  if (domain->persistent) UMBRA_CO_CHECK(co_await hypervisor_.undefine(vm_uuid, kCall));
  co_return Result<void>{};
}

}  // namespace umbra::agent
