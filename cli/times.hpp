/// Points in time as people and files write them.
#pragma once

#include <string_view>

#include "base/clock.hpp"
#include "base/result.hpp"

namespace umbra::cli {

/// Reads ISO 8601 with a zone ("2026-05-01T12:00:00Z", "2026-05-01 14:00:00.25+02:00") or seconds since the Unix epoch
/// ("1777636800", "1777636800.25"). A time without zone is refused: it would mean something else on another machine.
/// @error kInvalid, with the cause and how to write it
Result<UnixMillis> parse_time(std::string_view text);

/// As above, and also "now" and a duration from now ("+30min").
Result<UnixMillis> parse_when(std::string_view text, UnixMillis now);

/// The value of --since: a duration before now ("30min", "7d"), or a point in time as parse_time() reads it.
/// @error kInvalid, with how to write it
Result<UnixMillis> parse_since(std::string_view text, UnixMillis now);

}  // namespace umbra::cli
