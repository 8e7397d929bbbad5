/// Named places at which a test of faults may hold this process, to strike it in the middle of what lasts a
/// millisecond.
#pragma once

#include <string_view>

#include "base/task.hpp"

namespace umbra {

/// Holds whoever comes to the place `name` (like "promise") while $UMBRA_FAULT_POINTS names a directory that holds a
/// file of that name; `name`.reached appears beside it meanwhile. At most a minute, so that a test that died holds
/// nobody for ever. Only who starts the process sets its environment; without the variable, as everywhere but in tests,
/// nothing is looked at and nothing waits.
asio::awaitable<void> fault_point(std::string_view name);

}  // namespace umbra
