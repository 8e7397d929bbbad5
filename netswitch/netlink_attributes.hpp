/// Reading rtnetlink messages.
#pragma once

#include <netlink/attr.h>
#include <netlink/msg.h>

#include <array>
#include <optional>

#include "netswitch/address.hpp"

namespace umbra::netswitch {

/// By type; null where there is none. @tparam Header what the message begins with
template <class Header, std::size_t N>
std::array<nlattr*, N> attributes_of(const nlmsghdr* header) {
  std::array<nlattr*, N> attributes{};
  nlmsg_parse(const_cast<nlmsghdr*>(header), sizeof(Header), attributes.data(), static_cast<int>(N) - 1, nullptr);
  return attributes;
}

/// Nothing unless it is an IPv4 or IPv6 address.
inline std::optional<IpAddress> read_address(nlattr* attribute) {
  if (attribute == nullptr) return std::nullopt;
  const std::span<const std::uint8_t> bytes(static_cast<const std::uint8_t*>(nla_data(attribute)),
                                            static_cast<std::size_t>(nla_len(attribute)));
  auto address = IpAddress::from_bytes(bytes);
  return address ? std::optional(*address) : std::nullopt;
}

}  // namespace umbra::netswitch
