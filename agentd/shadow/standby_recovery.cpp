// What the standby does with shadows that ended by themselves, were dropped, or are of an earlier life of the agent.
#include <spdlog/spdlog.h>

#include "agentd/shadow/definition_guard.hpp"
#include "agentd/shadow/peer.hpp"
#include "agentd/shadow/standby_shadow.hpp"
#include "agentd/virt/domain_xml.hpp"

namespace umbra::shadow {
namespace {

using namespace std::chrono_literals;

constexpr Deadline kCall = 5s;   // one libvirt or QMP call
constexpr Deadline kKeep = 20s;  // redefining hundreds of snapshots
constexpr Deadline kLock = 40s;  // another step may be starting a QEMU

/// What libvirt shall keep here, without what is only a shadow's. @error kInvalid
Result<virt::Definition> fit_to_keep(const v1::KeptDefinition& kept) {
  auto definition = from_wire(kept);
  if (!definition.inactive_xml.empty()) {
    UMBRA_TRY(definition.inactive_xml, virt::clean_xml(definition.inactive_xml));
  }
  return definition;
}

}  // namespace

/// Makes sure that a shadow's QEMU never runs: a call to libvirt that was given up may still be done, so only an end
/// that libvirt confirms counts.
/// @error kTimeout, kUnavailable that cannot be said yet
Task<Standby::End> Standby::end_qemu(Shadow& shadow) {
  if (shadow.gone) co_return End::kGone;
  const auto domain = co_await hypervisor_.domain(shadow.uuid(), kCall);
  if (!domain && domain.error().code != Errc::kNotFound) co_return fail(domain.error());
  if (domain && domain->state == virt::DomainState::kRunning) co_return End::kRuns;
  if (domain && domain->state != virt::DomainState::kShutOff) {
    if (domain->persistent) co_return End::kTaken;
    const auto destroyed = co_await hypervisor_.destroy(shadow.uuid(), virt::Ending::kOrdinary, kCall);
    if (!destroyed && destroyed.error().code != Errc::kNotFound) co_return fail(destroyed.error());
    const auto left = co_await hypervisor_.domain(shadow.uuid(), kCall);
    if (!left && left.error().code != Errc::kNotFound) co_return fail(left.error());
    if (left && left->state != virt::DomainState::kShutOff)
      co_return fail(Errc::kTimeout, "the shadow of {} is still there", shadow.name());
  }
  if (shadow.may_run && shadow.watch && shadow.watch->resumed_at().count() != 0) co_return End::kRuns;  // just before
  shadow.gone = true;
  if (shadow.gate) shadow.gate->end("its QEMU has ended");
  co_return End::kGone;
}

/// A shadow neither runs nor is persistent. One that is was taken over by hand, and is not ours to end.
void Standby::abandon(Shadow& shadow, End end) {
  hooks_.note(v1::SEVERITY_ALERT, shadow.name(),
              fmt::format("its shadow was {} by hand: it may run twice, look at both hosts",
                          end == End::kRuns ? "resumed" : "defined"));
  forget(shadow.uuid());
}

/// Takes away what is left of a dropped shadow: QEMU, tap, routes, and the journal's interest in it.
Task<void> Standby::clear(Shadow& shadow) {
  const auto uuid = shadow.uuid();
  UMBRA_CO_TRY(const auto end, co_await end_qemu(shadow));
  if (end != End::kGone) {
    abandon(shadow, end);
    co_return Result<void>{};
  }
  // Once accepted, this host may have been pointed to its tap: back to where the VM is. Without, its newest epoch is
  // the one in which the VM moved, and that flip stands.
  if (shadow.life.epoch() != shadow.staged_in) {
    v1::UnpointRequest unpoint;
    unpoint.set_vm_uuid(uuid);
    *unpoint.mutable_addresses() = shadow.request.vm().addresses();
    unpoint.set_epoch(shadow.life.epoch());
    UMBRA_CO_CHECK(network_.unpoint(unpoint));
  }
  UMBRA_CO_CHECK(network_.detach(uuid));
  if (shadow.life.phase() == Phase::kDropped) {
    auto done = shadow.life.record();
    done.wish.clear();
    UMBRA_CO_CHECK(co_await journal_.write(std::move(done)));
  }
  forget(uuid);
  co_return Result<void>{};
}

/// Definition, snapshots, checkpoints, autostart, and what people wrote about the VM: as on the host that it came from.
Task<void> Standby::keep_definition(Shadow& shadow) {
  UMBRA_CO_TRY(auto definition, fit_to_keep(shadow.request.kept()));
  const auto domain = co_await hypervisor_.domain(shadow.uuid(), kCall);
  if (!domain && domain.error().code != Errc::kNotFound) co_return fail(domain.error());
  if (domain && domain->state != virt::DomainState::kShutOff)
    co_return co_await hypervisor_.keep_as(shadow.uuid(), std::move(definition), kKeep);
  // It has ended since: its definition is what is left of it.
  if (definition.inactive_xml.empty()) co_return Result<void>{};
  co_return co_await hypervisor_.define(definition.inactive_xml, kCall);
}

Task<void> Standby::amend(v1::AmendRequest request) {
  UMBRA_CO_CHECK(undamaged(request.vm_uuid()));
  if (request.epoch() == 0 || request.epoch() != served(request.vm_uuid()) ||
      request.epoch() != epochs_[request.vm_uuid()])
    co_return fail(Errc::kConflict, "{} does not run on {} in epoch {}", request.vm().name(), config_.node,
                   request.epoch());
  if (const auto found = settling_.find(request.vm_uuid()); found != settling_.end()) {
    const auto shadow = found->second;
    *shadow->request.mutable_kept() = request.kept();
    shadow->amended = true;  // finish() looks before it ends
    shadow->life.set_wish(shadow->request.SerializeAsString());
    if (!shadow->finishing) co_return co_await shadow->life.save();
  }
  UMBRA_CO_TRY(auto definition, fit_to_keep(request.kept()));
  co_return co_await hypervisor_.keep_as(request.vm_uuid(), std::move(definition), kKeep);
}

/// How it was made, or taken up.
Task<void> Standby::remember(Shadow& shadow) {
  UMBRA_CO_TRY(shadow.fingerprint, co_await hypervisor_.fingerprint(shadow.uuid(), kCall));
  UMBRA_CO_TRY(auto made, co_await hypervisor_.definition(shadow.uuid(), kCall));
  shadow.made_as = std::move(made.live_xml);
  co_return Result<void>{};
}

/// Is it still what was made of its primary? Where its fingerprint is, nothing else is read. @error kConflict
Task<void> Standby::compare(Shadow& shadow) {
  UMBRA_CO_TRY(auto fingerprint, co_await hypervisor_.fingerprint(shadow.uuid(), kCall));
  if (fingerprint == shadow.fingerprint) co_return Result<void>{};
  UMBRA_CO_TRY(const auto now, co_await hypervisor_.definition(shadow.uuid(), kCall));
  UMBRA_CO_TRY(const auto difference, virt::device_difference(shadow.made_as, now.live_xml));
  if (!difference) {
    shadow.fingerprint = std::move(fingerprint);
    co_return Result<void>{};
  }
  co_return fail({Errc::kConflict, fmt::format("its shadow on {} was changed by hand: {}", config_.node, *difference),
                  "change the VM where it runs; its shadow is made anew"});
}

asio::awaitable<void> Standby::domain_changed(std::string vm_uuid) {
  const auto shadow = shadows_.contains(vm_uuid) ? shadows_[vm_uuid] : nullptr;
  if (!shadow || shadow->made_as.empty()) co_return;
  const auto guard = co_await shadow->lock.lock(kLock, "another step of this shadow");
  if (!guard || find(vm_uuid) != shadow.get() || shadow->gone) co_return;
  if (shadow->life.phase() != Phase::kStaged && shadow->life.phase() != Phase::kArmed) co_return;
  const auto same = co_await compare(*shadow);
  if (same || same.error().code != Errc::kConflict) co_return;
  hooks_.note(v1::SEVERITY_WARNING, shadow->name(), same.error().text());
  const std::string why = same.error().message;
  const auto dropped = co_await drop_as_due(*shadow, why);
  if (!dropped) spdlog::warn("dropping the shadow of {}: {}", shadow->name(), dropped.error());
}

/// Makes a VM that moved here persistent, and only then lets the journal forget how it was defined.
Task<void> Standby::finish(Shadow& shadow) {
  const auto vm = shadow.request.vm();
  const bool here = epochs_[vm.uuid()] == shadow.life.epoch();  // else it has moved on since
  if (here) {
    Result<void> kept;
    do {
      shadow.amended = false;
      kept = co_await keep_definition(shadow);
    } while (shadow.amended);
    if (!kept && unknown(kept.error())) co_return kept;
    if (!kept)
      hooks_.note(v1::SEVERITY_WARNING, vm.name(),
                  fmt::format("runs on {}, but libvirt does not keep there all that it kept of it on {}: {}",
                              config_.node, shadow.request.source(), kept.error()));
  }
  shadow.finishing = true;  // what is amended from here on is done beside it
  const auto written = co_await shadow.life.apply(Event::kServe);
  shadow.finishing = false;
  UMBRA_CO_CHECK(written);
  settling_.erase(vm.uuid());
  co_return Result<void>{};
}

asio::awaitable<void> Standby::tidy() {
  const auto settling = settling_;
  for (const auto& [uuid, shadow] : settling) {
    const auto finished = co_await finish(*shadow);
    if (finished || std::exchange(shadow->unsettled, true)) continue;
    hooks_.note(v1::SEVERITY_WARNING, shadow->name(),
                fmt::format("runs on {}, but is not all settled there yet: {}", config_.node, finished.error()));
  }
  const auto shadows = shadows_;
  for (const auto& [uuid, shadow] : shadows) {
    const auto phase = shadow->life.phase();
    if (!shadow->doomed.empty() && phase != Phase::kDropped) {  // what is promised its source asks about
      const auto guard = co_await shadow->lock.lock(kLock, "another step of this shadow");
      if (!guard || find(uuid) != shadow.get()) continue;
      const std::string why = shadow->doomed;
      const auto dropped = co_await drop_as_due(*shadow, why);
      if (!dropped) spdlog::warn("dropping the shadow of {}: {}", shadow->name(), dropped.error());
    } else if (phase == Phase::kStaged || in_cutover(phase)) {
      const auto domain = co_await hypervisor_.domain(uuid, kCall);
      if (!domain && domain.error().code == Errc::kNotFound) co_await domain_stopped(uuid);
      if (phase == Phase::kPromised && domain && domain->state == virt::DomainState::kRunning)
        co_await resumed_late(*shadow);
    } else if (phase == Phase::kDropped) {
      const auto guard = co_await shadow->lock.lock(kLock, "another step of this shadow");
      if (!guard || find(uuid) != shadow.get()) continue;
      const auto cleared = co_await clear(*shadow);
      if (!cleared) spdlog::warn("dropping the shadow of {}: {}", shadow->name(), cleared.error());
    }
  }
  co_await end_leases();
}

/// A life of this agent that is over told it to run; its source, which would ask, may have forgotten it.
asio::awaitable<void> Standby::resumed_late(Shadow& shadow) {
  const auto guard = co_await shadow.lock.lock(kLock, "another step of this shadow");
  if (!guard || find(shadow.uuid()) != &shadow || shadow.life.phase() != Phase::kPromised) co_return;
  point_here(shadow);
  const auto settled = co_await settle_in(shadow);
  if (!settled) spdlog::warn("{}: {}", shadow.name(), settled.error());
}

asio::awaitable<void> Standby::domain_stopped(std::string vm_uuid) {
  const auto shadow = shadows_.contains(vm_uuid) ? shadows_[vm_uuid] : nullptr;
  if (!shadow) co_return;
  shadow->gone = true;
  shadow->changed.notify();  // released() may be waiting for its memory
  const auto guard = co_await shadow->lock.lock(kLock, "another step of this shadow");
  if (!guard || find(vm_uuid) != shadow.get() || shadow->life.phase() == Phase::kDropped) co_return;
  if (shadow->accepted() && shadow->may_run) {
    co_await ended_here(*shadow);
    co_return;
  }
  const auto event = shadow->accepted() ? Event::kRefuse : Event::kDrop;
  const auto dropped = co_await drop(*shadow, event, "its QEMU ended");
  if (!dropped) spdlog::error("dropping the shadow of {}: {}", shadow->name(), dropped.error());
}

/// Its QEMU ended, and nobody can say whether the guest had run by then. It counts as having: what the source holds may
/// be older than what the guest did to its disks and told its peers.
asio::awaitable<void> Standby::ended_here(Shadow& shadow) {
  hooks_.note(v1::SEVERITY_ALERT, shadow.name(),
              fmt::format("its QEMU on {} ended while it was taking over; it may have run, so it stays here, shut off: "
                          "virsh start it when its disks are in order",
                          config_.node));
  const auto settled = co_await settle_in(shadow);
  if (!settled) spdlog::error("{}: {}", shadow.name(), settled.error());
}

/// Takes up a shadow whose QEMU outlived the agent.
Task<void> Standby::attend(Shadow& shadow) {
  UMBRA_CO_CHECK(network_.await(shadow.request.vm()));
  shadow.watch = std::make_unique<Watch>(hypervisor_.monitor(shadow.uuid()), shadow.changed);
  UMBRA_CO_CHECK(co_await shadow.watch->ask(kCall));
  auto vm_uuid = shadow.uuid();
  auto id = shadow.request.id();
  // Whether it is there shows in its stream; but one that nobody speaks to does not wait for a stream for ever.
  const auto gate = co_await gates_.adopt(v1::GATE_SIDE_STANDBY, std::move(vm_uuid), std::move(id), kCall);
  if (gate) shadow.gate = *gate;
  co_return co_await remember(shadow);
}

/// Its tap is there, and the routes led to it before it was resumed; this process does not know yet.
void Standby::point_here(const Shadow& shadow) {
  v1::PointRequest point;
  point.set_vm_uuid(shadow.uuid());
  *point.mutable_addresses() = shadow.request.vm().addresses();
  point.set_epoch(shadow.life.epoch());
  point.set_host(config_.node);
  auto pointed = network_.attach(shadow.request.vm());
  if (pointed) pointed = network_.point(point);
  if (!pointed)
    hooks_.note(v1::SEVERITY_WARNING, shadow.name(),
                fmt::format("runs on {}, but its routes do not lead there: {}", config_.node, pointed.error()));
}

Task<void> Standby::recover(std::vector<Record> records) {
  for (auto& record : records) {
    outdate(record.vm_uuid, record.epoch);
    if (record.side != Side::kStandby) continue;
    once_held_.insert(record.vm_uuid);
    if (record.phase == Phase::kMoved) served_[record.vm_uuid] = record.epoch;
    if (record.phase == Phase::kProfile || record.phase == Phase::kMoved) continue;
    if (record.phase == Phase::kDropped && record.wish.empty()) continue;  // and nothing of it is left
    const auto phase = record.phase;
    if ((phase == Phase::kPromised || phase == Phase::kServing) && record.epoch < epochs_[record.vm_uuid])
      continue;                                                     // it has moved on since
    if (phase == Phase::kServing) record.phase = Phase::kPromised;  // it settles in again
    auto shadow = std::make_shared<Shadow>(executor_, clock_, journal_, record);
    UMBRA_INVARIANT(shadow->request.ParseFromString(record.wish), "a damaged record was not set aside");
    shadow->since_unix_ms = clock_.unix_ms();
    shadow->renewed = clock_.steady();
    shadows_[record.vm_uuid] = shadow;
    const auto domain = co_await hypervisor_.domain(record.vm_uuid, kCall);
    if (!domain && domain.error().code != Errc::kNotFound) co_return fail(domain.error());
    shadow->gone = !domain || domain->state == virt::DomainState::kShutOff;
    const bool runs = domain && domain->state == virt::DomainState::kRunning;
    if (phase == Phase::kServing || (shadow->accepted() && runs)) {  // resumed before the journal could say more
      point_here(*shadow);
      UMBRA_CO_CHECK(co_await settle_in(*shadow));
      continue;
    }
    if (runs && phase != Phase::kDropped) {
      hooks_.note(v1::SEVERITY_ALERT, shadow->name(),
                  "its shadow was resumed by hand: it may run twice, look at both hosts");
      forget(record.vm_uuid);
      continue;
    }
    switch (phase) {
      case Phase::kStaging:  // half made
        UMBRA_CO_CHECK(co_await drop(*shadow, Event::kDrop, "the agent was restarted while staging it"));
        break;
      case Phase::kStaged:  // its memory kept coming while the agent was away
        if (shadow->gone) {
          UMBRA_CO_CHECK(co_await drop(*shadow, Event::kDrop, "its QEMU ended while the agent was away"));
        } else {
          UMBRA_CO_CHECK(co_await attend(*shadow));
        }
        break;
      case Phase::kArmed:  // the source decides; it will come back with released or refuse
        if (shadow->gone) {
          UMBRA_CO_CHECK(co_await drop(*shadow, Event::kRefuse, "its QEMU ended while the agent was away"));
        } else {
          UMBRA_CO_CHECK(co_await attend(*shadow));
        }
        break;
      case Phase::kPromised:
        if (shadow->gone) {
          co_await ended_here(*shadow);
        } else {
          UMBRA_CO_CHECK(co_await attend(*shadow));
        }
        break;
      case Phase::kDropped:  // tidy() clears it away
        break;
      case Phase::kProfile:
      case Phase::kPrecopy:
      case Phase::kWarm:
      case Phase::kHot:
      case Phase::kServing:
      case Phase::kMoved:
        break;  // never written on this side, or left above
    }
  }
  co_return Result<void>{};
}

}  // namespace umbra::shadow
