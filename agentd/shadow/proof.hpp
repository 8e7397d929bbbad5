/// Proves on this host's own QEMU what the hold rests on.
#pragma once

#include <filesystem>

#include "base/clock.hpp"
#include "base/task.hpp"
#include "umbra/v1/fleet.pb.h"

namespace umbra::shadow {

/// Puts two throwaway QEMUs (32 MiB, firmware only) through what shadows go through, with the code that they use: a
/// hold that stays open parked, and through a refresh; a pause nobody asked for, cancelled; a release that ends on the
/// other side. Takes about a second; leaves nothing behind. A QEMU that fails is a verdict (proven = false, with the
/// reason and the remedy in `detail`), not an error.
/// @error kNotFound no such emulator; kExhausted, kUnavailable no temporary directory
Task<v1::HoldProof> prove_hold(asio::any_io_executor executor, Clock& clock, std::filesystem::path emulator);

}  // namespace umbra::shadow
