/// Addresses as values: IP and Ethernet.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <compare>
#include <concepts>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/result.hpp"

namespace umbra::netswitch {

/// One IPv4 or IPv6 address, without a prefix length or zone.
class IpAddress {
 public:
  constexpr IpAddress() = default;  ///< 0.0.0.0
  constexpr explicit IpAddress(std::array<std::uint8_t, 4> bytes) {
    std::copy(bytes.begin(), bytes.end(), bytes_.begin());
  }
  constexpr explicit IpAddress(std::array<std::uint8_t, 16> bytes) : v6_(true), bytes_(bytes) {}

  /// Reads "10.50.0.1" or "fd00::1" (inet_pton(3)). @error kInvalid
  static Result<IpAddress> parse(std::string_view text);
  /// From 4 or 16 bytes in network order. @error kInvalid any other length
  static Result<IpAddress> from_bytes(std::span<const std::uint8_t> bytes);

  constexpr bool is_v6() const { return v6_; }
  constexpr std::uint8_t bits() const { return v6_ ? 128 : 32; }  ///< prefix length of a route to this address alone
  std::uint8_t family() const;                                    ///< AF_INET or AF_INET6
  std::span<const std::uint8_t> bytes() const { return {bytes_.data(), v6_ ? 16U : 4U}; }  ///< network order
  /// Whether a guest can own it: not unspecified, loopback, multicast or broadcast.
  bool is_assignable() const;
  bool is_link_local() const;  ///< 169.254.0.0/16 or fe80::/10
  /// Whether both are of one family and agree in their first `prefix` bits.
  bool shares_prefix(const IpAddress& other, std::uint8_t prefix) const;
  std::string to_string() const;

  auto operator<=>(const IpAddress&) const = default;

 private:
  bool v6_ = false;
  std::array<std::uint8_t, 16> bytes_{};
};

/// One Ethernet address.
class MacAddress {
 public:
  constexpr MacAddress() = default;  ///< 00:00:00:00:00:00
  constexpr explicit MacAddress(std::array<std::uint8_t, 6> bytes) : bytes_(bytes) {}

  /// Reads "52:54:00:00:00:01". @error kInvalid
  static Result<MacAddress> parse(std::string_view text);

  std::span<const std::uint8_t, 6> bytes() const { return bytes_; }
  /// Whether one station can own it: neither zero nor a group address (IEEE 802).
  bool is_assignable() const { return (bytes_[0] & 1) == 0 && *this != MacAddress{}; }
  std::string to_string() const;

  auto operator<=>(const MacAddress&) const = default;

 private:
  std::array<std::uint8_t, 6> bytes_{};
};

}  // namespace umbra::netswitch

template <class T>
requires std::same_as<T, umbra::netswitch::IpAddress> || std::same_as<T, umbra::netswitch::MacAddress>
struct fmt::formatter<T> : fmt::formatter<std::string> {
  auto format(const T& address, fmt::format_context& context) const {
    return fmt::formatter<std::string>::format(address.to_string(), context);
  }
};
