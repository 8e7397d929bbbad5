#include "netswitch/address.hpp"

#include <arpa/inet.h>

#include <algorithm>

namespace umbra::netswitch {

Result<IpAddress> IpAddress::parse(std::string_view text) {
  const std::string copy(text);
  std::array<std::uint8_t, 4> four{};
  if (inet_pton(AF_INET, copy.c_str(), four.data()) == 1) return IpAddress(four);
  std::array<std::uint8_t, 16> sixteen{};
  if (inet_pton(AF_INET6, copy.c_str(), sixteen.data()) == 1) return IpAddress(sixteen);
  return fail(Error{Errc::kInvalid, fmt::format("'{}' is not an IP address", text),
                    "write it like 10.50.0.1 or fd00::1, without a prefix length"});
}

Result<IpAddress> IpAddress::from_bytes(std::span<const std::uint8_t> bytes) {
  if (bytes.size() != 4 && bytes.size() != 16) return fail(Errc::kInvalid, "an IP address of {} bytes", bytes.size());
  IpAddress address;
  address.v6_ = bytes.size() == 16;
  std::copy(bytes.begin(), bytes.end(), address.bytes_.begin());
  return address;
}

std::uint8_t IpAddress::family() const {
  return v6_ ? AF_INET6 : AF_INET;
}

bool IpAddress::is_assignable() const {
  if (v6_) {
    constexpr std::array<std::uint8_t, 16> kLoopback{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};
    return bytes_[0] != 0xff && bytes_ != kLoopback && bytes_ != std::array<std::uint8_t, 16>{};
  }
  return bytes_[0] != 0 && bytes_[0] != 127 && bytes_[0] < 224;
}

bool IpAddress::is_link_local() const {
  return v6_ ? bytes_[0] == 0xfe && (bytes_[1] & 0xc0) == 0x80 : bytes_[0] == 169 && bytes_[1] == 254;
}

bool IpAddress::shares_prefix(const IpAddress& other, std::uint8_t prefix) const {
  if (v6_ != other.v6_ || prefix > bits()) return false;
  const std::size_t whole = prefix / 8;
  if (!std::equal(bytes_.begin(), bytes_.begin() + static_cast<std::ptrdiff_t>(whole), other.bytes_.begin()))
    return false;
  const unsigned rest = prefix % 8;
  return rest == 0 || (bytes_[whole] >> (8 - rest)) == (other.bytes_[whole] >> (8 - rest));
}

std::string IpAddress::to_string() const {
  std::array<char, INET6_ADDRSTRLEN> text{};
  inet_ntop(family(), bytes_.data(), text.data(), text.size());
  return text.data();
}

Result<MacAddress> MacAddress::parse(std::string_view text) {
  const auto digit = [](char c) -> int {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
  };
  std::array<std::uint8_t, 6> bytes{};
  bool good = text.size() == 17;
  for (std::size_t i = 0; good && i < 6; ++i) {
    const int high = digit(text[i * 3]);
    const int low = digit(text[i * 3 + 1]);
    good = high >= 0 && low >= 0 && (i == 5 || text[i * 3 + 2] == ':');
    if (good) bytes[i] = static_cast<std::uint8_t>(high * 16 + low);
  }
  if (good) return MacAddress(bytes);
  return fail(Error{Errc::kInvalid, fmt::format("'{}' is not a MAC address", text), "write it like 52:54:00:00:00:01"});
}

std::string MacAddress::to_string() const {
  return fmt::format("{:02x}", fmt::join(bytes_, ":"));
}

}  // namespace umbra::netswitch
