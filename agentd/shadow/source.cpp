#include "agentd/shadow/source.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>

#include "agentd/shadow/describe.hpp"
#include "base/fault_point.hpp"
#include "proto/words.hpp"

namespace umbra::shadow {
namespace {

using namespace std::chrono_literals;
using qmp::MigrationStatus;

constexpr Deadline kCall = 5s;
constexpr Deadline kStage = 40s;        // the standby starts a QEMU
constexpr Deadline kFirstCopy = 30min;  // a big guest over a slow link
constexpr Deadline kRefresh = 60s;
constexpr auto kObserve = 250ms;  // between looks at a running copy
constexpr auto kPoll = 8ms;
constexpr Bytes kLittle = mebibytes(4);   // a refresh that leaves no more than this has done its work
constexpr Bytes kAnything{~0ULL};         // two passes are a refresh, whatever the guest has written meanwhile
constexpr auto kPowerDown = 2min;         // a guest's way from the power button to its end; some ignore the button
constexpr auto kSettled = 5s;             // libvirt's reboot is over soon after the first change it tells of
constexpr Deadline kCompareCall = 300ms;  // a domain that libvirt is busy with; a power button must not wait for it
constexpr auto kCompare = 1s;             // the least time between two looks at its definition, events aside
constexpr auto kLateCall = 60s;           // libvirt gives up waiting for its turn with a domain after half of that
constexpr auto kLeastBackoff = 1s;
constexpr auto kMostBackoff = 60s;
constexpr auto kTellAgain = 10min;
constexpr std::uint64_t kPassesOfTheFirstCopy = 2;  // QEMU counts the first before it sends anything

/// But for the warrant, which each has of its own.
bool same(const v1::KeepShadowRequest& one, const v1::KeepShadowRequest& other) {
  return one.standby().SerializeAsString() == other.standby().SerializeAsString() && one.tier() == other.tier() &&
         one.refresh_interval_ms() == other.refresh_interval_ms();
}

}  // namespace

/// A cutover that somebody waits for.
struct Source::Pending {
  v1::CutoverRequest request;
  Cutover::Progress progress;
  std::optional<Result<v1::CutoverResult>> answer;
};

Source::Source(SourceContext& context, Record record)
    : context_(context),
      uuid_(record.vm_uuid),
      life_(context.journal, std::move(record)),
      guard_(context.hypervisor, uuid_),
      changed_(context.executor, context.clock) {
  vm_.set_uuid(uuid_);  // the rest once libvirt has told; a question about nobody would be answered, and wrongly
  status_.set_vm_uuid(uuid_);
  status_.set_source(context_.config.node);
}

Source::~Source() = default;

void Source::stop() {
  stopping_ = true;
  changed_.notify();
}

void Source::want(v1::KeepShadowRequest wish) {
  // The same wish once more is worth an attempt; what kept the last ones from succeeding is there still.
  if (!wish_ || !same(*wish_, wish)) backoff_ = 0ms;
  wish_ = std::move(wish);
  renewed_ = true;
  asked_again_ = true;
  changed_.notify();
}

void Source::unwant(std::string why) {
  wish_.reset();
  unwanted_because_ = std::move(why);
  changed_.notify();
}

void Source::lost(const v1::ShadowId& id, std::string why) {
  const auto phase = life_.phase();
  if (id.number() != life_.record().number || given_up_) return;  // another one by now
  if (phase != Phase::kStaged && phase != Phase::kPrecopy && !is_held(phase)) return;
  if (pending_) return;  // a cutover finds out by itself
  given_up_ = std::move(why);
  changed_.notify();
}

std::optional<Kept> Source::kept() const {
  if (!exists(life_.phase()) || life_.phase() == Phase::kMoved || built_.standby().name().empty()) return std::nullopt;
  Kept kept;
  kept.standby = built_.standby();
  kept.shadow.set_vm_uuid(uuid_);
  *kept.shadow.mutable_id() = id();
  kept.shadow.set_phase(static_cast<v1::ShadowPhase>(life_.phase()));
  return kept;
}

void Source::domain_changed(bool anew) {
  guard_.outdate();
  look_ = true;
  if (anew && hold_ && hold_->watch().powering_down()) powered_down_ = true;
  rest_until_ = std::min(rest_until_, context_.clock.steady() + kSettled);
  backoff_ = 0ms;
  changed_.notify();
}

void Source::definition_changed() {
  guard_.outdate();
  look_ = true;
  backoff_ = 0ms;  // what kept its shadow from being made may be over
  changed_.notify();
}

void Source::tell_again() {
  if (life_.phase() != Phase::kPromised) return;
  backoff_ = 0ms;
  changed_.notify();
}

void Source::hypervisor_changed(bool up) {
  hypervisor_up_ = up;
  guard_.outdate();
  reattach_ = true;  // the monitor's events stopped with the connection
  changed_.notify();
}

Task<v1::CutoverResult> Source::cutover(v1::CutoverRequest request, Cutover::Progress progress) {
  if (pending_) co_return fail(Errc::kConflict, "a cutover of {} is under way", vm_.name());
  if (given_up_) co_return fail(Errc::kConflict, "the shadow of {} is being dropped: {}", vm_.name(), *given_up_);
  if (!hypervisor_up_) co_return fail(no_libvirt());
  if (!held())
    co_return fail(
        {Errc::kConflict,
         fmt::format("the shadow of {} is {}", vm_.name().empty() ? uuid_ : vm_.name(), to_string(life_.phase())),
         "it must be warm or hot first: umbractl shadow keep"});
  if (request.epoch() <= life_.epoch())
    co_return fail(Errc::kConflict, "epoch {} is not newer than {}", request.epoch(), life_.epoch());
  if (request.standby().name() != built_.standby().name())
    co_return fail({Errc::kConflict,
                    fmt::format("the shadow of {} is on {}, not on {}", vm_.name(), built_.standby().name(),
                                request.standby().name()),
                    "umbractl migrate builds one where it is asked to"});
  const auto pending = std::make_shared<Pending>(Pending{std::move(request), std::move(progress), std::nullopt});
  pending_ = pending;
  changed_.notify();
  while (!pending->answer) co_await changed_.wait_until(Signal::TimePoint::max());
  co_return *pending->answer;
}

Error Source::no_libvirt() const {
  return {Errc::kConflict,
          fmt::format("libvirtd on {} cannot be reached, so nothing can be moved", context_.config.node),
          "start libvirtd there; the guest and its shadow stay as they are meanwhile"};
}

void Source::answer(Result<v1::CutoverResult> result) {
  if (!pending_) return;
  pending_->answer = std::move(result);
  pending_.reset();
  changed_.notify();
}

asio::awaitable<void> Source::run() {
  try {
    co_await live();
  } catch (const std::exception& bug) {
    answer(fail(Errc::kInternal, "bug: {}", bug.what()));
    throw;
  }
}

asio::awaitable<void> Source::live() {
  co_await recover();
  while (!stopping_ && life_.phase() != Phase::kMoved) {
    if (life_.phase() == Phase::kPromised) {
      co_await settle();
      continue;
    }
    const auto stepped = co_await step();
    if (!stepped) {
      co_await failed(stepped.error());
      context_.changed();
    }
  }
  answer(fail(Errc::kCancelled, "the agent stops"));
  if (life_.phase() == Phase::kMoved) co_await leave();
}

/// One step towards what is wanted, or a wait until something changes.
Task<void> Source::step() {
  const bool there = exists(life_.phase());
  if (reattach_ && hypervisor_up_ && there) UMBRA_CO_CHECK(co_await reattach());
  if (!hypervisor_up_) {  // unknown is not gone: whatever is held stays held
    answer(fail(no_libvirt()));
    co_await pause(kMostBackoff);
    co_return Result<void>{};
  }
  if (!there && context_.clock.steady() < late_stop_until_) UMBRA_CO_CHECK(co_await undo_late_stop());
  if (guard_.autostart_withdrawn()) co_await give_back_autostart();
  if (given_up_) {
    const std::string why = *given_up_;  // GCC 12 destroys it twice inside co_await
    co_return co_await drop(why);
  }
  const bool fits = wish_ && built_.standby().name() == wish_->standby().name() && wish_->tier() != v1::TIER_PROFILE &&
                    !(hold_ && wish_->tier() == v1::TIER_STAGED);  // a precopy cannot be unsent: staging begins anew
  if (there && !fits) {
    const std::string why = wish_ ? "another shadow is wanted" : unwanted_because_;  // a local for GCC 12, as above
    co_return co_await drop(why);
  }
  switch (life_.phase()) {
    case Phase::kProfile:
    case Phase::kDropped:
      if (context_.clock.steady() < rest_until_) {
        co_await changed_.wait_until(rest_until_);
        co_return Result<void>{};
      }
      if (wish_ && wish_->tier() != v1::TIER_PROFILE) co_return co_await stage();
      break;
    case Phase::kStaged:
      if (wish_->tier() >= v1::TIER_WARM) co_return co_await precopy();
      break;
    case Phase::kWarm:
    case Phase::kHot:
      co_return co_await keep();
    case Phase::kStaging:
    case Phase::kPrecopy:
    case Phase::kArmed:  // given up, but not let go yet
      co_return co_await drop("it could not be dropped earlier");
    case Phase::kPromised:
    case Phase::kMoved:
    case Phase::kServing:
      co_return fail(Errc::kInternal, "no step begins while {}", to_string(life_.phase()));  // run() sees to these
  }
  co_await pause(kMostBackoff);
  co_return Result<void>{};
}

/// A guest that was asked to shut down loses its shadow at once. Its end would lift the hold, and a QEMU that finishes
/// a migration refuses the `cont` with which libvirt lets a rebooted guest run; libvirt then ends the guest.
Result<void> Source::undisturbed() {
  if (!hold_->watch().powering_down()) return {};
  rest_until_ = context_.clock.steady() + (powered_down_ ? std::chrono::milliseconds(kSettled) : kPowerDown);
  return fail(Errc::kConflict, "{} was asked to shut down or reboot; its shadow is built again when that is over",
              vm_.name());
}

/// libvirt may carry out a `stop` long after the cutover that asked for it, and the agent that did, are over. Nobody
/// else would let that guest run again. One that a person suspended stays so.
Task<void> Source::undo_late_stop() {
  const auto domain = co_await context_.hypervisor.domain(uuid_, kCall);
  if (!domain || domain->state != virt::DomainState::kPaused || domain->suspended) co_return Result<void>{};
  qmp::Client qmp(context_.hypervisor.monitor(uuid_));
  UMBRA_CO_TRY(const auto status, co_await qmp.status(kCall));
  if (status.state != qmp::RunState::kPaused) co_return Result<void>{};
  UMBRA_INVARIANT(!exists(life_.phase()), "a guest was about to run here without the right to");
  context_.note(v1::SEVERITY_WARNING, domain->name,
                "it was stopped for a cutover that had been taken back by then; it runs again");
  co_return co_await context_.hypervisor.resume(uuid_, kCall);
}

Task<virt::Domain> Source::primary() {
  UMBRA_CO_TRY(auto domain, co_await context_.hypervisor.domain(uuid_, kCall));
  vm_ = describe(domain);
  status_.set_vm_name(domain.name);
  if (domain.state != virt::DomainState::kRunning) co_return fail(Errc::kConflict, "{} does not run", domain.name);
  if (!domain.refusal.empty())
    co_return fail(Errc::kUnsupported, "{} cannot have a shadow: {}", domain.name, domain.refusal);
  co_return domain;
}

Task<void> Source::stage() {
  auto wish = *wish_;
  renewed_ = false;
  UMBRA_CO_TRY(const auto domain, co_await primary());
  v1::StageRequest request;
  *request.mutable_vm() = vm_;
  request.set_source(context_.config.node);
  const qmp::Client qmp(context_.hypervisor.monitor(uuid_));
  UMBRA_CO_TRY(const auto channels, co_await Hold::usable_channels(qmp, context_.config.channels, kCall));
  request.set_channels(channels);
  UMBRA_CO_TRY(auto definition, co_await guard_.begin(kCall));
  request.set_domain_xml(std::move(definition.live_xml));
  built_ = std::move(wish);
  *request.mutable_warrant() = built_.warrant();
  standby_ = context_.peers.peer(built_.standby());
  life_.set_wish(built_.SerializeAsString());
  life_.set_origin(guard_.stored());
  life_.set_number(context_.journal.next_number());
  *request.mutable_id() = id();
  UMBRA_CO_CHECK(co_await life_.apply(Event::kStage));
  status_ = {};
  status_.set_vm_uuid(uuid_);
  status_.set_vm_name(domain.name);
  status_.set_source(context_.config.node);
  context_.changed();
  co_await fault_point("staging");
  UMBRA_CO_TRY(const auto reply, co_await standby_->stage(std::move(request), kStage));
  UMBRA_CO_CHECK(co_await life_.apply(Event::kStaged));
  stream_ = reply.stream();
  channels_ = std::max(reply.channels(), 1U);
  co_return Result<void>{};
}

Task<void> Source::precopy() {
  UMBRA_CO_TRY(const auto domain, co_await primary());
  UMBRA_CO_CHECK(co_await life_.apply(Event::kMigrate));
  UMBRA_CO_TRY(gate_, co_await open_gate());
  take_monitor();
  const auto opened = co_await hold_->open("unix:" + gate_->where(), channels_, kCall);
  if (!opened) {
    // A migration that is under way already is somebody else's, and not ours to cancel.
    if (opened.error().code != Errc::kTimeout && opened.error().code != Errc::kUnavailable) hold_.reset();
    co_return fail(opened.error());
  }
  const auto line = fmt::format(
      "[umbra] a shadow of this VM is held on {}: hot-plug, save and migration are refused until "
      "'umbractl shadow drop {}'",
      built_.standby().name(), domain.name);
  const auto annotated = co_await context_.hypervisor.annotate(uuid_, line, kCall);
  if (!annotated) spdlog::warn("{}: cannot annotate the domain: {}", domain.name, annotated.error());
  co_await fault_point("bulk-copy");
  const auto end = context_.clock.steady() + kFirstCopy;
  for (;;) {
    UMBRA_CO_CHECK(undisturbed());
    if (!hold_->watch().migrating()) co_return fail(lost("the copy of its memory broke off"));
    if (!wish_ || stopping_ || !hypervisor_up_ || given_up_)
      co_return fail(Errc::kCancelled, "given up during the first copy");
    if (context_.clock.steady() >= end)
      co_return fail(Errc::kTimeout, "the first copy of its memory did not end within {} s", kFirstCopy.count() / 1000);
    UMBRA_CO_TRY(const auto passes, co_await observe());
    link_ = std::max(link_, BytesPerSecond{static_cast<std::uint64_t>(status_.rate_bytes_per_second())});
    if (passes >= kPassesOfTheFirstCopy) break;
    co_await pause(kObserve);
  }
  UMBRA_CO_CHECK(co_await hold_->park(kCall));
  UMBRA_CO_CHECK(co_await life_.apply(Event::kSynced));
  status_.set_refreshed_at_unix_ms(context_.clock.unix_ms());
  refresh_due_ = context_.clock.steady() + interval();
  backoff_ = 0ms;
  told_dropped_.clear();
  UMBRA_CO_CHECK(co_await observe());
  context_.note(v1::SEVERITY_INFO, domain.name, fmt::format("shadow on {} is warm", built_.standby().name()));
  co_return Result<void>{};
}

std::chrono::milliseconds Source::interval() const {
  const auto asked = wish_ ? wish_->refresh_interval_ms() : 0;
  return asked > 0 ? std::chrono::milliseconds(asked) : context_.config.refresh_interval;
}

/// Is the shadow still what its primary is? @error kConflict it must be made anew
Task<void> Source::compare() {
  const auto qmp = hold_->qmp();
  const auto view = co_await guard_.look(qmp, kCompareCall);
  compare_due_ = context_.clock.steady() + kCompare;
  UMBRA_CO_CHECK(undisturbed());
  if (!view && view.error().code != Errc::kInvalid) {  // it is asked again, and before any cutover
    spdlog::debug("{}: {}", vm_.name(), view.error());
    co_return Result<void>{};
  }
  if (!view) co_return fail(view.error());
  busy_ = view->state == DefinitionGuard::State::kBusy ? view->why + "; it is not moved before that ends" : "";
  if (view->state != DefinitionGuard::State::kDiffers) co_return Result<void>{};
  context_.note(v1::SEVERITY_WARNING, vm_.name(),
                fmt::format("it was changed while a shadow was held: {}; the shadow is made anew", view->why));
  co_return fail(Errc::kConflict, "it was changed since: {}", view->why);
}

/// A cutover that did not move it had told libvirt not to start it at boot here.
asio::awaitable<void> Source::give_back_autostart() {
  if (guard_.autostart()) {
    const auto set = co_await context_.hypervisor.set_autostart(uuid_, true, kCall);
    if (!set && unknown(set.error())) co_return;                // again
    if (!set) spdlog::warn("{}: {}", vm_.name(), set.error());  // it is not defined any more
  }
  guard_.set_autostart_withdrawn(false);
  life_.set_origin(guard_.stored());
  const auto saved = co_await life_.save();
  if (!saved) spdlog::warn("{}: {}", vm_.name(), saved.error());  // at worst it is given back once more
}

/// Warm or hot: looks whether the hold still stands, then does the next thing that is due.
Task<void> Source::keep() {
  const auto& watch = hold_->watch();
  UMBRA_CO_CHECK(undisturbed());
  if (watch.status() == MigrationStatus::kPreSwitchover) {  // something paused the guest; nobody authorised a cutover
    context_.note(v1::SEVERITY_WARNING, vm_.name(),
                  "the guest was paused, which lifted the hold; the shadow will be rebuilt");
    co_return fail(Errc::kConflict, "the guest was paused");
  }
  if (!watch.migrating()) co_return fail(lost("the hold was lost"));
  if (watch.halted()) co_return co_await wait_suspended();
  if (std::exchange(look_, false)) {
    const auto domain = co_await primary();
    if (watch.halted()) co_return Result<void>{};  // in the same moment
    UMBRA_CO_CHECK(domain);
    compare_due_ = {};
  }
  if (guard_.hear_of_jobs(watch.jobs_told())) compare_due_ = {};
  if (pending_) co_return co_await perform(pending_);
  if (context_.clock.steady() >= compare_due_) UMBRA_CO_CHECK(co_await compare());
  if (!wish_) co_return Result<void>{};
  if (std::exchange(renewed_, false)) {
    built_ = *wish_;
    life_.set_wish(built_.SerializeAsString());
    refresh_due_ = std::min(refresh_due_, context_.clock.steady() + interval());
  }
  const bool hot = wish_->tier() == v1::TIER_HOT;
  if (hot != (life_.phase() == Phase::kHot)) {
    UMBRA_CO_CHECK(co_await life_.apply(hot ? Event::kHeat : Event::kCool));
    UMBRA_CO_CHECK(co_await as_its_tier_wants());
    refresh_due_ = context_.clock.steady() + (hot ? std::chrono::milliseconds(0) : interval());
    context_.changed();
  }
  if (context_.clock.steady() >= refresh_due_) {
    if (hot) co_return co_await follow();
    co_return co_await refresh();
  }
  co_await changed_.wait_until(refresh_due_);
  co_return Result<void>{};
}

/// Brings the shadow up to date and parks again, or leaves that to a cutover that is asked meanwhile.
Task<void> Source::refresh() {
  co_await fault_point("refreshing");
  co_await look_at_gate();
  const auto begun = context_.clock.steady();
  const auto refreshed_before = status_.refreshed_at_unix_ms();
  const auto sent_before = status_.transferred_bytes();
  refresh_due_ = std::max(refresh_due_ + interval(), begun);  // keeps its beat, but never runs after lost ones
  const auto& watch = hold_->watch();
  const Hold::Interrupted interrupted = [this](const auto&) {
    return pending_ || stopping_ || !hypervisor_up_ || given_up_ || hold_->watch().powering_down() ||
           hold_->watch().halted();
  };
  const auto refreshed = co_await hold_->catch_up(interrupted, kLittle, kAnything, kPoll, kRefresh);
  if (pending_ || !watch.migrating() || !hypervisor_up_ || watch.powering_down())
    co_return Result<void>{};  // keep() looks after it
  UMBRA_CO_CHECK(co_await hold_->park(kCall));
  if (!refreshed) {
    status_.set_detail(refreshed.error().text());
    co_return Result<void>{};
  }
  status_.set_detail("");
  status_.set_refreshed_at_unix_ms(context_.clock.unix_ms());
  status_.set_last_refresh_ms(
      std::chrono::duration_cast<std::chrono::milliseconds>(context_.clock.steady() - begun).count());
  status_.set_refreshes(status_.refreshes() + 1);
  take(*refreshed);
  const auto since_last = status_.refreshed_at_unix_ms() - refreshed_before;
  if (since_last > 0 && status_.transferred_bytes() >= sent_before)
    status_.set_dirty_bytes_per_second(static_cast<double>(status_.transferred_bytes() - sent_before) * 1000.0 /
                                       static_cast<double>(since_last));
  co_return Result<void>{};
}

/// Takes QEMU's counters into the status; gives its passes over the dirty bitmap.
Task<std::uint64_t> Source::observe() {
  UMBRA_CO_TRY(const auto info, co_await hold_->ask(kCall));
  take(info);
  context_.changed();
  co_return info.dirty_sync_count;
}

void Source::take(const qmp::MigrationInfo& info) {
  status_.set_total_bytes(info.total.count);
  status_.set_transferred_bytes(info.transferred.count);
  status_.set_remaining_bytes(info.remaining.count);
  status_.set_rate_bytes_per_second(static_cast<double>(info.rate.count));
  if (life_.phase() == Phase::kPrecopy) status_.set_dirty_bytes_per_second(static_cast<double>(info.dirty_rate.count));
}

Task<void> Source::perform(std::shared_ptr<Pending> pending) {
  if (vm_.name().empty()) UMBRA_CO_CHECK(co_await primary());  // its addresses are needed
  Cutover cutover(context_, *hold_, life_, guard_, vm_, pending->request, pending->progress);
  const auto result = co_await cutover.run();
  last_cutover_ = result;
  context_.ended(result);
  const auto severity = result.outcome() == v1::OUTCOME_MOVED       ? v1::SEVERITY_INFO
                        : result.outcome() == v1::OUTCOME_UNDECIDED ? v1::SEVERITY_ALERT
                                                                    : v1::SEVERITY_WARNING;
  context_.note(severity, vm_.name(),
                fmt::format("cutover to {} (epoch {}): {}, blackout {:.1f} ms{}{}", result.to(), result.epoch(),
                            outcome_name(result.outcome()), result.blackout_ms(), result.detail().empty() ? "" : ": ",
                            result.detail()));
  answer(result);
  compare_due_ = {};  // what aborted it may be a change
  if (life_.phase() == Phase::kDropped) {
    hold_.reset();
    end_gate("the cutover was taken back");
    if (result.outcome() == v1::OUTCOME_REFUSED) late_stop_until_ = context_.clock.steady() + kLateCall;
    co_await pause(kLeastBackoff);
  } else if (held()) {
    UMBRA_CO_CHECK(co_await as_its_tier_wants());
  }
  co_return Result<void>{};
}

/// The monitor has one listener: the one before must be gone when the next takes its place.
void Source::take_monitor() {
  powered_down_ = false;
  hold_.reset();
  hold_ = std::make_unique<Hold>(context_.hypervisor.monitor(uuid_), changed_, context_.clock, gate_);
}

/// Cancels the precopy. Until QEMU has said so the shadow is not dropped: one that was lifted keeps the guest paused.
/// @error kUnavailable, kTimeout try again
Task<void> Source::let_go() {
  const auto cancelled = co_await hold_->cancel(kCall);
  if (cancelled) co_return Result<void>{};
  if (cancelled.error().code == Errc::kConflict) {  // an earlier one completed; a guest that runs was taken back since
    UMBRA_CO_TRY(const auto here, co_await hold_->state_after(kCall));
    if (here.running) co_return Result<void>{};
    // By a promise that this journal does not know: it was restored from a time before. Nothing is held any more.
    if (here.state == qmp::RunState::kPostMigrate && life_.phase() != Phase::kPromised) co_return Result<void>{};
  }
  const auto domain = co_await context_.hypervisor.domain(uuid_, kCall);
  const bool ended = domain ? domain->state == virt::DomainState::kShutOff : domain.error().code == Errc::kNotFound;
  if (ended) co_return Result<void>{};
  co_return fail(cancelled.error());
}

/// Ends whatever there is of the shadow, on both sides. What cannot be done now on the standby it does itself when it
/// finds the migration broken off; what cannot be done now on this side is tried again.
Task<void> Source::drop(std::string why) {
  given_up_ = why;
  answer(fail(Errc::kConflict, "the shadow was lost: {}", why));
  if (hold_) {
    UMBRA_CO_CHECK(co_await let_go());
    const auto cleared = co_await context_.hypervisor.annotate(uuid_, "", kCall);
    if (!cleared && cleared.error().code != Errc::kNotFound) spdlog::warn("{}: {}", vm_.name(), cleared.error());
    hold_.reset();
  }
  end_gate(why);
  if (standby_) {
    v1::DiscardRequest discard;
    discard.set_vm_uuid(uuid_);
    discard.set_why(why);
    discard.set_source(context_.config.node);
    *discard.mutable_warrant() = built_.warrant();
    *discard.mutable_id() = id();
    const auto discarded = co_await standby_->discard(std::move(discard), kCall);
    if (!discarded)
      spdlog::warn("{}: discarding the shadow on {}: {}", vm_.name(), built_.standby().name(), discarded.error());
  }
  if (!wish_) life_.set_wish({});
  UMBRA_CO_CHECK(co_await life_.apply(Event::kDrop));
  given_up_.reset();
  status_.set_detail(why);
  tell_dropped(fmt::format("shadow on {} dropped: {}", built_.standby().name(), why));
  changed_.notify();
  co_return Result<void>{};
}

/// What is refused is tried on: the same end of it is told once, and again only minutes later.
void Source::tell_dropped(std::string text) {
  const auto now = context_.clock.steady();
  if (text == told_dropped_ && now < tell_dropped_at_) return;
  context_.note(v1::SEVERITY_INFO, vm_.name(), text);
  told_dropped_ = std::move(text);
  tell_dropped_at_ = now + kTellAgain;
}

v1::ShadowId Source::id() const {
  v1::ShadowId id;
  id.set_journal(context_.journal.incarnation());
  id.set_number(life_.record().number);
  return id;
}

asio::awaitable<void> Source::pause(std::chrono::milliseconds at_most) {
  co_await changed_.wait_until(context_.clock.steady() + at_most);
}

v1::Shadow Source::status() const {
  auto status = status_;
  status.set_standby((wish_ ? *wish_ : built_).standby().name());
  status.set_tier(wish_ ? wish_->tier() : v1::TIER_PROFILE);
  status.set_phase(static_cast<v1::ShadowPhase>(life_.phase()));
  status.set_refresh_interval_ms(interval().count());
  v1::WarrantStatement warrant;
  if (warrant.ParseFromString((wish_ ? *wish_ : built_).warrant().statement()))
    status.set_warrant_until_unix_ms(warrant.not_after_unix_ms());
  if (held() && !busy_.empty()) status.set_detail(busy_);
  return status;
}

}  // namespace umbra::shadow
