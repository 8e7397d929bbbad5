/// Where a shadow's phase changes: the only place, on either side.
#pragma once

#include "agentd/shadow/journal.hpp"
#include "base/invariant.hpp"

namespace umbra::shadow {

/// One side's record of one shadow. Journal first, act second: a phase is in force once it is durable.
/// Agent strand only; one apply() at a time.
class Life {
 public:
  Life(Journal& journal, Record record) : journal_(&journal), record_(std::move(record)) {}

  Phase phase() const { return record_.phase; }
  std::uint64_t epoch() const { return record_.epoch; }
  const Record& record() const { return record_; }

  /// What the next apply() writes beside the phase.
  void set_wish(std::string wish) { record_.wish = std::move(wish); }
  void set_origin(std::string origin) { record_.origin = std::move(origin); }
  void set_cutover(std::string cutover) { record_.cutover = std::move(cutover); }
  void set_peer(std::string incarnation) { record_.peer = std::move(incarnation); }
  void set_number(std::uint64_t number) { record_.number = number; }

  /// Takes the edge. @error kConflict the table has none; else the journal's, and nothing has changed
  Task<void> apply(Event event) { return apply(event, record_.epoch); }
  /// The same, and enters an epoch.
  Task<void> apply(Event event, std::uint64_t epoch) {
    const auto to = next(record_.phase, event);
    if (!to)
      co_return fail(Errc::kConflict, "a shadow that is {} cannot {}", to_string(record_.phase), to_string(event));
    UMBRA_INVARIANT(epoch >= record_.epoch, fmt::format("epoch {} after {}", epoch, record_.epoch));
    auto written = record_;
    written.phase = *to;
    written.epoch = epoch;
    const bool kept = event == Event::kRefuse || event == Event::kRetract || event == Event::kDisarm ||
                      (record_.phase == Phase::kArmed && event == Event::kDrop);
    if (kept) written.cutover.clear();  // it did not move the VM
    UMBRA_INVARIANT(event != Event::kRetract || !may_be_released_, "a promise was taken back that may have been kept");
    UMBRA_CO_CHECK(co_await journal_->write(written));
    record_ = std::move(written);
    if (event == Event::kArm) may_be_released_ = false;
    co_return Result<void>{};
  }

  /// Writes what was set, in the phase that it is in. @error the journal's
  Task<void> save() {
    auto written = record_;
    co_return co_await journal_->write(std::move(written));
  }

  /// Has this epoch's Released left this host? An earlier life of the agent may have sent it, too. Not durable: an
  /// fsync would lie in the blackout.
  bool may_be_released() const { return may_be_released_; }
  /// Before it is sent.
  void release() { may_be_released_ = true; }

  /// Takes the edge without the journal's consent: the world has moved on already, and QEMU's own state will tell so
  /// after a crash.
  void assume(Event event) {
    const auto to = next(record_.phase, event);
    UMBRA_INVARIANT(to, fmt::format("a shadow that is {} cannot {}", to_string(record_.phase), to_string(event)));
    record_.phase = *to;
  }

 private:
  Journal* journal_;
  Record record_;
  bool may_be_released_ = true;
};

}  // namespace umbra::shadow
