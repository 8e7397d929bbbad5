// A node of the fleet whose kernel is in memory.
#pragma once

#include <stdexcept>

#include "netswitch/fakes/fake_kernel.hpp"
#include "netswitch/switch.hpp"
#include "netswitch/tests/addresses.hpp"

namespace umbra::netswitch::test {

inline VmNet some_vm(int number = 1) {
  return {.uuid = fmt::format("11111111-2222-3333-4444-{:012}", number),
          .name = fmt::format("vm{}", number),
          .tap = fmt::format("uvm{}", number),
          .guest_mac = mac(fmt::format("52:54:00:00:00:{:02x}", number)),
          .addresses = {ip(fmt::format("10.50.0.{}", number))}};
}

inline void must(const Result<void>& done) {
  if (!done) throw std::runtime_error(done.error().text());
}

struct Node {
  explicit Node(std::string_view underlay) {
    must(kernel.create_tap("uplink", {}));
    must(kernel.change_link("uplink", {.up = true}));
    must(kernel.add_address("uplink", ip(underlay), 24));
    const auto number = underlay.substr(underlay.rfind('.') + 1);
    must(kernel.add_address("uplink", ip(fmt::format("fd77::{}", number)), 64));
    kernel.forget_changes();
  }
  /// The route to an address, whoever made it.
  std::optional<Route> route(const IpAddress& address) { return kernel.route_to(address).value(); }

  FakeKernel kernel;
  Switch fabric{kernel, SwitchConfig{}};
};

}  // namespace umbra::netswitch::test
