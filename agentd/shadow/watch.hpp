/// What QEMU's events say about one side of a migration.
#pragma once

#include <memory>

#include "base/signal.hpp"
#include "qmp/client.hpp"

namespace umbra::shadow {

/// Follows one QEMU's events from its construction on, and wakes `changed` after each that matters here.
/// Agent strand only; takes over the monitor's events for as long as it lives.
class Watch {
 public:
  Watch(std::shared_ptr<qmp::Transport> monitor, Signal& changed);
  ~Watch();
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;

  qmp::MigrationStatus status() const { return status_; }
  /// What was just asked for.
  void set_status(qmp::MigrationStatus status) { status_ = status; }
  /// Asks QEMU, since events that came before the watch began, or while libvirtd was away, are lost. An event that
  /// comes meanwhile may be newer than the answer: then its status stands.
  Task<qmp::MigrationInfo> ask(Deadline deadline);
  bool migrating() const { return status_ == qmp::MigrationStatus::kSetup || status_ == qmp::MigrationStatus::kActive; }
  /// When QEMU last stopped and resumed the guest, on this host's wall clock; zero when it has not been seen.
  std::chrono::microseconds stopped_at() const { return stopped_at_; }
  std::chrono::microseconds resumed_at() const { return resumed_at_; }

  /// QEMU has stopped the guest, and has not let it run since, by its events or by what was asked of it.
  bool halted() const { return halted_; }
  void set_halted(bool halted) { halted_ = halted; }

  /// The guest was asked to shut down, and may come up again (libvirt's reboot).
  bool powering_down() const { return powering_down_; }

  /// How often QEMU has told of its jobs.
  std::uint64_t jobs_told() const { return jobs_told_; }

  Signal& changed() { return changed_; }
  qmp::Client& qmp() { return qmp_; }

 private:
  void on_event(const qmp::Event& event);

  std::shared_ptr<qmp::Transport> monitor_;
  qmp::Client qmp_;
  Signal& changed_;
  qmp::MigrationStatus status_ = qmp::MigrationStatus::kNone;
  bool powering_down_ = false;
  bool halted_ = false;
  std::uint64_t told_ = 0;  // migration events so far
  std::uint64_t jobs_told_ = 0;
  std::chrono::microseconds stopped_at_{};
  std::chrono::microseconds resumed_at_{};
};

}  // namespace umbra::shadow
