/// Logging: spdlog to standard error, in the form that journald understands.
#pragma once

#include <string_view>

#include "base/result.hpp"

namespace umbra {

/// Sets up the process's log. Under systemd (JOURNAL_STREAM is set) lines carry a syslog priority prefix ("<6>") and no
/// time stamp, as sd-daemon(3) describes; elsewhere time and level.
/// @param level as check_log_level() accepts it; anything else means info.
void init_log(std::string_view program, std::string_view level);

/// @error kInvalid `level` is none of trace, debug, info, warning, error
Result<void> check_log_level(std::string_view level);

}  // namespace umbra
