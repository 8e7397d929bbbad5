/// Cells that several tables have: quantities, states, probabilities.
#pragma once

#include "cli/output/table.hpp"
#include "umbra/v1/controller.pb.h"

namespace umbra::cli {

inline constexpr auto kLeft = Table::Align::kLeft;
inline constexpr auto kRight = Table::Align::kRight;

Cell bytes_cell(std::uint64_t count);
/// Empty for 0.
Cell rate_cell(double bytes_per_second);
Cell count_cell(std::uint64_t count);
/// "0.9/4": cores used of those there are.
Cell used_cell(double used, double all);
Cell span_cell(std::int64_t ms);
/// How long ago, the newest first.
Cell age_cell(std::int64_t at_unix_ms);
Cell probability_cell(double value);
Cell health_cell(double value);
/// "up", "down", "fenced" or "libvirt down".
Cell host_state(const v1::Host& host);
Cell vm_state(v1::VmState state);
Cell shadow_phase(v1::ShadowPhase phase);

/// Of a VM in an unknown state the last sample is from when its host was last heard: nothing that it uses now.
bool is_measured(const v1::VmView& view);

}  // namespace umbra::cli
