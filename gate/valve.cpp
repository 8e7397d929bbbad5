#include "gate/valve.hpp"

#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>

namespace umbra::gate {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t kUnlimited = 1U << 20;
constexpr auto kLongestOpen = 250ms;  // of a pulse without an end
constexpr auto kAlone = 50ms;         // between passes, when nobody is left to say
constexpr auto kStep = 1ms;           // of pacing

}  // namespace

Valve::Valve() : wake_(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
  setting_.set_mode(v1::GATE_MODE_OPEN);
}

Valve::~Valve() {
  ::close(wake_);
}

void Valve::set(v1::GateSetting setting, Time now) {
  const std::lock_guard lock(mutex_);
  if (setting.mode() == v1::GATE_MODE_PULSED) {
    constexpr std::uint64_t kMost = std::chrono::microseconds(kLongestShut).count();
    setting.set_pause_us(std::min<std::uint64_t>(setting.pause_us(), kMost));
  }
  const bool pulsed_before = setting_.mode() == v1::GATE_MODE_PULSED;
  setting_ = std::move(setting);
  switch (setting_.mode()) {
    case v1::GATE_MODE_SHUT:
      shut(setting_.shut_ms() > 0 ? std::chrono::milliseconds(setting_.shut_ms()) : kLongestShut, now);
      break;
    case v1::GATE_MODE_PULSED:
      if (pulsed_before && !open_ && !setting_.pass_now()) {  // another pause: it counts from the beginning of this one
        shut_until_ = std::min(shut_until_, now + std::chrono::microseconds(setting_.pause_us()));
      } else {
        open_ = true;
        opened_ = now;
      }
      break;
    default:
      open_ = true;
      paced_at_ = now;
      allowance_ = 0;
  }
  const std::uint64_t one = 1;
  static_cast<void>(::write(wake_, &one, sizeof one));
}

void Valve::leave_alone(Time now) {
  v1::GateSetting alone;
  {
    const std::lock_guard lock(mutex_);
    if (setting_.mode() == v1::GATE_MODE_SHUT || setting_.mode() == v1::GATE_MODE_PULSED) return;  // those breathe
  }
  alone.set_mode(v1::GATE_MODE_PULSED);
  alone.set_pause_us(std::chrono::microseconds(kAlone).count());
  set(std::move(alone), now);
}

v1::GateSetting Valve::setting() const {
  const std::lock_guard lock(mutex_);
  return setting_;
}

void Valve::drain() {
  std::uint64_t count = 0;
  static_cast<void>(::read(wake_, &count, sizeof count));
}

void Valve::shut(std::chrono::microseconds pause, Time now) {
  open_ = false;
  shut_until_ = now + pause;
}

void Valve::end_pulse(Time now) {
  ++pulses_;
  shut(setting_.mode() == v1::GATE_MODE_SHUT ? kLongestShut : std::chrono::microseconds(setting_.pause_us()), now);
}

Valve::Leave Valve::ask(Time now) {
  const std::lock_guard lock(mutex_);
  if (setting_.mode() == v1::GATE_MODE_OPEN) return {kUnlimited, {}};
  if (setting_.mode() == v1::GATE_MODE_PACED) {
    const auto rate = static_cast<double>(setting_.bytes_per_second());
    allowance_ += rate * std::chrono::duration<double>(now - paced_at_).count();
    allowance_ = std::min(allowance_, std::max(rate * std::chrono::duration<double>(2 * kStep).count(), 1.0));
    paced_at_ = now;
    if (allowance_ >= 1) return {static_cast<std::size_t>(allowance_), {}};
    const auto missing = std::chrono::duration<double>((1 - allowance_) / std::max(rate, 1e-3));
    const auto wait = std::clamp<std::chrono::duration<double>>(missing, kStep, kLongestShut);
    return {0, now + std::chrono::duration_cast<std::chrono::microseconds>(wait)};
  }
  if (!open_) {
    if (now < shut_until_) return {0, shut_until_};
    open_ = true;
    opened_ = now;
  }
  if (now - opened_ >= kLongestOpen) {
    end_pulse(now);
    return {0, shut_until_};
  }
  return {kUnlimited, {}};
}

void Valve::passed(std::size_t bytes, bool pass_ended, Time now) {
  const std::lock_guard lock(mutex_);
  if (pass_ended) ++passes_;
  if (setting_.mode() == v1::GATE_MODE_PACED) allowance_ -= static_cast<double>(bytes);
  if (!open_ || !pass_ended || setting_.mode() == v1::GATE_MODE_OPEN || setting_.mode() == v1::GATE_MODE_PACED) return;
  end_pulse(now);
}

}  // namespace umbra::gate
