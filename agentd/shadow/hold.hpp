/// The hold: a precopy migration kept open for as long as we like (ARCHITECTURE.md, "The hold").
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "agentd/shadow/gate.hpp"
#include "agentd/shadow/watch.hpp"

namespace umbra::shadow {

/// The source's half of one open precopy.
///
/// The source has the capability `switchover-ack`, the destination has not. So no acknowledgement can ever come, and
/// QEMU (>= 8.1, migration/migration.c: migration_can_switchover) iterates for ever instead of switching over. With the
/// guest stopped it no longer asks; that is the release.
///
/// Agent strand only.
class Hold {
 public:
  /// @param monitor speaks to the primary's QEMU
  /// @param changed fires after each event of that QEMU
  /// @param gate that its stream goes through; null: there is none, and nothing but QEMU's own limit can hold it
  Hold(std::shared_ptr<qmp::Transport> monitor, Signal& changed, Clock& clock, std::shared_ptr<Gate> gate = {})
      : watch_(std::move(monitor), changed), clock_(clock), gate_(std::move(gate)) {}

  /// What the destination needs before its `migrate-incoming`.
  /// @param channels of the stream: more than one is QEMU's multifd, and both sides must be told the same
  static Task<void> prepare_destination(qmp::Client destination, unsigned channels, Deadline deadline);
  /// How many channels this QEMU can use: `most`, or one if it does not know multifd.
  static Task<unsigned> usable_channels(qmp::Client qmp, unsigned most, Deadline deadline);

  /// Starts the precopy towards `uri`, unparked.
  /// @error kUnsupported this QEMU lacks a capability; kConflict a migration, save or job is under way
  Task<void> open(std::string uri, unsigned channels, Deadline deadline);
  /// Takes over a precopy that is open already (after a restart of the agent), and parks it; that of a guest that is
  /// suspended stays shut. @error kNotFound none is open
  Task<void> adopt(Deadline deadline);

  /// Sends next to nothing from now on: 10 bytes/s, at which QEMU iterates some ten times a second. The gate is open.
  Task<void> park(Deadline deadline);
  /// Hot: QEMU's own limit is lifted, with its windows of 100 ms, and the gate lets it make a pass, then none for so
  /// long.
  Task<void> pulse(std::chrono::microseconds pause, Deadline deadline);
  /// A cutover is near. From hot: a pass at once, and then QEMU is held, so that it answers quickly: it takes the lock
  /// that commands need for each look at what is dirty. From parked: as fast as the link allows, and the gate stays
  /// open.
  Task<void> hurry(Deadline deadline);
  /// It let a pass through, whose end await_pass() waits for.
  bool hurried() const { return hurried_; }
  /// After hurry(): waits for the pass that it let through. The gate is asked, not QEMU, which has enough to do.
  /// @param deadline of each look @return whether it ended in a while
  Task<bool> await_pass(Deadline deadline);
  /// Waits until the other host has what QEMU gave its gate, but for what is always under way: a socket takes megabytes
  /// that a slow link needs seconds for. @param given_up ends it early, without error @error kTimeout
  Task<void> await_arrival(std::function<bool()> given_up, Deadline deadline);
  /// The guest was suspended: nothing more goes out, so that nothing can complete. QEMU's limit is not lifted
  /// meanwhile.
  Task<void> shut(std::chrono::milliseconds at_most, Deadline deadline);
  /// The last steps: whatever comes is let through.
  Task<void> let_through(Deadline deadline);
  /// Sends as fast as the link allows. QEMU's rate limiter sleeps in windows of 100 ms, so it may begin that much
  /// later. With nothing left to send, QEMU then looks for dirty pages thousands of times a second, which costs a core,
  /// and its guest the pages' write protection each time: for a first copy and a cutover only.
  Task<void> unpark(Deadline deadline);

  /// Asked after each look at the counters.
  using Interrupted = std::function<bool(const qmp::MigrationInfo&)>;

  /// Waits for two passes over the dirty bitmap. The first sends what was known to be dirty, the second what was
  /// dirtied meanwhile; what is left then is milliseconds' worth. Ends early, without error, once `interrupted` says so
  /// or the migration is over.
  ///
  /// From parked, QEMU is allowed in each window what is left and little more. So it sleeps once that is sent, until
  /// the next window, and never looks in vain. The caller parks it again.
  ///
  /// The counters are polled. QEMU's event of each pass is of no use: unparked with little to send it comes thousands
  /// of times a second, and libvirtd's queue of events to one client drowns in that.
  /// @param enough one pass will do once no more than this is left to send
  /// @param tolerable two passes will do if no more than this is left, or what goes out in QEMU's own default of 300 ms
  /// @param poll how often the counters are read when they are likely to change
  /// @return the counters as last read
  /// @error kTimeout the guest dirties its memory faster than the link carries it
  Task<qmp::MigrationInfo> catch_up(Interrupted interrupted, Bytes enough, Bytes tolerable,
                                    std::chrono::milliseconds poll, Deadline deadline);

  /// QEMU's counters, and whether the migration is what its events said last.
  Task<qmp::MigrationInfo> ask(Deadline deadline) { return watch_.ask(deadline); }

  /// Gives up the precopy and waits until QEMU has let go; the guest returns to the state it was in.
  /// Fine when there is nothing to give up. @error kConflict it completed instead
  Task<void> cancel(Deadline deadline);

  /// QEMU's state when it is done with a migration that has ended: for a moment after `completed` or `failed` its guest
  /// is still in `finish-migrate`, from where nothing resumes it. @error kTimeout it stays there
  Task<qmp::Status> state_after(Deadline deadline);

  const Watch& watch() const { return watch_; }
  Signal& changed() { return watch_.changed(); }
  qmp::Client& qmp() { return watch_.qmp(); }

 private:
  Task<void> limit(BytesPerSecond rate, Deadline deadline);
  Task<void> set_gate(v1::GateSetting setting, Deadline deadline);
  Task<void> allow(Bytes budget, Deadline deadline);

  Watch watch_;
  Clock& clock_;
  std::shared_ptr<Gate> gate_;
  bool hurried_ = false;      // the last hurry() let a pass through
  BytesPerSecond limit_{};    // QEMU's max-bandwidth; zero when it is not known
  Signal::TimePoint woke_{};  // when QEMU was last seen to begin to send, some milliseconds after it did
};

}  // namespace umbra::shadow
