#include "agentd/shadow/standby_shadow.hpp"

#include <spdlog/spdlog.h>

#include <boost/asio/experimental/awaitable_operators.hpp>

#include "agentd/shadow/peer.hpp"
#include "agentd/virt/domain_xml.hpp"
#include "base/fault_point.hpp"

namespace umbra::shadow {
namespace {

using namespace std::chrono_literals;
using namespace asio::experimental::awaitable_operators;
using qmp::MigrationStatus;

constexpr Deadline kCall = 5s;    // one libvirt or QMP call
constexpr Deadline kStart = 30s;  // starting a QEMU; the first one after libvirtd's start pays its probing
constexpr Deadline kLock = 10s;
constexpr Deadline kGate = 1s;       // an answer of a gate
constexpr Deadline kLastPages = 3s;  // from released to memory complete
constexpr Deadline kLook = 500ms;    // between looks at a migration whose event may have been missed

}  // namespace

Standby::Standby(asio::any_io_executor executor, Clock& clock, virt::Hypervisor& hypervisor, agent::Network& network,
                 Journal& journal, Gates& gates, StandbyConfig config, Hooks hooks)
    : executor_(std::move(executor)),
      clock_(clock),
      hypervisor_(hypervisor),
      network_(network),
      journal_(journal),
      gates_(gates),
      config_(std::move(config)),
      hooks_(std::move(hooks)) {}

Standby::~Standby() = default;

bool Standby::holds(const std::string& vm_uuid) const {
  return shadows_.contains(vm_uuid);
}

Standby::Shadow* Standby::find(const std::string& vm_uuid) {
  const auto found = shadows_.find(vm_uuid);
  return found == shadows_.end() ? nullptr : found->second.get();
}

std::uint64_t Standby::served(const std::string& vm_uuid) const {
  const auto found = served_.find(vm_uuid);
  return found == served_.end() ? 0 : found->second;
}

void Standby::outdate(const std::string& vm_uuid, std::uint64_t epoch) {
  epochs_[vm_uuid] = std::max(epochs_[vm_uuid], epoch);
}

void Standby::forget(const std::string& vm_uuid) {
  const auto found = shadows_.find(vm_uuid);
  if (found == shadows_.end()) return;
  found->second->watch.reset();
  shadows_.erase(found);
}

Task<Bytes> Standby::free_memory() {
  UMBRA_CO_TRY(const auto host, co_await hypervisor_.host(kCall));
  UMBRA_CO_TRY(const auto domains, co_await hypervisor_.domains(kCall));
  Bytes promised = config_.reserve;
  for (const auto& domain : domains)
    if (domain.state != virt::DomainState::kShutOff && !holds(domain.uuid)) promised = promised + domain.memory;
  for (const auto& [uuid, shadow] : shadows_) promised = promised + Bytes{shadow->request.vm().memory_bytes()};
  co_return (config_.memory.count != 0 ? config_.memory : host.memory_total) - promised;
}

Task<void> Standby::admit(v1::Vm vm) {
  if (const auto refusal = hooks_.refusal(); !refusal.empty())
    co_return fail({Errc::kUnsupported, fmt::format("{} takes no shadows: {}", config_.node, refusal),
                    "umbractl doctor shows the proof of the hold"});
  UMBRA_CO_TRY(const auto free, co_await free_memory());
  if (free.count < vm.memory_bytes())
    co_return fail({Errc::kExhausted,
                    fmt::format("{} has {} free for shadows, {} needs {}", config_.node, to_string(free), vm.name(),
                                to_string(Bytes{vm.memory_bytes()})),
                    "choose another host, or drop a shadow there"});
  auto existing = co_await hypervisor_.domain(vm.uuid(), kCall);
  // A shadow that nobody here knows: it has never run, and its source asks anew.
  if (existing && existing->is_shadow()) {
    UMBRA_CO_CHECK(co_await hypervisor_.destroy(vm.uuid(), virt::Ending::kOrdinary, kCall));
    existing = co_await hypervisor_.domain(vm.uuid(), kCall);
  }
  if (existing)
    co_return fail({Errc::kConflict, fmt::format("{} has a domain {} of its own already", config_.node, vm.name()),
                    "if it is a left-over definition, virsh undefine it there; if it runs there, the VM runs twice: "
                    "look at once"});
  if (existing.error().code != Errc::kNotFound) co_return fail(existing.error());
  co_return Result<void>{};
}

Task<v1::StageReply> Standby::stage(v1::StageRequest request) {
  const auto uuid = request.vm().uuid();
  UMBRA_CO_CHECK(undamaged(uuid));
  if (const auto* there = find(uuid); there != nullptr && there->request.source() == request.source() &&
                                      there->request.id().journal() == request.id().journal() &&
                                      there->request.id().number() >= request.id().number())
    co_return fail(Errc::kConflict, "what {} asks to stage of {} is older than what is there", request.source(),
                   request.vm().name());
  // A source that begins anew has promised nothing about the shadow that is there, which has half a memory.
  std::string anew = "staged anew";
  UMBRA_CO_CHECK(co_await give_up(uuid, std::move(anew)));
  Record record{uuid, Side::kStandby, Phase::kProfile, epochs_[uuid], request.SerializeAsString(), {}};
  auto shadow = std::make_shared<Shadow>(executor_, clock_, journal_, std::move(record));
  shadow->request = std::move(request);
  shadow->staged_in = shadow->life.epoch();
  shadow->since_unix_ms = clock_.unix_ms();
  shadow->renewed = clock_.steady();
  UMBRA_CO_TRY(const auto guard, co_await shadow->lock.lock(kLock, "staging the shadow"));
  UMBRA_CO_CHECK(co_await admit(shadow->request.vm()));
  once_held_.insert(uuid);
  if (!shadows_.emplace(uuid, shadow).second)
    co_return fail(Errc::kConflict, "{} is being staged already", shadow->name());
  auto staged = co_await stage_locked(*shadow);
  if (!staged) {
    const auto dropped = co_await drop(*shadow, Event::kDrop, staged.error().message);
    if (!dropped) spdlog::warn("dropping the shadow of {}: {}", shadow->name(), dropped.error());
  }
  co_return staged;
}

Task<void> Standby::give_up(std::string vm_uuid, std::string why) {
  const auto old = shadows_.contains(vm_uuid) ? shadows_[vm_uuid] : nullptr;
  if (!old) co_return Result<void>{};
  UMBRA_CO_TRY(const auto guard, co_await old->lock.lock(kLock + kStart, "another step of the shadow before this one"));
  if (find(vm_uuid) == old.get()) UMBRA_CO_CHECK(co_await drop_as_due(*old, why));
  co_return Result<void>{};
}

Task<v1::StageReply> Standby::stage_locked(Shadow& shadow) {
  UMBRA_CO_CHECK(co_await shadow.life.apply(Event::kStage));
  UMBRA_CO_CHECK(network_.await(shadow.request.vm()));
  UMBRA_CO_TRY(const auto xml, virt::shadow_xml(shadow.request.domain_xml()));
  UMBRA_CO_CHECK(co_await hypervisor_.create_paused(xml, kStart));
  shadow.watch = std::make_unique<Watch>(hypervisor_.monitor(shadow.uuid()), shadow.changed);
  const auto most = std::min(config_.channels, std::max(shadow.request.channels(), 1U));
  UMBRA_CO_TRY(const auto channels, co_await Hold::usable_channels(shadow.watch->qmp(), most, kCall));
  UMBRA_CO_CHECK(co_await Hold::prepare_destination(shadow.watch->qmp(), channels, kCall));
  UMBRA_CO_CHECK(co_await remember(shadow));
  v1::StageReply reply;
  reply.set_incarnation(journal_.incarnation());
  reply.set_channels(channels);
  UMBRA_CO_TRY(*reply.mutable_stream(), co_await listen(shadow));
  UMBRA_CO_CHECK(co_await shadow.life.apply(Event::kStaged));
  hooks_.note(v1::SEVERITY_INFO, shadow.name(), fmt::format("shadow staged for {}", shadow.request.source()));
  co_return reply;
}

/// Makes the shadow's QEMU listen on a socket of its own, and a gate in front of it. @return where that waits
Task<std::string> Standby::listen(Shadow& shadow) {
  UMBRA_CO_TRY(const auto directory, co_await shadow.watch->qmp().directory(kCall));
  v1::GateTask task;
  task.set_side(v1::GATE_SIDE_STANDBY);
  task.set_vm_uuid(shadow.uuid());
  *task.mutable_id() = shadow.request.id();
  task.set_socket(stream_socket(directory, shadow.request.id()));
  task.set_source(shadow.request.source());
  const auto uri = "unix:" + task.socket();
  UMBRA_CO_CHECK(co_await shadow.watch->qmp().migrate_incoming(uri, kCall));
  UMBRA_CO_TRY(shadow.gate, co_await gates_.open(std::move(task), kCall));
  co_return shadow.gate->where();
}

/// What was changed of the VM since it was staged, and a shadow can have without being made anew. In force, and in the
/// journal, with the phase that follows.
Result<void> Standby::take_definition(Shadow& shadow, const v1::AcceptRequest& request) {
  if (!request.has_vm() || request.vm().uuid() != shadow.uuid() || request.vm().tap() != shadow.request.vm().tap())
    return fail(Errc::kInvalid, "the cutover of {} is asked for another VM or tap than was staged", shadow.name());
  auto staged = shadow.request;
  *staged.mutable_vm() = request.vm();
  *staged.mutable_kept() = request.kept();
  UMBRA_CHECK(network_.attach(staged.vm()));  // neighbours of addresses that have come
  shadow.request = std::move(staged);
  shadow.life.set_wish(shadow.request.SerializeAsString());
  return {};
}

/// A gate that does not answer takes nothing from TCP either, which says nothing of that for a while.
Task<void> Standby::ask_gate(Shadow& shadow) {
  if (!shadow.gate) co_return Result<void>{};
  const auto seen = co_await shadow.gate->look(kGate);
  if (seen) co_return Result<void>{};
  co_return fail(
      {Errc::kConflict,
       fmt::format("the gate of {} on {} does not answer: {}", shadow.name(), config_.node, seen.error().message),
       "see its log in [agent] state_dir/gates there; drop the shadow, and another is made"});
}

Task<v1::AcceptReply> Standby::accept(v1::AcceptRequest request) {
  v1::AcceptReply reply;
  reply.set_incarnation(journal_.incarnation());
  UMBRA_CO_CHECK(undamaged(request.vm_uuid()));
  const auto shadow = shadows_.contains(request.vm_uuid()) ? shadows_[request.vm_uuid()] : nullptr;
  if (!shadow) co_return fail(Errc::kNotFound, "{} holds no shadow of VM {}", config_.node, request.vm_uuid());
  UMBRA_CO_TRY(const auto guard, co_await shadow->lock.lock(kLock, "another step of this shadow"));
  if (shadow->life.phase() == Phase::kArmed && shadow->life.epoch() == request.epoch()) co_return reply;
  if (!shadow->doomed.empty())
    co_return fail(Errc::kConflict, "the shadow of {} is being dropped: {}", shadow->name(), shadow->doomed);
  if (request.epoch() <= epochs_[request.vm_uuid()])
    co_return fail(Errc::kConflict, "{}: epoch {} is not newer than {}", shadow->name(), request.epoch(),
                   epochs_[request.vm_uuid()]);
  if (shadow->gone) co_return fail(Errc::kConflict, "the shadow of {} on {} has died", shadow->name(), config_.node);
  auto [same, gate] = co_await (compare(*shadow) && ask_gate(*shadow));
  UMBRA_CO_CHECK(std::move(gate));
  if (!same && same.error().code != Errc::kConflict)  // nobody here could let the guest run
    co_return fail({Errc::kConflict,
                    fmt::format("{} cannot take {} over now: {}", config_.node, shadow->name(), same.error().message),
                    "see to libvirtd there"});
  if (!same) {
    const std::string why = same.error().message;
    UMBRA_CO_CHECK(co_await drop(*shadow, Event::kDrop, why));
    co_return fail(same.error());
  }
  UMBRA_CO_CHECK(take_definition(*shadow, request));
  UMBRA_CO_CHECK(co_await shadow->life.apply(Event::kArm, request.epoch()));
  epochs_[request.vm_uuid()] = request.epoch();
  co_return reply;
}

Task<v1::ReleasedReply> Standby::released(v1::ReleasedRequest request) {
  const auto arrived = clock_.wall();
  const auto arrived_steady = clock_.steady();
  UMBRA_CO_CHECK(undamaged(request.vm_uuid()));
  if (request.epoch() != 0 && request.epoch() == served_[request.vm_uuid()])
    co_return v1::ReleasedReply{};  // told twice
  const auto shadow = shadows_.contains(request.vm_uuid()) ? shadows_[request.vm_uuid()] : nullptr;
  if (!shadow || request.epoch() != shadow->life.epoch())
    co_return fail(Errc::kConflict, "{} has not accepted epoch {} of VM {}", config_.node, request.epoch(),
                   request.vm_uuid());
  UMBRA_CO_TRY(const auto guard, co_await shadow->lock.lock(kLock, "another step of this shadow"));
  v1::ReleasedReply reply;
  if (!shadow->served()) {
    if (!shadow->accepted())
      co_return fail(Errc::kConflict, "the shadow of {} is {}", shadow->name(), to_string(shadow->life.phase()));
    if (!shadow->doomed.empty())  // it was asked to refuse meanwhile, and that is not decided
      co_return fail(Errc::kTimeout, "the shadow of {} is being dropped: {}", shadow->name(), shadow->doomed);
    UMBRA_CO_TRY(const auto after, co_await resume(*shadow, arrived));
    reply.set_resumed_after_us(after);
    co_await settle_in(*shadow);
  }
  reply.set_held_us(std::chrono::duration_cast<std::chrono::microseconds>(clock_.steady() - arrived_steady).count());
  co_return reply;
}

/// Waits until the memory is complete or will never be.
Task<void> Standby::last_pages(Shadow& shadow) {
  const auto end = clock_.steady() + kLastPages;
  const auto settled = [&shadow] {
    return shadow.gone || shadow.watch->status() == MigrationStatus::kCompleted ||
           shadow.watch->status() == MigrationStatus::kFailed;
  };
  for (;;) {
    const auto seen = co_await shadow.changed.until(settled, kLook, "the last of the memory");
    if (seen) co_return Result<void>{};
    const auto looked = co_await shadow.watch->ask(kCall);
    if (!looked) spdlog::warn("{}: {}", shadow.name(), looked.error());
    if (!settled() && clock_.steady() >= end)
      co_return fail(Errc::kTimeout, "the last of the memory of {} did not come within {} ms", shadow.name(),
                     kLastPages.count());
  }
}

/// Durable: from now on the guest may have run here. Should both agent and QEMU die, the source's old memory must not
/// run again. A journal that fails does not keep the guest waiting.
Task<void> Standby::note_release(Shadow& shadow) {
  if (shadow.life.phase() != Phase::kArmed) co_return Result<void>{};  // told twice
  const auto written = co_await shadow.life.apply(Event::kPromise);
  if (!written) {
    spdlog::error("{}: {}", shadow.name(), written.error());
    shadow.life.assume(Event::kPromise);
  }
  co_return Result<void>{};
}

/// Waits for the last of the memory and lets the guest run; gives the microseconds from `arrived` to RESUME.
/// What is written lies in the shade of what the guest waits for anyway.
Task<std::int64_t> Standby::resume(Shadow& shadow, std::chrono::microseconds arrived) {
  auto [noted, complete] = co_await (note_release(shadow) && last_pages(shadow));
  UMBRA_CO_CHECK(std::move(noted));
  UMBRA_CO_CHECK(std::move(complete));
  if (shadow.gone || shadow.watch->status() == MigrationStatus::kFailed) {
    const auto why =
        fmt::format("the shadow of {} on {} did not take the last of the memory", shadow.name(), config_.node);
    UMBRA_CO_CHECK(co_await drop(shadow, Event::kRefuse, why));
    co_return fail(Errc::kConflict, "{}", why);
  }
  co_await fault_point("hand-over");
  UMBRA_INVARIANT(shadow.life.phase() == Phase::kPromised,
                  fmt::format("{} was about to run while {}", shadow.name(), to_string(shadow.life.phase())));
  shadow.may_run = true;
  auto resumed = co_await hypervisor_.resume(shadow.uuid(), kCall);
  if (!resumed && !unknown(resumed.error()) && !shadow.gone) {
    // A libvirt whose QEMU ended in this moment, by a crash or by hand, has taken the images from this one too.
    const auto tended = co_await hypervisor_.tend(shadow.uuid(), kCall);
    if (tended) resumed = co_await hypervisor_.resume(shadow.uuid(), kCall);
  }
  if (!resumed) {
    Result<bool> ran = shadow.watch->resumed_at().count() != 0;
    if (unknown(resumed.error())) ran = co_await has_run(shadow);
    if (!ran) co_return fail({Errc::kTimeout, ran.error().message, ""});  // unknown: the source will ask again
    if (!*ran) {
      UMBRA_CO_CHECK(co_await drop(shadow, Event::kRefuse, resumed.error().message));
      co_return fail(Errc::kConflict, "{} could not resume {}: {}", config_.node, shadow.name(),
                     resumed.error().message);
    }
  }
  // The event usually came with the answer; its own time stamp is truer than ours.
  const auto seen = [&] { return shadow.watch->resumed_at().count() != 0; };
  const auto event = co_await shadow.changed.until(seen, 100ms, "RESUME");
  co_return (event ? shadow.watch->resumed_at() : clock_.wall()).count() - arrived.count();
}

/// Whether a guest that was told to resume did so. One that has ended since may have: its old memory must not run
/// again.
Task<bool> Standby::has_run(Shadow& shadow) {
  const auto domain = co_await hypervisor_.domain(shadow.uuid(), kCall);
  if (!domain && domain.error().code != Errc::kNotFound) co_return fail(domain.error());
  const bool paused =
      domain && domain->state != virt::DomainState::kRunning && domain->state != virt::DomainState::kShutOff;
  shadow.may_run = !paused || shadow.watch->resumed_at().count() != 0;
  co_return shadow.may_run;
}

/// Settles the question for good: a shadow that has not run never will.
Task<bool> Standby::may_have_run(Shadow& shadow) {
  if (shadow.may_run) co_return co_await has_run(shadow);
  UMBRA_CO_TRY(const auto end, co_await end_qemu(shadow));
  co_return end == End::kRuns;  // somebody resumed it by hand
}

/// The shadow has become this host's own VM. What remains to be done for it can wait: tidy() does that.
Task<void> Standby::settle_in(Shadow& shadow) {
  co_await fault_point("serving");
  const auto vm = shadow.request.vm();
  served_[vm.uuid()] = shadow.life.epoch();
  shadow.watch.reset();
  if (shadow.life.phase() == Phase::kArmed) shadow.life.assume(Event::kPromise);
  const auto serving = co_await shadow.life.apply(Event::kResume);
  if (!serving) shadow.life.assume(Event::kResume);  // it runs, whether the journal can take it or not
  settling_[vm.uuid()] = std::move(shadows_[vm.uuid()]);
  shadows_.erase(vm.uuid());
  hooks_.moved(vm, shadow.life.epoch());
  co_return Result<void>{};
}

/// Ends the shadow. Its QEMU first: what is refused must never run, and only an end that was seen is one. What cannot
/// be ended now is doomed, and tidy() tries again.
/// @error kTimeout, kUnavailable not decided
Task<void> Standby::drop(Shadow& shadow, Event event, std::string why) {
  shadow.doomed = why;
  UMBRA_CO_TRY(const auto end, co_await end_qemu(shadow));
  if (end != End::kGone && shadow.may_run) co_return fail(Errc::kTimeout, "{} may still be resumed", shadow.name());
  if (shadow.life.phase() != Phase::kProfile && shadow.life.phase() != Phase::kDropped)
    UMBRA_CO_CHECK(co_await shadow.life.apply(event));
  hooks_.note(v1::SEVERITY_INFO, shadow.name(), fmt::format("shadow dropped: {}", why));
  if (end != End::kGone) {
    abandon(shadow, end);
    co_return Result<void>{};
  }
  const auto cleared = co_await clear(shadow);
  if (!cleared) spdlog::warn("dropping the shadow of {}: {}", shadow.name(), cleared.error());
  co_return Result<void>{};
}

/// The same by whatever edge leads there; what was released or serves is left alone.
Task<void> Standby::drop_as_due(Shadow& shadow, std::string why) {
  if (shadow.served() || shadow.life.phase() == Phase::kPromised) co_return Result<void>{};
  if (shadow.life.phase() == Phase::kDropped) co_return co_await clear(shadow);
  co_return co_await drop(shadow, shadow.life.phase() == Phase::kArmed ? Event::kRefuse : Event::kDrop, why);
}

Task<v1::RefuseReply> Standby::refuse(v1::RefuseRequest request) {
  v1::RefuseReply reply;
  UMBRA_CO_CHECK(undamaged(request.vm_uuid()));
  if (request.epoch() <= served_[request.vm_uuid()]) co_return reply;  // it has run here, whatever became of it since
  const bool accepted_here =
      request.incarnation() == journal_.incarnation() && epochs_[request.vm_uuid()] >= request.epoch();
  if (!request.incarnation().empty() && !accepted_here) {
    // Another journal accepted it, and is lost, or this one is from before that. A guest that runs here answers for
    // itself; else nobody knows any more.
    const auto domain = co_await hypervisor_.domain(request.vm_uuid(), kCall);
    if (!domain && domain.error().code != Errc::kNotFound) co_return fail(domain.error());
    reply.set_unknown(!domain || domain->state != virt::DomainState::kRunning);
    co_return reply;
  }
  const auto shadow = shadows_.contains(request.vm_uuid()) ? shadows_[request.vm_uuid()] : nullptr;
  if (shadow) {
    UMBRA_CO_TRY(const auto guard, co_await shadow->lock.lock(kLock + kLastPages, "another step of this shadow"));
    if (shadow->accepted() && shadow->life.epoch() == request.epoch()) {
      UMBRA_CO_TRY(const bool ran, co_await may_have_run(*shadow));
      if (ran) UMBRA_CO_CHECK(co_await settle_in(*shadow));
      if (ran) co_return reply;
      const auto why = fmt::format("epoch {} given up: {}", request.epoch(), request.why());
      UMBRA_CO_CHECK(co_await drop(*shadow, Event::kRefuse, why));
    }
    if (shadow->served() && shadow->life.epoch() >= request.epoch()) co_return reply;  // too late: it runs here
    // One record holds one epoch: the newer one's must not take the place of one that is accepted and not decided, or
    // that one's refusal would follow without its QEMU being dead (sim/model, REFUSAL_OVER_ACCEPTED).
    if (shadow->accepted() && shadow->life.epoch() < request.epoch())
      co_return fail(Errc::kConflict, "epoch {} of {} is accepted and not decided yet", shadow->life.epoch(),
                     shadow->name());
  } else if (request.epoch() > epochs_[request.vm_uuid()]) {  // else it is over, and has not run here
    const auto domain = co_await hypervisor_.domain(request.vm_uuid(), kCall);
    if (!domain && domain.error().code != Errc::kNotFound) co_return fail(domain.error());  // unknown is not gone
    if (domain && domain->state != virt::DomainState::kShutOff) co_return reply;  // moved here, or never was a shadow
  }
  // Even an epoch this side has not seen yet: an accept that is still on its way must find it refused.
  if (request.epoch() > epochs_[request.vm_uuid()]) {
    Record record{request.vm_uuid(), Side::kStandby, Phase::kDropped, request.epoch(), {}, {}};
    if (shadow && shadows_.contains(request.vm_uuid())) {
      record = shadow->life.record();
      record.epoch = request.epoch();
    }
    UMBRA_CO_CHECK(co_await journal_.write(std::move(record)));
    epochs_[request.vm_uuid()] = request.epoch();
  }
  reply.set_refused(true);
  co_return reply;
}

Task<v1::InspectReply> Standby::inspect(v1::InspectRequest request) {
  v1::InspectReply reply;
  UMBRA_CO_CHECK(undamaged(request.vm_uuid()));
  const auto* shadow = find(request.vm_uuid());
  reply.set_epoch(epochs_[request.vm_uuid()]);
  if (shadow != nullptr) {
    reply.set_known(true);
    reply.set_phase(static_cast<v1::ShadowPhase>(shadow->life.phase()));
    co_return reply;
  }
  const auto domain = co_await hypervisor_.domain(request.vm_uuid(), kCall);
  if (!domain && domain.error().code != Errc::kNotFound) co_return fail(domain.error());
  reply.set_known(domain.has_value());
  reply.set_running(domain && domain->state == virt::DomainState::kRunning);
  reply.set_phase(domain ? v1::SHADOW_PHASE_MOVED : v1::SHADOW_PHASE_DROPPED);
  co_return reply;
}

Task<void> Standby::discard(v1::DiscardRequest request) {
  UMBRA_CO_CHECK(undamaged(request.vm_uuid()));
  const auto shadow = shadows_.contains(request.vm_uuid()) ? shadows_[request.vm_uuid()] : nullptr;
  if (!shadow) co_return Result<void>{};
  UMBRA_CO_TRY(const auto guard, co_await shadow->lock.lock(kLock + kStart, "another step of this shadow"));
  if (find(request.vm_uuid()) != shadow.get() || shadow->served()) co_return Result<void>{};
  const auto& staged = shadow->request;
  if (request.source() != staged.source() || request.id().journal() != staged.id().journal() ||
      request.id().number() < staged.id().number())
    co_return Result<void>{};  // late: it means the shadow before this one
  co_return co_await drop_as_due(*shadow, request.why());
}

}  // namespace umbra::shadow
