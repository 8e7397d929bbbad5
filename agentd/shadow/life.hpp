/// Where a shadow's phase changes: the only place, on either side.
#pragma once

#include "agentd/shadow/journal.hpp"

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

  /// Takes the edge. @error kConflict the table has none; else the journal's, and nothing has changed
  Task<void> apply(Event event) { return apply(event, record_.epoch); }
  /// The same, and enters an epoch.
  Task<void> apply(Event event, std::uint64_t epoch) {
    const auto to = next(record_.phase, event);
    if (!to)
      co_return fail(Errc::kConflict, "a shadow that is {} cannot {}", to_string(record_.phase), to_string(event));
    auto written = record_;
    written.phase = *to;
    written.epoch = epoch;
    if (event == Event::kRefuse || event == Event::kDisarm || (record_.phase == Phase::kArmed && event == Event::kDrop))
      written.cutover.clear();  // it did not move the VM
    UMBRA_CO_CHECK(co_await journal_->write(written));
    record_ = std::move(written);
    co_return Result<void>{};
  }

  /// Writes what was set, in the phase that it is in. @error the journal's
  Task<void> save() {
    auto written = record_;
    co_return co_await journal_->write(std::move(written));
  }

  /// Takes the edge without the journal's consent: the world has moved on already, and QEMU's own state will tell so
  /// after a crash.
  void assume(Event event) { record_.phase = next(record_.phase, event).value_or(record_.phase); }

 private:
  Journal* journal_;
  Record record_;
};

}  // namespace umbra::shadow
