/// What fake QEMUs share: time that moves only when told, and the network between them.
#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "base/clock.hpp"

namespace umbra::qmp {

class FakeQemu;

/// One thread. QEMUs join by being started on it.
class FakeWire {
 public:
  /// Lets this much time pass for every QEMU, a millisecond at a time.
  void advance(Milliseconds by);
  /// The same in one step: nothing may be due before its end, neither here nor for those who wait on the clock.
  void leap(Milliseconds by);
  /// When a QEMU does something next, without anybody's asking.
  std::chrono::steady_clock::time_point next_due() const;
  /// Of this time; code that drives the QEMUs may read it too. Only advance() moves it.
  FakeClock& clock() { return clock_; }
  std::int64_t now_ms() const { return clock_.steady().time_since_epoch() / Milliseconds(1); }

  /// The living QEMU that waits for an incoming migration at `uri`, or null. "tcp:0.0.0.0:P" and "tcp:[::]:P" listen on
  /// every address of their QEMU's host.
  std::shared_ptr<FakeQemu> listener(std::string_view uri) const;
  /// Whether some QEMU of that host listens at `uri` already.
  bool taken(std::string_view uri, std::string_view host) const;

 private:
  friend class FakeQemu;
  void join(const std::shared_ptr<FakeQemu>& qemu) { qemus_.push_back(qemu); }

  FakeClock clock_;
  std::vector<std::weak_ptr<FakeQemu>> qemus_;
};

}  // namespace umbra::qmp
