/// Quantities as types, and how people read and write them.
#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.hpp"

namespace umbra {

/// An amount of memory or data.
struct Bytes {
  std::uint64_t count = 0;
  auto operator<=>(const Bytes&) const = default;
  friend constexpr Bytes operator+(Bytes a, Bytes b) { return {a.count + b.count}; }
  /// Never below zero.
  friend constexpr Bytes operator-(Bytes a, Bytes b) { return {a.count > b.count ? a.count - b.count : 0}; }
};

/// A rate of data.
struct BytesPerSecond {
  std::uint64_t count = 0;
  auto operator<=>(const BytesPerSecond&) const = default;
};

constexpr Bytes kibibytes(std::uint64_t n) {
  return {n << 10};
}
constexpr Bytes mebibytes(std::uint64_t n) {
  return {n << 20};
}
constexpr Bytes gibibytes(std::uint64_t n) {
  return {n << 30};
}

/// "1.5 GiB", "12 KiB", "0 B": binary units, three significant digits.
std::string to_string(Bytes bytes);
/// "48.2 MiB/s"
std::string to_string(BytesPerSecond rate);
/// Reads "256MiB", "1 GiB", "4096" (bytes). @error kInvalid
Result<Bytes> parse_bytes(std::string_view text);

}  // namespace umbra
