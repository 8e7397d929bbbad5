/// The kernel's refusals in the project's words; shared by the real kernel and its fake.
#pragma once

#include <string_view>

#include "base/result.hpp"

namespace umbra::netswitch {

/// @param number positive errno
/// @param doing what was asked for, "set route 10.50.0.1 via 10.77.0.2"
/// @param detail the kernel's extended message (NLMSGERR_ATTR_MSG), or empty
Error kernel_error(int number, std::string_view doing, std::string_view detail = {});

}  // namespace umbra::netswitch
