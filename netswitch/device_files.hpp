/// What netlink cannot do: making taps (/dev/net/tun) and per-interface settings (/proc/sys).
#pragma once

#include <string>

#include "netswitch/kernel.hpp"

namespace umbra::netswitch {

/// Kernel::create_tap in the calling thread's network namespace.
Result<void> create_persistent_tap(const std::string& name, const TapOptions& options);
/// Kernel::write_sysctl in the calling thread's network namespace.
Result<void> write_interface_sysctl(const std::string& dev, Sysctl key, int value);

}  // namespace umbra::netswitch
