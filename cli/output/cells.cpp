#include "cli/output/cells.hpp"

#include "base/clock.hpp"
#include "base/units.hpp"
#include "cli/output/json.hpp"
#include "cli/output/words.hpp"

namespace umbra::cli {

Cell bytes_cell(std::uint64_t count) {
  return {to_string(Bytes{count}), static_cast<double>(count)};
}
Cell rate_cell(double bytes_per_second) {
  if (bytes_per_second <= 0) return "";
  return {to_string(BytesPerSecond{static_cast<std::uint64_t>(bytes_per_second)}), bytes_per_second};
}
Cell count_cell(std::uint64_t count) {
  return {std::to_string(count), static_cast<double>(count)};
}
Cell used_cell(double used, double all) {
  return {fmt::format("{:.1f}/{:g}", used, all), used};
}
Cell span_cell(std::int64_t ms) {
  return {span(static_cast<double>(ms)), static_cast<double>(ms)};
}
Cell age_cell(std::int64_t at_unix_ms) {
  return {age(at_unix_ms, SystemClock().unix_ms()), -static_cast<double>(at_unix_ms)};
}
Cell probability_cell(double value) {
  return {percent(value), value, value >= 0.5 ? Style::kBad : value >= 0.2 ? Style::kWarn : Style::kPlain};
}
Cell health_cell(double value) {
  return {fmt::format("{:.2f}", value), value, value < 0.5 ? Style::kBad : value < 0.9 ? Style::kWarn : Style::kGood};
}

Cell host_state(const v1::Host& host) {
  if (host.has_fence()) return {host.up() ? "fenced, back" : "fenced", Style::kWarn};
  if (!host.up()) return {"down", Style::kBad};
  const bool edge = host.node().role() == v1::ROLE_EDGE;
  if (!edge && !host.hypervisor_up()) return {"libvirt down", Style::kBad};
  return {"up", Style::kGood};
}
Cell vm_state(v1::VmState state) {
  const auto style = state == v1::VM_STATE_RUNNING   ? Style::kGood
                     : state == v1::VM_STATE_CRASHED ? Style::kBad
                     : state == v1::VM_STATE_UNKNOWN ? Style::kWarn
                                                     : Style::kPlain;
  return {word(state), style};
}
Cell shadow_phase(v1::ShadowPhase phase) {
  const bool ready = phase == v1::SHADOW_PHASE_WARM || phase == v1::SHADOW_PHASE_HOT;
  return {word(phase), ready ? Style::kGood : Style::kPlain};
}

bool is_measured(const v1::VmView& view) {
  return view.has_last_sample() && view.vm().state() != v1::VM_STATE_UNKNOWN;
}

}  // namespace umbra::cli
