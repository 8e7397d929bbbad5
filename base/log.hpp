/// Logging: spdlog to standard error, in the form that journald understands.
#pragma once

#include <memory>
#include <string_view>

#include "base/result.hpp"

namespace spdlog {
class formatter;
}

namespace umbra {

/// A record of the log has at most so many characters; the rest shows as "…".
inline constexpr std::size_t kLogLine = 8'000;

/// One record is one line, whatever was formatted into it: the text is printable(), so that no name or message from
/// outside can forge a line, a priority, or steer a terminal.
/// @param to_journal lines carry a syslog priority prefix ("<6>") and no time stamp, as sd-daemon(3) describes;
///   otherwise time and level
std::unique_ptr<spdlog::formatter> log_formatter(bool to_journal);

/// Sets up the process's log with log_formatter(): for the journal under systemd (JOURNAL_STREAM is set).
/// @param level as check_log_level() accepts it; anything else means info.
void init_log(std::string_view program, std::string_view level);

/// @error kInvalid `level` is none of trace, debug, info, warning, error
Result<void> check_log_level(std::string_view level);

}  // namespace umbra
