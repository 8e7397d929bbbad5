/// Notices that a shadow on its way gets no further.
#pragma once

#include <algorithm>
#include <utility>

#include "controller/inventory/inventory.hpp"

namespace umbra::controller {

/// Progress is a later phase than any before, or more bytes sent in that phase: a shadow that is refused, or breaks
/// off, and begins anew again and again makes none.
class Standstill {
 public:
  /// Reports of the source without progress; a standby may take 40 s to start its QEMU, and a source 60 s to try again.
  static constexpr unsigned kReports = 180;

  Standstill(const Clock& clock, Milliseconds report_interval)
      : clock_(clock), patience_(report_interval * kReports), since_(clock.steady()) {}

  /// @param shadow as it was reported last; null without one. @error kTimeout there was no progress for too long
  Result<void> look(const v1::Shadow* shadow, const std::string& vm) {
    const auto phase = shadow == nullptr || shadow->phase() > v1::SHADOW_PHASE_HOT ? 0 : int{shadow->phase()};
    const std::pair reached{phase, shadow == nullptr ? 0 : shadow->transferred_bytes()};
    if (reached > furthest_) {
      furthest_ = reached;
      since_ = clock_.steady();
    }
    if (clock_.steady() - since_ < patience_) return {};
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(patience_).count();
    return fail({Errc::kTimeout,
                 fmt::format("the shadow of {} got no further for {} s{}{}", vm, seconds,
                             shadow == nullptr || shadow->detail().empty() ? "" : ": ",
                             shadow == nullptr ? "" : shadow->detail()),
                 "see umbractl shadows, and umbra-agentd's log on its host"});
  }

 private:
  const Clock& clock_;
  Milliseconds patience_;
  TimePoint since_;
  std::pair<int, std::uint64_t> furthest_{};
};

}  // namespace umbra::controller
