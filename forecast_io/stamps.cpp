#include "forecast_io/stamps.hpp"

#include <fmt/chrono.h>

#include <chrono>
#include <cmath>

#include "base/times.hpp"

namespace umbra::forecast {
namespace {

constexpr double kLatestEpoch = 7'258'118'400;  // the year 2200: later ones are milliseconds taken for seconds
constexpr std::string_view kRemedy =
    "write it like 2026-05-01, 2026-05-01T12:00:00Z, 1777636800 (seconds) or 17 (a step), the same way in the whole "
    "file";

Error refuse(const CsvLines& lines, std::string_view text, std::string_view cause) {
  return lines.error(fmt::format("'{}' is not a time: {}", excerpt(text), cause), std::string(kRemedy));
}

/// 20260501: whole, and a day of the years 1800 to 2200 when read digit by digit.
bool is_compact_date(double value) {
  constexpr double kFirst = 18000101, kLast = 22001231;
  if (value < kFirst || value > kLast) return false;
  const auto digits = static_cast<unsigned>(value);
  return std::chrono::year_month_day(std::chrono::year(static_cast<int>(digits / 10'000)),
                                     std::chrono::month(digits / 100 % 100), std::chrono::day(digits % 100))
      .ok();
}

}  // namespace

std::string excerpt(std::string_view text) {
  constexpr std::size_t kLongest = 60;
  std::string shown(text.substr(0, kLongest));
  for (char& c : shown)
    if (static_cast<unsigned char>(c) < ' ' || c == '\x7f') c = '?';
  if (shown.size() == text.size()) return shown;
  while (!shown.empty() && (static_cast<unsigned char>(shown.back()) & 0x80U) != 0) shown.pop_back();  // whole UTF-8
  return shown + "…";
}

std::string written(UnixMillis at, TimeKind kind) {
  if (kind == TimeKind::kSteps) return std::to_string(at);
  const std::chrono::sys_time<Milliseconds> time{Milliseconds(at)};
  const auto midnight = std::chrono::floor<std::chrono::days>(time);
  const std::chrono::year_month_day date{midnight};
  const std::chrono::hh_mm_ss clock{std::chrono::floor<std::chrono::seconds>(time - midnight)};
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z", static_cast<int>(date.year()),
                     static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()), clock.hours().count(),
                     clock.minutes().count(), clock.seconds().count());
}

Result<std::int64_t> StampReader::read(const CsvLines& lines, std::string_view text) {
  ++rows_;
  if (text.empty()) return fail(refuse(lines, text, "it is empty"));
  const auto value = parse_number(text);
  if (value) return number(lines, text, *value);
  const auto iso = parse_iso8601(text);
  if (!iso) return fail(refuse(lines, text, iso.error().message));
  if (const auto other = std::max(large_line_, small_line_); other != 0)
    return fail(refuse(lines, text, fmt::format("line {} has a number", other)));
  if (iso_line_ == 0) iso_line_ = lines.line();
  return iso->at;
}

Result<std::int64_t> StampReader::number(const CsvLines& lines, std::string_view text, double value) {
  if (iso_line_ != 0) return fail(refuse(lines, text, fmt::format("line {} has ISO 8601", iso_line_)));
  if (std::abs(value) > kLatestEpoch)
    return fail(refuse(lines, text, "it lies beyond the year 2200 (are these milliseconds?)"));
  const bool large = std::abs(value) >= kLeastEpoch;
  auto& first = large ? large_line_ : small_line_;
  if (first == 0) first = lines.line();
  if (large_line_ != 0 && small_line_ != 0)
    return fail(refuse(lines, text,
                       fmt::format("line {} counts {}", large ? small_line_ : large_line_,
                                   large ? "steps, and this is too large for one" : "seconds since 1970")));
  fraction_ = fraction_ || value != std::floor(value);
  compact_dates_ = compact_dates_ && is_compact_date(value);
  return std::llround(value * 1000);
}

Result<TimeKind> StampReader::kind(const std::string& file) const {
  if (iso_line_ != 0) return TimeKind::kIso;
  if (large_line_ != 0 || fraction_) return TimeKind::kEpoch;
  if (compact_dates_ && rows_ > 1)
    return fail({Errc::kInvalid, fmt::format("{}:{}: the times look like dates without dashes", file, small_line_),
                 "write 2026-05-01 instead of 20260501"});
  return TimeKind::kSteps;
}

}  // namespace umbra::forecast
