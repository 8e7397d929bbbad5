/// The stored form of a state: its numbers one after the other, little-endian, in an envelope that tells damage.
///
/// A class describes its form once, for writing and for reading alike:
/// `template <class Self, class Io> static void describe(Self& self, Io& io) { io(self.level_); io.each(self.days_); }`
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <concepts>
#include <cstdint>
#include <ranges>
#include <string>
#include <string_view>
#include <type_traits>

#include "base/result.hpp"

namespace umbra::forecast {

static_assert(sizeof(std::size_t) == sizeof(std::uint64_t), "places and lengths are stored as they are");

template <class T>
concept StoredNumber =
    (std::integral<T> && !std::same_as<T, bool>) || std::same_as<T, float> || std::same_as<T, double>;

class StateWriter {
 public:
  template <StoredNumber T>
  void operator()(T value) {
    auto raw = std::bit_cast<std::array<char, sizeof(T)>>(value);
    if constexpr (std::endian::native == std::endian::big) std::ranges::reverse(raw);
    bytes_.append(raw.data(), raw.size());
  }
  /// The numbers of a range whose length the reader knows.
  template <std::ranges::range Range>
  void each(const Range& range) {
    for (const auto& value : range) (*this)(value);
  }
  /// A list, with its length.
  template <std::ranges::sized_range List>
  void list(const List& values, std::size_t /*most*/) {
    (*this)(static_cast<std::uint32_t>(std::ranges::size(values)));
    each(values);
  }
  void expect(bool /*holds*/) {}

  std::string take() { return std::move(bytes_); }

 private:
  std::string bytes_;
};

/// Reads what a StateWriter wrote. Whatever the bytes are, it makes nothing larger than them; after the first that
/// cannot be, it reads nothing more and stays failed().
class StateReader {
 public:
  explicit StateReader(std::string_view bytes) : left_(bytes) {}

  template <StoredNumber T>
  void operator()(T& value) {
    expect(left_.size() >= sizeof(T));
    if (failed_) return;
    std::array<char, sizeof(T)> raw;
    std::ranges::copy(left_.substr(0, raw.size()), raw.begin());
    if constexpr (std::endian::native == std::endian::big) std::ranges::reverse(raw);
    left_.remove_prefix(raw.size());
    value = std::bit_cast<T>(raw);
  }
  template <std::ranges::range Range>
  void each(Range&& range) {
    for (auto& value : range) (*this)(value);
  }
  /// @param most that the list may hold
  template <class List>
  void list(List& values, std::size_t most) {
    std::uint32_t count = 0;
    (*this)(count);
    expect(count <= most && holds(count, sizeof(typename List::value_type)));
    if (failed_) return;
    values.resize(count);
    each(values);
  }

  /// Fails unless this holds.
  void expect(bool holds) { failed_ = failed_ || !holds; }
  bool failed() const { return failed_; }
  /// Whether so many numbers can still be there; to be asked before room is made for them.
  bool holds(std::size_t count, std::size_t size) const { return count <= left_.size() / size; }
  bool at_end() const { return left_.empty(); }

 private:
  std::string_view left_;
  bool failed_ = false;
};

/// What kind of state, of which version, a checksum (CRC-32), and `body`.
/// @param kind four characters
std::string sealed(std::string_view kind, std::uint16_t version, std::string_view body);

/// The body again.
/// @error kInvalid another kind or version, cut short, or damaged
Result<std::string_view> opened(std::string_view kind, std::uint16_t version, std::string_view stored);

}  // namespace umbra::forecast
