#include "cli/times.hpp"

#include <cmath>

#include "base/config.hpp"
#include "base/csv.hpp"
#include "base/times.hpp"

namespace umbra::cli {
namespace {

constexpr UnixMillis kLatest = 7'258'118'400'000;  // the year 2200: later ones are milliseconds taken for seconds
constexpr std::string_view kRemedy =
    "write it like 2026-05-01T12:00:00Z, 2026-05-01T14:00:00+02:00 or 1777636800 (seconds)";

tl::unexpected<Error> refuse(std::string_view text, std::string_view cause) {
  return fail({Errc::kInvalid, fmt::format("'{}' is not a time: {}", text, cause), std::string(kRemedy)});
}

Result<UnixMillis> parse_epoch(std::string_view text) {
  const auto seconds = parse_number(text);
  if (!seconds || text.ends_with('.')) return refuse(text, "not a number of seconds");
  if (*seconds * 1000 > static_cast<double>(kLatest))
    return refuse(text, "it lies beyond the year 2200 (are these milliseconds?)");
  return std::llround(*seconds * 1000);
}

Result<UnixMillis> parse_iso(std::string_view text) {
  const auto written = parse_iso8601(text);
  if (!written) return refuse(text, written.error().message);
  if (!written->zoned) return refuse(text, "it has no time zone");
  if (written->at < 0 || written->at > kLatest) return refuse(text, "it lies outside the years 1970 to 2200");
  return written->at;
}

}  // namespace

Result<UnixMillis> parse_time(std::string_view text) {
  if (text.empty()) return refuse(text, "it is empty");
  const bool number = text.find_first_not_of("0123456789.") == std::string_view::npos && text.front() != '.';
  return number ? parse_epoch(text) : parse_iso(text);
}

Result<UnixMillis> parse_when(std::string_view text, UnixMillis now) {
  if (text == "now") return now;
  if (!text.starts_with('+')) {
    auto at = parse_time(text);
    if (!at) at.error().remedy += ", or now, or +30min for half an hour from now";
    return at;
  }
  UMBRA_TRY(const auto from_now, parse_duration(text.substr(1)));
  return now + from_now.count();
}

Result<UnixMillis> parse_since(std::string_view text, UnixMillis now) {
  if (const auto ago = parse_duration(text)) return now - ago->count();
  // A short number is a duration whose unit was forgotten, not a second of 1970.
  const bool unitless = text.size() < 9 && text.find_first_not_of("0123456789.") == std::string_view::npos;
  if (!unitless)
    if (const auto at = parse_time(text)) return *at;
  return fail({Errc::kInvalid, fmt::format("--since: '{}' is neither a duration with a unit nor a time", text),
               "write it as 30min, 24h, 7d or 2026-05-01T12:00:00Z"});
}

}  // namespace umbra::cli
