/// What the standby knows of one shadow. Not for others to include.
#pragma once

#include "agentd/shadow/standby.hpp"

namespace umbra::shadow {

struct Standby::Shadow {
  Shadow(asio::any_io_executor executor, Clock& clock, Journal& journal, Record record)
      : life(journal, std::move(record)), lock(executor, clock), changed(executor, clock) {}

  v1::StageRequest request;
  std::string made_as;      // its live XML when it was made or taken up
  std::string fingerprint;  // libvirt's, of a moment when it was known to be still so
  Life life;
  std::shared_ptr<Gate> gate;   // of its stream
  std::uint64_t staged_in = 0;  // the VM's epoch when it was staged, which an accept leaves; 0 after a restart
  bool gone = false;            // its QEMU has ended, and never runs
  bool may_run = false;         // it was told to resume, and the answer is not known
  bool amended = false;         // what libvirt is to keep of it was changed since that was begun
  bool finishing = false;       // that all of it is done is being written
  bool unsettled = false;       // it serves, and that something of it is left to do was told
  std::string doomed{};         // why it is to go, which could not be done at once: it will not be resumed any more
  std::int64_t since_unix_ms = 0;
  Signal::TimePoint renewed{};       // its source named it, or this agent took it up
  std::int64_t renewed_unix_ms = 0;  // its source named it; 0: not yet
  bool abandoned = false;            // that its source is silent was told
  Mutex lock;
  Signal changed;
  std::unique_ptr<Watch> watch;

  /// It takes part in an epoch that is not decided.
  bool accepted() const { return in_cutover(life.phase()); }
  /// Decided: the guest has run here.
  bool served() const { return life.phase() == Phase::kServing || life.phase() == Phase::kMoved; }
  const std::string& uuid() const { return request.vm().uuid(); }
  const std::string& name() const { return request.vm().name(); }
};

}  // namespace umbra::shadow
