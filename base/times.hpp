/// Points in time as files write them.
#pragma once

#include <optional>
#include <string_view>

#include "base/clock.hpp"
#include "base/result.hpp"

namespace umbra {

/// A time as it was written, zone or not.
struct WrittenTime {
  UnixMillis at = 0;  ///< in the zone it names; as if in UTC when it names none
  bool zoned = false;
};

/// Reads ISO 8601 in the extended form: a date, or a date and a time of day parted by T or a space, with or without
/// seconds, their fraction (cut to milliseconds) and a zone: "2026-05-01", "2026-05-01 14:00:00.25+02:00". Years 0 to
/// 9999.
/// @error kInvalid, the cause alone; the caller says what was read and how to write it
Result<WrittenTime> parse_iso8601(std::string_view text);

}  // namespace umbra
