/// Where an axis has its marks, and what stands there.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "base/clock.hpp"

namespace umbra::cli {

struct Tick {
  double at = 0;        ///< value, milliseconds since the Unix epoch, or step number
  std::string label;    ///< "1,500", "06:00", "Mon 14"
  std::string context;  ///< of times: what the label leaves out ("Fri 21 Feb 2014"); empty where nothing changed
};

/// Multiples of 1, 2 or 5 times a power of ten within [low, high].
/// @param most of them, at least 1. There may be none when low is high
std::vector<Tick> value_ticks(double low, double high, std::size_t most);

/// The same of whole numbers.
std::vector<Tick> step_ticks(std::int64_t from, std::int64_t to, std::size_t most);

/// Times at which a clock or a calendar (UTC) shows something round: from 1 ms to years; weeks begin on Mondays.
std::vector<Tick> time_ticks(UnixMillis from, UnixMillis to, std::size_t most);

/// One value for people, to four digits: "1,234", "0.25", "1.234 M".
std::string value_text(double value);

}  // namespace umbra::cli
