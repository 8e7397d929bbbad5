/// The hold: a precopy migration kept open for as long as we like (DESIGN §2).
#pragma once

#include <memory>
#include <string>

#include "base/signal.hpp"
#include "qmp/client.hpp"

namespace umbra::shadow {

/// The source's half of one open precopy.
///
/// The source has the capability `switchover-ack`, the destination has not. So no acknowledgement can ever come, and
/// QEMU (>= 8.1, migration/migration.c: migration_can_switchover) iterates for ever instead of switching over. With the
/// guest stopped it no longer asks; that is the release.
///
/// Agent strand only. Follows QEMU's events; `changed()` fires after each of them.
class Hold {
 public:
  /// Takes over the monitor's events. `monitor` speaks to the primary's QEMU.
  Hold(std::shared_ptr<qmp::Transport> monitor, asio::any_io_executor executor, Clock& clock);
  ~Hold();
  Hold(const Hold&) = delete;
  Hold& operator=(const Hold&) = delete;

  /// What the destination needs before its `migrate-incoming`.
  static Task<void> prepare_destination(qmp::Client destination, Deadline deadline);

  /// Starts the precopy towards `uri`, unparked.
  /// @error kUnsupported this QEMU lacks a capability; kConflict a migration, save or job is under way
  Task<void> open(std::string uri, Deadline deadline);
  /// Takes over a precopy that is open already (after a restart of the agent). @error kNotFound none is
  Task<void> adopt(Deadline deadline);

  /// Sends next to nothing from now on: 10 bytes/s, at which QEMU iterates some ten times a second.
  Task<void> park(Deadline deadline);
  /// Sends as fast as the link allows. QEMU's rate limiter sleeps in windows of 100 ms, so it may begin that much later.
  Task<void> unpark(Deadline deadline);
  bool parked() const { return parked_; }

  /// Gives up the precopy and waits until QEMU has let go; the guest returns to the state it was in.
  /// Fine when there is nothing to give up. @error kConflict it completed instead
  Task<void> cancel(Deadline deadline);

  Task<qmp::MigrationInfo> counters(Deadline deadline) { return qmp_.migration(deadline); }

  /// Dirty-bitmap syncs seen since open() or adopt().
  std::uint64_t passes() const { return passes_; }
  qmp::MigrationStatus status() const { return status_; }
  bool active() const { return status_ == qmp::MigrationStatus::kSetup || status_ == qmp::MigrationStatus::kActive; }
  /// When QEMU last stopped the guest, on this host's wall clock.
  std::chrono::microseconds stopped_at() const { return stopped_at_; }
  Signal& changed() { return changed_; }
  qmp::Client& qmp() { return qmp_; }

 private:
  void on_event(const qmp::Event& event);

  std::shared_ptr<qmp::Transport> monitor_;
  qmp::Client qmp_;
  Signal changed_;
  qmp::MigrationStatus status_ = qmp::MigrationStatus::kNone;
  std::uint64_t passes_ = 0;
  std::chrono::microseconds stopped_at_{};
  bool parked_ = false;
};

}  // namespace umbra::shadow
