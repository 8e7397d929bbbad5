/// Writing keys and certificates so that no crash and no other process leaves or sees half of one.
#pragma once

#include <filesystem>
#include <string_view>

#include "base/result.hpp"

namespace umbra::rpc::pki {

enum class Existing : std::uint8_t { kKeep, kReplace };

/// Writes beside `file`, syncs, and renames.
/// @error kConflict it exists and is to be kept; kInvalid the operating system's reason
Result<void> write_file(const std::filesystem::path& file, std::string_view text, unsigned mode, Existing existing);

}  // namespace umbra::rpc::pki
