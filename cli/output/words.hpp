/// How umbractl says times, spans and probabilities to people.
#pragma once

#include <string>

#include "base/clock.hpp"

namespace umbra::cli {

/// "3 s ago", "5 min ago", "2 h ago", "4 d ago"; "in 20 min" for the future; "never" for 0.
std::string age(UnixMillis then, UnixMillis now);
/// Two units at most: "11.8 ms", "2.40 s", "5 s", "3 min 20 s", "1 h 5 min", "2 d 3 h".
std::string span(double ms);
/// "62 %"; what is neither certain nor impossible never reads as if it were: "<1 %", ">99 %".
std::string percent(double probability);
/// "2026-05-01 12:00:00" in the machine's time zone.
std::string local_time(UnixMillis at);

}  // namespace umbra::cli
