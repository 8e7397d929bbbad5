#include "agentd/shadow/cutover.hpp"

#include <spdlog/spdlog.h>

#include <boost/asio/experimental/awaitable_operators.hpp>

#include "base/fault_point.hpp"

namespace umbra::shadow {
namespace {

using namespace std::chrono_literals;
using namespace asio::experimental::awaitable_operators;
using qmp::MigrationStatus;

constexpr Deadline kCall = 3s;       // one QMP or peer call
constexpr Deadline kConverge = 10s;  // a pass over what is dirty, and what was dirtied meanwhile
constexpr std::chrono::milliseconds kPoll = 2ms;
constexpr double kTell = 250;  // milliseconds between tidings of a phase that lasts
// What QEMU may have left when it leaves warm: the next pass tells whether the link keeps up.
constexpr Bytes kLittle = mebibytes(8);
constexpr Bytes kSome = mebibytes(64);  // of a guest that goes on writing that much in a pass
constexpr auto kQuick = 50ms;           // for a pass to reach the other host
constexpr auto kTolerable = 300ms;      // the same, of a link that is no quicker: QEMU's own downtime limit
constexpr Deadline kRouter = 1s;        // an edge's connection
constexpr Deadline kLastPages = 3s;     // from stop to pre-switchover
constexpr Deadline kResume = 12s;       // from released to RESUME on the standby

double milliseconds(std::chrono::duration<double, std::milli> duration) {
  return duration.count();
}

}  // namespace

Cutover::Cutover(SourceContext& context, Hold& hold, Life& life, DefinitionGuard& guard, v1::Vm vm,
                 v1::CutoverRequest request, Progress progress)
    : context_(context),
      hold_(hold),
      life_(life),
      guard_(guard),
      vm_(std::move(vm)),
      request_(std::move(request)),
      progress_(std::move(progress)),
      standby_(context.peers.peer(request_.standby())),
      asked_(context.clock.steady()),
      asked_wall_(context.clock.wall()) {
  for (const auto& node : request_.routers())
    routers_.emplace_back(node, context_.peers.peer(node));  // connects meanwhile
  result_.set_vm(vm_.name());
  result_.set_vm_uuid(vm_.uuid());
  result_.set_from(context_.config.node);
  result_.set_to(request_.standby().name());
  result_.set_epoch(request_.epoch());
  result_.set_reason(request_.reason());
  result_.set_at_unix_ms(context_.clock.unix_ms());
}

double Cutover::since_asked() const {
  return milliseconds(context_.clock.steady() - asked_);
}

v1::RefuseRequest refusing(const v1::CutoverRequest& cutover, const std::string& why) {
  v1::RefuseRequest refuse;
  refuse.set_vm_uuid(cutover.vm_uuid());
  refuse.set_epoch(cutover.epoch());
  refuse.set_why(why);
  *refuse.mutable_warrant() = cutover.warrant();
  return refuse;
}

/// Closes the phase that was entered before, and tells whoever watches.
void Cutover::enter(std::string phase) {
  const auto now = since_asked();
  if (auto* phases = result_.mutable_phases(); !phases->empty())
    phases->rbegin()->set_took_ms(now - phases->rbegin()->at_ms());
  if (phase.empty()) return;
  auto* entered = result_.add_phases();
  entered->set_name(std::move(phase));
  entered->set_at_ms(now);
  tell(now, {});
}

void Cutover::tell(double at, const qmp::MigrationInfo& info) {
  v1::CutoverProgress progress;
  progress.set_phase(result_.phases().rbegin()->name());
  progress.set_at_ms(at);
  progress.set_remaining_bytes(info.remaining.count);
  progress.set_rate_bytes_per_second(static_cast<double>(info.rate.count));
  progress.set_dirty_bytes_per_second(static_cast<double>(info.dirty_rate.count));
  progress_(progress);
}

asio::awaitable<v1::CutoverResult> Cutover::run() {
  enter("arm");
  co_await fault_point("arm");
  auto step = co_await arm();
  if (step) {
    enter("converge");
    co_await fault_point("converge");
    auto [accepted, reached, converged, withdrawn, compared] =
        co_await (accept() && reach_routers() && converge() && withdraw_autostart() && compare_again());
    step = !accepted    ? std::move(accepted)
           : !reached   ? std::move(reached)
           : !converged ? std::move(converged)
           : !withdrawn ? std::move(withdrawn)
                        : std::move(compared);
  }
  // Of what happened since that look libvirt or QEMU has told; what comes from here on is found while QEMU stops.
  if (step && outdated()) step = co_await compare_again();
  if (step && hold_.watch().halted()) step = fail(paused());
  if (step) {
    enter("promise");
    co_await fault_point("promise");
    // One more pass meanwhile: what is left then is what the guest writes while the routes flip.
    auto [promised, passes] = co_await (life_.apply(Event::kPromise) && hold_.hurry(kCall));
    step = std::move(promised);
    if (!passes) spdlog::warn("{}: {}", vm_.name(), passes.error());  // stop() finds out what has become of the gate
  }
  if (!step) {  // before the promise: the primary has not noticed
    co_await give_up(step.error());
    enter("");
    co_return result_;
  }
  enter("flip");
  co_await fault_point("flip");
  auto routes = flip();
  step = co_await routes.run();
  if (step) {
    enter("stop");
    co_await fault_point("stop");
    step = co_await stop();
  }
  if (step) {
    enter("hand over");
    co_await fault_point("pre-switchover");
    step = co_await hand_over();
  }
  if (step) {
    result_.set_outcome(v1::OUTCOME_MOVED);
    const auto written = co_await life_.apply(Event::kServe);
    if (!written) {  // the standby has it in its journal, and its QEMU runs: recovery will find that
      spdlog::error("{}: {}", vm_.name(), written.error());
      life_.assume(Event::kServe);
    }
  } else {
    enter("settle");
    const auto parked = co_await hold_.park(kCall);  // unparked with little to send, QEMU burns a core
    if (!parked) spdlog::warn("{}: {}", vm_.name(), parked.error());
    result_.set_detail(step.error().text());
    result_.set_outcome(co_await settle(step.error().message));
  }
  enter("");
  co_return result_;
}

/// Durable here, and QEMU's rate limiter woken. Only then is the standby asked: should this agent die in between, its
/// next life knows the epoch to give up.
Task<void> Cutover::arm() {
  UMBRA_CO_CHECK(co_await look());
  life_.set_cutover(request_.SerializeAsString());
  guard_.set_autostart_withdrawn(definition_.autostart);
  life_.set_origin(guard_.stored());
  auto [journaled, unparked] = co_await (life_.apply(Event::kArm, request_.epoch()) && hold_.hurry(kCall));
  UMBRA_CO_CHECK(std::move(journaled));
  UMBRA_CO_CHECK(std::move(unparked));
  co_return Result<void>{};
}

/// Passes the guard's answer on; the controller is not to blame the standby for what people do to the VM.
template <class T>
Result<void> Cutover::tell_of_a_change(const Result<T>& compared) {
  if (compared) return {};
  result_.set_primary_changed(compared.error().code == Errc::kConflict);
  return fail(compared.error());
}

/// What the shadow has not, a cutover would undo: then nothing is armed.
Task<void> Cutover::look() {
  if (guard_.last_seen()) {  // at most a second ago; compare_again() finds what came since
    definition_ = *guard_.last_seen();
    co_return Result<void>{};
  }
  const auto qmp = hold_.qmp();
  auto now = co_await guard_.check(qmp, kCall);
  UMBRA_CO_CHECK(tell_of_a_change(now));
  definition_ = std::move(*now);
  co_return Result<void>{};
}

/// A host that loses power after the hand-over must not start a second copy at boot. Given back by whoever looks after
/// the shadow, should the VM not move.
Task<void> Cutover::withdraw_autostart() {
  if (!definition_.autostart) co_return Result<void>{};
  co_return co_await context_.hypervisor.set_autostart(vm_.uuid(), false, kCall);
}

Error Cutover::paused() {
  result_.set_primary_changed(true);
  return {Errc::kConflict, fmt::format("it was paused on {} meanwhile", context_.config.node),
          "see virsh domstate --reason; resume it there, and try again"};
}

/// libvirt or QEMU has told of something since the last look.
bool Cutover::outdated() {
  guard_.hear_of_jobs(hold_.watch().jobs_told());
  return !guard_.last_seen();
}

/// Before the promise, and beside whatever else it waits for.
Task<void> Cutover::compare_again() {
  const auto qmp = hold_.qmp();
  if (outdated()) {  // by what may be a suspension whose event was lost
    UMBRA_CO_TRY(const auto status, co_await hold_.state_after(kCall));
    if (!status.running) co_return fail(paused());
  }
  const auto now = co_await guard_.check_again(qmp, kCall);
  UMBRA_CO_CHECK(tell_of_a_change(now));
  UMBRA_CO_TRY(const auto change, virt::change_between(definition_, *now));
  if (!change) co_return Result<void>{};
  result_.set_primary_changed(true);
  co_return fail({Errc::kConflict, *change, "it was changed in this very moment; try again"});
}

Task<void> Cutover::accept() {
  v1::AcceptRequest accept;
  accept.set_vm_uuid(vm_.uuid());
  accept.set_epoch(request_.epoch());
  accept.set_source(context_.config.node);
  *accept.mutable_warrant() = request_.warrant();
  *accept.mutable_vm() = vm_;
  *accept.mutable_kept() = to_wire(definition_);
  accepted_ = true;
  guard_.set_handed_over(definition_);
  const auto accepted = co_await standby_->accept(std::move(accept), kCall);
  if (!accepted && !unknown(accepted.error())) accepted_ = false;
  refused_ = !accepted;
  if (!accepted) co_return fail(accepted.error());
  life_.set_peer(accepted->incarnation());  // durable with the promise
  co_return Result<void>{};
}

/// What counts is what has reached the other host: how long a pass takes to get there is how long the next will take.
Task<void> Cutover::converge() {
  const auto deadline = request_.deadline_ms() > 0 ? Deadline(request_.deadline_ms()) : kConverge;
  const auto end = context_.clock.steady() + deadline;
  const auto left = [&] { return std::max(1ms, std::chrono::ceil<Deadline>(end - context_.clock.steady())); };
  auto told = since_asked();
  if (!hold_.hurried()) {  // from warm: QEMU has seconds' worth to send
    const Hold::Interrupted watch = [&](const qmp::MigrationInfo& info) {
      if (since_asked() - told >= kTell) tell(told = since_asked(), info);
      return refused_;
    };
    UMBRA_CO_CHECK(co_await hold_.catch_up(watch, kLittle, kSome, kPoll, left()));
    UMBRA_CO_CHECK(co_await hold_.hurry(kCall));
  }
  for (bool first = true;; first = false) {
    const auto begun = context_.clock.steady();
    UMBRA_CO_TRY(const bool passed, co_await hold_.await_pass(kCall));
    std::function<bool()> given_up = [this] { return refused_; };
    UMBRA_CO_CHECK(co_await hold_.await_arrival(std::move(given_up), left()));
    if (refused_) co_return Result<void>{};  // accept() tells why
    if (hold_.watch().halted()) co_return fail(paused());
    if (!hold_.watch().migrating())
      co_return fail(Errc::kConflict, "the hold was lost while the shadow was brought up to date");
    const auto now = context_.clock.steady();
    if (passed && now - begun <= (first ? kQuick : kTolerable)) co_return Result<void>{};
    if (now >= end)
      co_return fail(Errc::kTimeout,
                     "the guest writes faster than the link carries it: the last pass took {:.0f} ms to get there",
                     milliseconds(now - begun));
    if (since_asked() - told >= kTell) {
      UMBRA_CO_TRY(const auto info, co_await hold_.ask(kCall));
      tell(told = since_asked(), info);
    }
    UMBRA_CO_CHECK(co_await hold_.hurry(kCall));
  }
}

/// A router that cannot be reached now is left out: the old host forwards what it still sends there, and the controller
/// reconciles it when it is back. One that is reached must follow.
Task<void> Cutover::reach_routers() {
  std::vector<std::pair<v1::Node, std::shared_ptr<Peer>>> reached;
  for (auto& [node, peer] : routers_) {
    const auto up = co_await peer->reach(kRouter);
    if (up)
      reached.emplace_back(node, peer);
    else
      context_.note(v1::SEVERITY_WARNING, vm_.name(),
                    fmt::format("{} keeps its old route for now: {}", node.name(), up.error()));
  }
  routers_ = std::move(reached);
  co_return Result<void>{};
}

v1::PointRequest Cutover::pointing() const {
  v1::PointRequest point;
  point.set_vm_uuid(vm_.uuid());
  *point.mutable_addresses() = vm_.addresses();
  point.set_epoch(request_.epoch());
  point.set_host(request_.standby().name());
  point.set_underlay_address(request_.standby().underlay_address());
  *point.mutable_warrant() = request_.warrant();
  return point;
}

v1::UnpointRequest Cutover::unpointing() const {
  v1::UnpointRequest unpoint;
  unpoint.set_vm_uuid(vm_.uuid());
  *unpoint.mutable_addresses() = vm_.addresses();
  unpoint.set_epoch(request_.epoch());
  *unpoint.mutable_warrant() = request_.warrant();
  return unpoint;
}

std::vector<netswitch::Flip::Step> Cutover::flip_steps() {
  using netswitch::Flip;
  const auto remote = [this](Flip::Place place, const v1::Node& node, std::shared_ptr<Peer> peer) {
    return Flip::Step{place, node.name(), [this, peer] { return peer->point(pointing(), kCall); },
                      [this, peer] { return peer->unpoint(unpointing(), kCall); }};
  };
  std::vector<Flip::Step> steps;
  steps.push_back(remote(Flip::Place::kNewHost, request_.standby(), standby_));
  for (const auto& [node, peer] : routers_)
    steps.push_back(remote(node.role() == v1::ROLE_EDGE ? Flip::Place::kEdge : Flip::Place::kOtherHost, node, peer));
  steps.push_back({Flip::Place::kOldHost, context_.config.node,
                   [this]() -> Task<void> { co_return context_.network.point(pointing()); },
                   [this]() -> Task<void> { co_return context_.network.unpoint(unpointing()); }});
  return steps;
}

/// Once it runs there nothing is taken back: every node that can be told is told.
asio::awaitable<void> Cutover::point_all() {
  const auto steps = flip_steps();
  for (const auto& step : steps) {
    const auto pointed = co_await step.apply();
    if (!pointed) spdlog::warn("{}: routes on {}: {}", vm_.name(), step.node, pointed.error());
  }
}

Task<void> Cutover::stop_guest(bool& answered) {
  auto stopped = co_await hold_.qmp().stop(kCall);
  answered = true;
  hold_.changed().notify();
  co_return stopped;
}

/// Not before: a QEMU that may send, with nothing to send, makes tens of thousands of passes a second, and libvirtd,
/// which takes each one's event, comes to its command after them.
Task<void> Cutover::open_once_stopped(const bool& answered) {
  const auto stands_still = [&] { return answered || hold_.watch().halted(); };
  UMBRA_CO_CHECK(co_await hold_.changed().until(stands_still, 2 * kCall, "QEMU's STOP"));
  co_return co_await hold_.let_through(kCall);
}

Task<void> Cutover::stop() {
  bool answered = false;
  auto [stopped, let_through] = co_await (stop_guest(answered) && open_once_stopped(answered));
  UMBRA_CO_CHECK(std::move(stopped));
  UMBRA_CO_CHECK(std::move(let_through));
  const auto released = [&] { return !hold_.watch().migrating(); };
  const auto qmp = hold_.qmp();
  // Asked in the shade of the last pages: from here on the guest writes nothing that a snapshot could take away.
  auto [same_disks, last_pages] =
      co_await (guard_.check_disks(qmp, kCall) && hold_.changed().until(released, kLastPages, "QEMU's pre-switchover"));
  UMBRA_CO_CHECK(std::move(last_pages));
  UMBRA_CO_CHECK(tell_of_a_change(same_disks));
  if (hold_.watch().status() != MigrationStatus::kPreSwitchover)
    co_return fail(Errc::kConflict, "the migration failed while the last pages were sent");
  co_return Result<void>{};
}

/// A QEMU that refuses to go on has lost the migration. Giving it up tells the shadow so: nobody waits for the last
/// pages.
Task<void> Cutover::go_on() {
  auto continued = co_await hold_.qmp().migrate_continue(kCall);
  if (!continued && !unknown(continued.error())) {
    const auto cancelled = co_await hold_.cancel(kCall);
    if (!cancelled) spdlog::warn("{}: {}", vm_.name(), cancelled.error());
  }
  co_return continued;
}

Task<v1::ReleasedReply> Cutover::release(v1::ReleasedRequest released, std::chrono::microseconds& answered) {
  auto reply = co_await standby_->released(std::move(released), kResume);
  answered = context_.clock.wall();
  co_return reply;
}

/// The word goes out together with the last state: the standby waits for both.
Task<void> Cutover::hand_over() {
  v1::ReleasedRequest released;
  released.set_vm_uuid(vm_.uuid());
  released.set_epoch(request_.epoch());
  *released.mutable_warrant() = request_.warrant();
  const auto sent = context_.clock.wall();
  const auto reach = since_asked();
  auto answered = sent;
  life_.release();
  auto [continued, resumed] = co_await (go_on() && release(std::move(released), answered));
  if (!resumed) co_return fail(resumed.error());  // else, whatever QEMU answered here, the guest runs there
  if (!continued) spdlog::warn("{}: migrate-continue: {}", vm_.name(), continued.error());

  // Only differences of one host's clock are taken: STOP to sending here, arrival to RESUME there. What remains is the
  // way of one message, half of the round trip at most known to be shared evenly.
  const auto one_way = std::max(0.0, static_cast<double>((answered - sent).count() - resumed->held_us()) / 2000.0);
  const auto there = static_cast<double>(resumed->resumed_after_us()) / 1000.0;
  result_.set_blackout_ms(static_cast<double>((sent - hold_.watch().stopped_at()).count()) / 1000.0 + one_way + there);
  result_.set_blackout_error_ms(one_way);
  result_.set_reach_ms(reach + one_way + there);
  co_return Result<void>{};
}

/// A guest that is no more is what its owner must hear of, rather than what else failed for it.
void Cutover::tell_of_the_end() {
  result_.set_detail(fmt::format("its guest ended on {} meanwhile (start it again: virsh start {})",
                                 context_.config.node, vm_.name()));
}

Task<bool> Cutover::ended() {
  const auto domain = co_await context_.hypervisor.domain(vm_.uuid(), kCall);
  if (!domain && domain.error().code != Errc::kNotFound) co_return fail(domain.error());
  co_return !domain || domain->state == virt::DomainState::kShutOff;
}

/// Before the promise.
asio::awaitable<void> Cutover::give_up(Error error) {
  result_.set_outcome(v1::OUTCOME_ABORTED);
  result_.set_detail(error.text());
  if (const auto gone = co_await ended(); gone && *gone) tell_of_the_end();
  if (life_.phase() != Phase::kArmed) co_return;
  if (!accepted_ && hold_.watch().migrating()) {  // the standby never took the epoch: the hold is as good as before
    if (const auto kept = co_await life_.apply(Event::kDisarm); kept) co_return;
  }
  auto refuse = refusing(request_, error.message);
  // Its answer does not matter here: nothing was promised, so the standby cannot be told that it was released.
  const auto refused = co_await standby_->refuse(std::move(refuse), kCall);
  if (!refused) spdlog::warn("{}: giving up epoch {}: {}", vm_.name(), request_.epoch(), refused.error());
  const auto cancelled = co_await hold_.cancel(kCall);
  if (!cancelled) {  // still armed: whoever looks after the shadow drops it when QEMU can be asked
    spdlog::warn("{}: {}", vm_.name(), cancelled.error());
    co_return;
  }
  const auto dropped = co_await life_.apply(Event::kDrop);
  if (!dropped) life_.assume(Event::kDrop);
}

asio::awaitable<v1::Outcome> Cutover::settle(std::string why) {
  UMBRA_INVARIANT(life_.phase() == Phase::kPromised && life_.epoch() == request_.epoch(),
                  fmt::format("epoch {} was about to be settled in epoch {}, {}", request_.epoch(), life_.epoch(),
                              to_string(life_.phase())));
  if (!life_.may_be_released()) {  // the standby cannot run it: nobody has to be asked
    const auto back = co_await take_back(Event::kRetract, why);
    if (back) co_return v1::OUTCOME_REFUSED;
    result_.set_detail(
        fmt::format("it was not released, but it cannot run on {} again: {}", context_.config.node, back.error()));
    co_return v1::OUTCOME_UNDECIDED;
  }
  auto refuse = refusing(request_, why);
  refuse.set_incarnation(life_.record().peer);
  const auto answer = co_await standby_->refuse(std::move(refuse), kResume);
  if (!answer) {
    spdlog::warn("{}: {} cannot say who owns it: {}", vm_.name(), request_.standby().name(), answer.error());
    co_return v1::OUTCOME_UNDECIDED;
  }
  if (answer->unknown()) {
    const auto gone = co_await ended();
    const auto here = co_await hold_.state_after(kCall);
    const bool taken_back = here && here->running;  // by this agent's life before, which had not written it yet
    if (!taken_back && (!gone || !*gone)) {
      result_.set_detail(
          fmt::format("{0} has lost the journal with which it took {1} over, so nobody can prove whether it "
                      "has run there; it stays paused here: umbractl resolve {1}",
                      request_.standby().name(), vm_.name()));
      co_return v1::OUTCOME_UNDECIDED;
    }  // else it is decided, or nothing is left here that could run beside what may be there
  } else if (!answer->refused()) {  // it runs there; make sure that all routes say so
    co_await point_all();
    const auto written = co_await life_.apply(Event::kServe);
    if (!written) life_.assume(Event::kServe);
    co_return v1::OUTCOME_MOVED;
  }
  const auto back = co_await take_back(Event::kRefuse, why);
  if (back) co_return v1::OUTCOME_REFUSED;
  result_.set_detail(fmt::format("{} refused it, but it cannot run on {} again: {}", request_.standby().name(),
                                 context_.config.node, back.error()));
  co_return v1::OUTCOME_UNDECIDED;
}

/// The guest runs here, unless it has ended meanwhile. @return whether it runs
Task<bool> Cutover::run_again() {
  UMBRA_CO_TRY(const auto gone, co_await ended());
  if (gone) co_return false;
  const auto cancelled = co_await hold_.cancel(kCall);
  // A migration that completed towards a shadow that refused cannot be cancelled; the guest is paused here all the
  // same.
  if (!cancelled && cancelled.error().code != Errc::kConflict) co_return fail(cancelled.error());
  UMBRA_CO_TRY(const auto status, co_await hold_.state_after(kCall));
  if (status.running) co_return true;
  UMBRA_INVARIANT(life_.phase() == Phase::kPromised, "a guest was about to run here without the right to");
  UMBRA_CO_CHECK(co_await context_.hypervisor.resume(vm_.uuid(), kCall));
  co_return true;
}

/// Of a guest that was stopped in this cutover, and runs here again.
void Cutover::tell_how_long_it_stood() {
  const auto stopped = hold_.watch().stopped_at(), resumed = hold_.watch().resumed_at();
  if (stopped.count() == 0 || stopped < asked_wall_) return;
  const auto until = resumed > stopped ? resumed : context_.clock.wall();
  result_.set_blackout_ms(static_cast<double>((until - stopped).count()) / 1000.0);
}

/// The standby will never run it in this epoch. Nodes that do not answer keep neither the guest nor the routes of the
/// others waiting.
Task<void> Cutover::take_back(Event event, std::string why) {
  auto routes = flip();
  auto [unflipped, runs] = co_await (routes.abort() && run_again());
  if (!unflipped) spdlog::warn("{}: routes: {}", vm_.name(), unflipped.error());
  if (!runs) co_return fail(runs.error());
  if (!*runs) tell_of_the_end();
  tell_how_long_it_stood();
  UMBRA_CO_CHECK(co_await life_.apply(event));
  context_.note(v1::SEVERITY_WARNING, vm_.name(),
                fmt::format("cutover to {} {}, {} on {}: {}", request_.standby().name(),
                            event == Event::kRefuse ? "refused" : "taken back",
                            *runs ? "it runs again" : "and its guest has ended", context_.config.node, why));
  co_return Result<void>{};
}

}  // namespace umbra::shadow
