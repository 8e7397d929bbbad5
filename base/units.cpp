#include "base/units.hpp"

#include <array>
#include <charconv>

namespace umbra {
namespace {

constexpr std::array<std::string_view, 6> kUnits{"B", "KiB", "MiB", "GiB", "TiB", "PiB"};

}  // namespace

std::string to_string(Bytes bytes) {
  auto value = static_cast<double>(bytes.count);
  std::size_t unit = 0;
  while (value >= 1000 && unit + 1 < kUnits.size()) {
    value /= 1024;
    ++unit;
  }
  if (unit == 0) return fmt::format("{} B", bytes.count);
  return fmt::format("{:.{}f} {}", value, value < 10 ? 2 : value < 100 ? 1 : 0, kUnits[unit]);
}

std::string to_string(BytesPerSecond rate) {
  return to_string(Bytes{rate.count}) + "/s";
}

Result<Bytes> parse_bytes(std::string_view text) {
  std::uint64_t number = 0;
  const auto* end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, number);
  std::string_view unit(rest, static_cast<std::size_t>(end - rest));
  while (!unit.empty() && unit.front() == ' ') unit.remove_prefix(1);
  if (error == std::errc{}) {
    if (unit.empty()) return Bytes{number};
    for (std::size_t power = 0; power < kUnits.size(); ++power)
      if (unit == kUnits[power]) {
        const auto shift = 10 * power;
        if (number << shift >> shift != number) break;
        return Bytes{number << shift};
      }
  }
  return fail({Errc::kInvalid, fmt::format("'{}' is not a size", text), "write it like 256MiB or 1GiB"});
}

}  // namespace umbra
