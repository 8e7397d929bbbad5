/// What fake QEMUs share: time that moves only when told, and the network between them.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.hpp"

namespace umbra::qmp {

class FakeQemu;

/// Something between QEMUs that carries a stream on: who connects to `uri` on `host` comes to `to_uri` on `to_host`.
struct FakeRelay {
  using Time = std::chrono::steady_clock::time_point;

  std::string host, uri;
  std::string to_host, to_uri;
  bool alive = true;
  /// May what comes from the source go on now? If not, when at the earliest; null: always.
  std::function<bool(Time now)> open{};
  std::function<Time(Time now)> opens_at{};
  std::function<void(std::uint64_t bytes, bool pass_ended, Time now)> passed{};
};

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

  /// The living QEMU that waits for an incoming migration where `uri` leads from that host, or null. "tcp:0.0.0.0:P"
  /// and "tcp:[::]:P" listen on every address of their QEMU's host, "unix:" on that host alone.
  std::shared_ptr<FakeQemu> listener(std::string_view uri, std::string_view host = {}) const;
  /// Whether some QEMU of that host listens at `uri` already.
  bool taken(std::string_view uri, std::string_view host) const;

  void join(const std::shared_ptr<FakeRelay>& relay) { relays_.push_back(relay); }
  /// The living relay that listens there, or null.
  std::shared_ptr<FakeRelay> relay(std::string_view uri, std::string_view host) const;
  /// It dies, and with it the stream that it carries.
  void cut(FakeRelay& relay);

 private:
  friend class FakeQemu;
  void join(const std::shared_ptr<FakeQemu>& qemu) { qemus_.push_back(qemu); }

  FakeClock clock_;
  std::vector<std::weak_ptr<FakeQemu>> qemus_;
  std::vector<std::weak_ptr<FakeRelay>> relays_;
};

}  // namespace umbra::qmp
