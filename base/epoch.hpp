/// The count of a VM's changes of host.
#pragma once

#include <cstdint>

namespace umbra {

/// No honest count gets here. A greater epoch is refused everywhere: a node that took one in would refuse every later
/// one, and its VM could never move again.
inline constexpr std::uint64_t kGreatestEpoch = 1ULL << 53;

}  // namespace umbra
