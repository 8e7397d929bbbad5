/// Which addresses VMs of the fleet may have.
#pragma once

#include <vector>

#include "netswitch/address.hpp"

namespace umbra::netswitch {

/// A network, like 10.50.0.0/16.
struct IpPrefix {
  IpAddress base;
  std::uint8_t bits = 0;

  /// @error kInvalid not an address and a length, or an address with bits beyond it
  static Result<IpPrefix> parse(std::string_view text);
  bool contains(const IpAddress& address) const { return base.shares_prefix(address, bits); }
  IpAddress network() const;  ///< its first address
  std::string to_string() const { return fmt::format("{}/{}", base, bits); }
  bool operator==(const IpPrefix&) const = default;
};

struct AddressRules {
  static constexpr std::size_t kMostPrefixes = 256;

  std::vector<IpPrefix> allowed;  ///< empty: any
  std::vector<IpAddress> taken;   ///< the fleet's own: nodes' underlay addresses, the VMs' gateway

  /// Reads `network.allowed_addresses`. @error kInvalid
  static Result<std::vector<IpPrefix>> parse_allowed(const std::vector<std::string>& texts);

  /// Why no VM can have that address; empty if one can.
  std::string objection(const IpAddress& address) const;
};

}  // namespace umbra::netswitch
