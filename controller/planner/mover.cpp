#include "controller/planner/mover.hpp"

#include <spdlog/spdlog.h>

#include "controller/planner/standstill.hpp"
#include "controller/words.hpp"
#include "umbra/v1/agent.rpc.hpp"

namespace umbra::controller {
namespace {

using namespace std::chrono_literals;

constexpr Deadline kCall = 5s;
constexpr Deadline kCutover = 2min;  // more than all that a source waits for in one; then it is asked how it ended
constexpr auto kAskAgain = 500ms;
constexpr auto kPatience = 60s;            // with a source that cannot say how a cutover ended
constexpr auto kProofWaits = 15s;          // for a source that answers, but does not know yet: it has the figures
constexpr auto kEpochsWait = 40s;          // for nodes that register after the controller's start
constexpr unsigned kDenialsThatCount = 4;  // an agent that has just restarted may not have read its journal yet

bool is_final(v1::Outcome outcome) {
  return outcome == v1::OUTCOME_MOVED || outcome == v1::OUTCOME_ABORTED || outcome == v1::OUTCOME_REFUSED;
}

bool is_held(const VmRecord& record, const std::string& standby) {
  return record.shadow && record.shadow->standby() == standby &&
         (record.shadow->phase() == v1::SHADOW_PHASE_WARM || record.shadow->phase() == v1::SHADOW_PHASE_HOT);
}

Result<void> check_up(const Inventory& inventory, const std::string& host) {
  const auto* node = inventory.node(host);
  if (node != nullptr && node->up) return {};
  return fail(Errc::kUnavailable, "{} is down", host);
}

double milliseconds_since(TimePoint begun, TimePoint now) {
  return std::chrono::duration<double, std::milli>(now - begun).count();
}

/// "arm 2.1, converge 14.0, … ms"; empty when the source told no phases.
std::string phases_text(const v1::CutoverResult& result) {
  std::string text;
  for (const auto& phase : result.phases())
    text += fmt::format("{}{} {:.1f}", text.empty() ? "" : ", ", phase.name(), phase.took_ms());
  return text.empty() ? text : fmt::format(" ({} ms)", text);
}

v1::CutoverResult result_of(const Move& move, Epoch epoch, v1::Outcome outcome, std::string detail) {
  v1::CutoverResult result;
  result.set_vm(move.vm);
  result.set_vm_uuid(move.vm_uuid);
  result.set_from(move.from);
  result.set_to(move.to);
  result.set_epoch(epoch);
  result.set_reason(move.reason);
  result.set_outcome(outcome);
  result.set_detail(std::move(detail));
  return result;
}

}  // namespace

Mover::Mover(Inventory& inventory, Store& store, EventLog& events, Clock& clock, asio::any_io_executor executor,
             TaskGroup& tasks, ShadowKeeper& keeper, const WarrantIssuer& warrants, Ended ended)
    : inventory_(inventory),
      store_(store),
      events_(events),
      clock_(clock),
      tasks_(tasks),
      keeper_(keeper),
      warrants_(warrants),
      ended_(std::move(ended)),
      changed_(std::move(executor), clock) {}

Result<std::shared_ptr<const Move>> Mover::cutover(const std::string& vm_uuid, const std::string& reason,
                                                   const std::string& actor, Note note) {
  const auto* record = inventory_.vm(vm_uuid);
  if (record == nullptr) return fail({Errc::kNotFound, "the VM is gone", "see umbractl vms"});
  UMBRA_CHECK(inventory_.check_owned(*record));
  const auto standby = record->shadow ? record->shadow->standby() : std::string{};
  if (!is_held(*record, standby)) {
    UMBRA_CHECK(inventory_.check_runs(*record));
    return fail({Errc::kConflict,
                 standby.empty() ? fmt::format("{} has no shadow", record->vm.name())
                                 : fmt::format("the shadow of {} on {} is not warm but {}", record->vm.name(), standby,
                                               phase_name(record->shadow->phase())),
                 fmt::format("warm one first: umbractl shadow keep {0}, or umbractl migrate {0} --to HOST",
                             record->vm.name())});
  }
  UMBRA_TRY(auto move, begin(*record, standby, reason, actor));
  tasks_.spawn(run(move, false, std::move(note)));
  return move;
}

Result<std::shared_ptr<const Move>> Mover::migrate(const std::string& vm_uuid, const std::string& to,
                                                   const std::string& reason, const std::string& actor) {
  const auto* record = inventory_.vm(vm_uuid);
  if (record == nullptr) return fail({Errc::kNotFound, "the VM is gone", "see umbractl vms"});
  UMBRA_CHECK(inventory_.check_owned(*record));
  if (record->host == to)
    return fail({Errc::kConflict, fmt::format("{} is on {} already", record->vm.name(), to), "name another host"});
  UMBRA_TRY(auto move, begin(*record, to, reason, actor));
  tasks_.spawn(run(move, true, {}));
  return move;
}

Result<std::shared_ptr<Move>> Mover::begin(const VmRecord& record, const std::string& to, const std::string& reason,
                                           const std::string& actor) {
  if (!record.objection.empty())
    return fail({Errc::kConflict, fmt::format("{} is not moved: {}", record.vm.name(), record.objection),
                 "umbractl doctor tells what to do"});
  UMBRA_CHECK(inventory_.begin_move(record.vm.uuid(), to));
  auto move = std::make_shared<Move>();
  move->vm_uuid = record.vm.uuid();
  move->vm = record.vm.name();
  move->from = record.host;
  move->to = to;
  move->reason = reason;
  move->actor = actor;
  move->begun = clock_.steady();
  moves_[move->vm_uuid] = move;
  return move;
}

asio::awaitable<void> Mover::run(std::shared_ptr<Move> move, bool warm_first, Note note) {
  if (warm_first) {
    const auto warmed = co_await warm(move);
    if (!warmed) {
      finish(move, fail(with_context(warmed.error(), fmt::format("{} stays on {}", move->vm, move->from))));
      co_return;
    }
  }
  auto end = co_await cut_over(move, std::move(note));
  finish(move, std::move(end));
}

Task<void> Mover::warm(std::shared_ptr<Move> move) {
  keeper_.begin_afresh(move->vm_uuid);
  Standstill standstill(clock_, inventory_.heartbeat().interval);
  while (true) {
    const auto* record = inventory_.vm(move->vm_uuid);
    if (record == nullptr) co_return fail(Errc::kNotFound, "the VM is gone");
    if (record->host != move->from) co_return fail(Errc::kConflict, "the VM is on {} now", record->host);
    if (is_held(*record, move->to)) co_return Result<void>{};
    UMBRA_CO_CHECK(check_up(inventory_, move->from));
    UMBRA_CO_CHECK(check_up(inventory_, move->to));
    UMBRA_CO_CHECK(standstill.look(record->shadow ? &*record->shadow : nullptr, move->vm));
    ShadowWish wish{move->to, v1::TIER_WARM};
    keeper_.wish(move->vm_uuid, wish);
    if (const auto failure = keeper_.last_failure(move->vm_uuid)) co_return fail(*failure);
    if (record->shadow && record->shadow->standby() == move->to) {
      const auto& shadow = *record->shadow;
      v1::MoveProgress progress;
      progress.set_phase(std::string(phase_name(shadow.phase())));
      progress.set_total_bytes(shadow.total_bytes());
      progress.set_transferred_bytes(shadow.transferred_bytes());
      progress.set_remaining_bytes(shadow.remaining_bytes());
      progress.set_rate_bytes_per_second(shadow.rate_bytes_per_second());
      progress.set_dirty_bytes_per_second(shadow.dirty_bytes_per_second());
      const double net = shadow.rate_bytes_per_second() - shadow.dirty_bytes_per_second();
      if (net > 0) progress.set_eta_ms(1000 * static_cast<double>(shadow.remaining_bytes()) / net);
      tell(*move, std::move(progress));
    }
    co_await inventory_.changed().wait_until(clock_.steady() + inventory_.heartbeat().interval);
  }
}

Result<v1::CutoverRequest> Mover::request(const Move& move, Epoch epoch) const {
  const auto* record = inventory_.vm(move.vm_uuid);
  if (record == nullptr) return fail({Errc::kNotFound, "the VM is gone", "see umbractl vms"});
  v1::CutoverRequest request;
  request.set_vm_uuid(move.vm_uuid);
  request.set_epoch(epoch);
  request.set_reason(move.reason);
  if (const auto* standby = inventory_.node(move.to)) *request.mutable_standby() = standby->node;
  for (auto& router : inventory_.routers(move.from, move.to)) *request.add_routers() = std::move(router);
  UMBRA_TRY(*request.mutable_warrant(), warrants_.cutover(*record, request));
  return request;
}

Task<v1::CutoverResult> Mover::cut_over(std::shared_ptr<Move> move, Note note) {
  UMBRA_CO_CHECK(inventory_.session(move->from));
  co_await await_epochs();
  UMBRA_CO_TRY(const auto epoch, enter_epoch(*move, note));
  move->epoch = epoch;
  reported_.erase(move->vm_uuid);
  auto result = co_await stream(move, epoch);
  if (result && is_final(result->outcome())) co_return result;
  auto why = result ? result->detail() : result.error().text();
  co_return co_await ask(move, epoch, std::move(why));
}

asio::awaitable<void> Mover::await_epochs() {
  const auto until = clock_.steady() + kEpochsWait;
  while (!inventory_.epochs_certain() && clock_.steady() < until)
    co_await inventory_.changed().wait_until(clock_.steady() + inventory_.heartbeat().interval);
}

/// All that is written before the order goes out: whoever ordered it waits for the disk once.
Result<Epoch> Mover::enter_epoch(const Move& move, const Note& note) {
  return inventory_.take_epoch(move.vm_uuid, [&](Epoch epoch) -> Result<void> {
    auto open = result_of(move, epoch, v1::OUTCOME_UNSPECIFIED, "");
    open.set_at_unix_ms(clock_.unix_ms());
    UMBRA_CHECK(store_.log.save_cutover(open));
    events_.add(v1::EVENT_KIND_CUTOVER, v1::SEVERITY_INFO,
                fmt::format("cutover from {} to {} in epoch {}: {}", move.from, move.to, epoch, move.reason),
                {move.from, move.vm}, move.actor);
    if (note) note(move);
    return {};
  });
}

Task<v1::CutoverResult> Mover::stream(std::shared_ptr<Move> move, Epoch epoch) {
  UMBRA_CO_TRY(auto session, inventory_.session(move->from));
  v1::AgentClient agent(session);
  UMBRA_CO_TRY(auto asked, request(*move, epoch));
  UMBRA_CO_TRY(auto updates, co_await agent.cutover(std::move(asked), kCutover));
  while (true) {
    UMBRA_CO_TRY(const auto update, co_await updates.next());
    if (!update) co_return fail(Errc::kUnavailable, "{} ended its account of the cutover without a result", move->from);
    if (update->has_result()) {
      auto result = update->result();
      if (result.epoch() != epoch || result.vm_uuid() != move->vm_uuid)
        co_return fail(Errc::kCorrupt, "{} told of another cutover, epoch {}", move->from, result.epoch());
      co_return result;
    }
    v1::MoveProgress progress;
    progress.set_phase(update->phase());
    progress.set_at_ms(update->at_ms());
    progress.set_remaining_bytes(update->remaining_bytes());
    progress.set_rate_bytes_per_second(update->rate_bytes_per_second());
    progress.set_dirty_bytes_per_second(update->dirty_bytes_per_second());
    tell(*move, std::move(progress));
  }
}

asio::awaitable<v1::CutoverResult> Mover::ask(std::shared_ptr<Move> move, Epoch epoch, std::string why) {
  move->asking_since = clock_.steady();
  v1::MoveProgress progress;
  progress.set_phase(fmt::format("asking {} how it ended", move->from));
  tell(*move, std::move(progress));
  bool alerted = false;
  unsigned denials = 0, sightings = 0;
  while (true) {
    // A report may bring the answer too.
    if (const auto told = reported_.find(move->vm_uuid); told != reported_.end() && told->second.epoch() == epoch)
      co_return told->second;
    bool answers = false;  // the source, and so it will know in a moment
    if (const auto session = inventory_.session(move->from)) {
      v1::AgentClient agent(*session);
      v1::LastCutoverRequest question;
      question.set_vm_uuid(move->vm_uuid);
      const auto answer = co_await agent.last_cutover(std::move(question), kCall);
      const bool this_one = answer && answer->result().epoch() == epoch;
      if (this_one && is_final(answer->result().outcome())) co_return answer->result();
      answers = this_one;
      if (this_one && answer->result().outcome() == v1::OUTCOME_UNDECIDED) why = answer->result().detail();
      // It never began, if the source says so steadily and runs the VM. One that has it paused may have lost its
      // journal in the middle of it: then the standby must have been heard too, which says what it serves, and what it
      // takes part in.
      const bool denied = !this_one && (answer || answer.error().code == Errc::kNotFound);
      const auto source_has = has(move->from, move->vm_uuid), standby_has = has(move->to, move->vm_uuid);
      const auto* record = inventory_.vm(move->vm_uuid);
      const bool runs = record != nullptr && record->host == move->from && record->vm.state() == v1::VM_STATE_RUNNING;
      const bool certain = source_has == true
                               ? runs || (standby_has.has_value() && !takes_part(move->to, move->vm_uuid))
                               : source_has == false && standby_has == false;
      denials = denied && certain ? denials + 1 : 0;
      if (denials >= kDenialsThatCount) {
        auto never =
            result_of(*move, epoch, v1::OUTCOME_ABORTED, fmt::format("{} never began it: {}", move->from, why));
        never.set_primary_changed(true);
        co_return never;
      }
      // Both journals are lost, or from before: a guest that runs on the one and is not there on the other speaks
      // itself.
      const bool seen = denied && source_has == false && runs_on(move->to, move->vm_uuid);
      sightings = seen ? sightings + 1 : 0;
      if (sightings >= kDenialsThatCount)
        co_return result_of(*move, epoch, v1::OUTCOME_MOVED,
                            fmt::format("it runs on {}, and {} has no copy of it; neither journal tells of the cutover",
                                        move->to, move->from));
    }
    if (!answers || clock_.steady() - *move->asking_since >= kProofWaits)
      if (auto proof = proven(*move, epoch)) co_return *proof;
    if (!alerted && clock_.steady() - *move->asking_since >= kPatience) {
      alerted = true;
      events_.add(
          v1::EVENT_KIND_CUTOVER, v1::SEVERITY_ALERT,
          fmt::format("nobody can say how the cutover from {} to {} in epoch {} ended: {}. It is asked on; bring {} "
                      "back, or see what each side knows: umbractl resolve {}",
                      move->from, move->to, epoch, why, move->from, move->vm),
          {move->from, move->vm});
    }
    co_await changed_.wait_until(clock_.steady() + kAskAgain);
  }
}

std::optional<v1::CutoverResult> Mover::proven(const Move& move, Epoch epoch) const {
  // An epoch is given out once: who got the VM in this one got it by this cutover.
  if (inventory_.served_epoch(move.to, move.vm_uuid) == epoch)
    return result_of(
        move, epoch, v1::OUTCOME_MOVED,
        fmt::format("by the word of {}, which has it since this epoch; {} did not say so", move.to, move.from));
  if (inventory_.served_epoch(move.from, move.vm_uuid) >= epoch)
    return result_of(move, epoch, v1::OUTCOME_REFUSED,
                     fmt::format("by the word of {}, which has it and knows that {} gave it up", move.from, move.to));
  return std::nullopt;
}

std::optional<bool> Mover::has(const std::string& host, const std::string& vm_uuid) const {
  const auto* node = inventory_.node(host);
  if (node == nullptr || !node->up || !node->vms_known) return std::nullopt;
  return node->claims.contains(vm_uuid);
}

bool Mover::runs_on(const std::string& host, const std::string& vm_uuid) const {
  return has(host, vm_uuid) == true && inventory_.node(host)->claims.at(vm_uuid) == v1::VM_STATE_RUNNING;
}

bool Mover::takes_part(const std::string& host, const std::string& vm_uuid) const {
  const auto* node = inventory_.node(host);
  if (node == nullptr) return false;
  const auto held = node->held.find(vm_uuid);
  if (held == node->held.end()) return false;
  const auto phase = held->second.shadow.phase();
  return phase == v1::SHADOW_PHASE_ARMED || phase == v1::SHADOW_PHASE_PROMISED || phase == v1::SHADOW_PHASE_SERVING;
}

void Mover::reported(const std::string& node, const v1::CutoverResult& result) {
  if (result.from() != node || !is_final(result.outcome())) return;
  if (moves_.contains(result.vm_uuid())) {
    reported_[result.vm_uuid()] = result;
    changed_.notify();
    return;
  }
  // We took it for never begun, and it was begun after all: the newest epoch's account stands.
  const auto* record = inventory_.vm(result.vm_uuid());
  const bool moved = record != nullptr && result.outcome() == v1::OUTCOME_MOVED;
  if (moved && record->host == node && record->epoch == result.epoch()) return settle(result);
  // The standby proved it before the source could tell; only the source has the figures.
  if (!moved || record->host != result.to() || record->owner_epoch != result.epoch()) return;
  if (const auto saved = store_.log.save_cutover(result); !saved)
    spdlog::error("{}: the cutover could not be stored: {}", result.vm(), saved.error());
}

Result<void> Mover::resume() {
  UMBRA_TRY(const auto open, store_.log.open_cutovers());
  std::map<std::string, Epoch> newest;
  for (const auto& cutover : open) newest[cutover.vm_uuid()] = std::max(newest[cutover.vm_uuid()], cutover.epoch());
  for (const auto& cutover : open) {
    const auto* record = inventory_.vm(cutover.vm_uuid());
    // Epochs beyond its own mean nothing, if no owner came of them: nodes told of them, or somebody meant to decide it.
    if (record == nullptr || record->owner_epoch >= cutover.epoch() || newest[cutover.vm_uuid()] != cutover.epoch()) {
      auto closed = cutover;
      closed.set_outcome(v1::OUTCOME_UNDECIDED);
      closed.set_detail("the VM is gone, or was moved since");
      UMBRA_CHECK(store_.log.save_cutover(closed));
      continue;
    }
    UMBRA_TRY(auto move, begin(*record, cutover.to(), cutover.reason(), "controller"));
    move->from = cutover.from();
    move->epoch = cutover.epoch();
    tasks_.spawn(resume(std::move(move), cutover.epoch()));
  }
  return {};
}

asio::awaitable<void> Mover::resume(std::shared_ptr<Move> move, Epoch epoch) {
  std::string why = "the controller was restarted meanwhile";
  auto result = co_await ask(move, epoch, std::move(why));
  finish(move, std::move(result));
}

void Mover::tell(Move& move, v1::MoveProgress progress) {
  progress.set_vm(move.vm);
  if (progress.at_ms() == 0) progress.set_at_ms(milliseconds_since(move.begun, clock_.steady()));
  move.progress = std::move(progress);
  ++move.news;
  changed_.notify();
}

void Mover::finish(const std::shared_ptr<Move>& move, Result<v1::CutoverResult> end) {
  moves_.erase(move->vm_uuid);
  reported_.erase(move->vm_uuid);
  inventory_.end_move(move->vm_uuid);
  if (end) {
    settle(*end);
  } else {
    events_.add(v1::EVENT_KIND_CUTOVER, v1::SEVERITY_WARNING,
                fmt::format("did not move to {}: {}", move->to, end.error()), {move->from, move->vm}, move->actor);
  }
  move->end = std::move(end);
  ++move->news;
  changed_.notify();
}

void Mover::settle(const v1::CutoverResult& result) {
  const bool moved = result.outcome() == v1::OUTCOME_MOVED;
  const auto settled = inventory_.settle(result.vm_uuid(), moved ? result.to() : result.from(), result.epoch());
  if (!settled) spdlog::error("{}: the owner could not be stored: {}", result.vm(), settled.error());
  if (const auto saved = store_.log.save_cutover(result); !saved)
    spdlog::error("{}: the cutover could not be stored: {}", result.vm(), saved.error());
  events_.add(v1::EVENT_KIND_CUTOVER, moved && result.detail().empty() ? v1::SEVERITY_INFO : v1::SEVERITY_WARNING,
              moved && !result.detail().empty() ? fmt::format("moved from {} to {} in epoch {}, {}", result.from(),
                                                              result.to(), result.epoch(), result.detail())
              : moved ? fmt::format("moved from {} to {} in epoch {}: blackout {:.1f} ms, reached after {:.1f} ms{}",
                                    result.from(), result.to(), result.epoch(), result.blackout_ms(), result.reach_ms(),
                                    phases_text(result))
                      : fmt::format("cutover to {} in epoch {} was {}, it stays on {}: {}", result.to(), result.epoch(),
                                    outcome_name(result.outcome()), result.from(), result.detail()),
              {moved ? result.to() : result.from(), result.vm()});
  ended_(result);
}

std::shared_ptr<const Move> Mover::open(const std::string& vm_uuid) const {
  const auto found = moves_.find(vm_uuid);
  return found == moves_.end() ? nullptr : found->second;
}

void Mover::decide(const std::string& vm_uuid, v1::Outcome outcome, std::string why) {
  const auto move = open(vm_uuid);
  if (!move || move->epoch == 0) return;
  reported_[vm_uuid] = result_of(*move, move->epoch, outcome, std::move(why));
  changed_.notify();
}

std::vector<std::shared_ptr<const Move>> Mover::moves() const {
  std::vector<std::shared_ptr<const Move>> all;
  for (const auto& [uuid, move] : moves_) all.push_back(move);
  return all;
}

std::optional<v1::CutoverResult> Mover::undecided(const Move& move) const {
  if (!move.asking_since || clock_.steady() - *move.asking_since < kPatience) return std::nullopt;
  const auto* record = inventory_.vm(move.vm_uuid);
  return result_of(move, record != nullptr ? record->epoch : 0, v1::OUTCOME_UNDECIDED,
                   fmt::format("{} cannot say how it ended; it is asked on, see umbractl events", move.from));
}

Task<v1::CutoverResult> Mover::end_of(std::shared_ptr<const Move> move) {
  while (!move->end) {
    if (auto result = undecided(*move)) co_return *result;
    co_await changed_.wait_until(clock_.steady() + kAskAgain);
  }
  co_return *move->end;
}

}  // namespace umbra::controller
