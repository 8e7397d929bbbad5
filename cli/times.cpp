#include "cli/times.hpp"

#include <charconv>
#include <chrono>

#include "base/config.hpp"

namespace umbra::cli {
namespace {

constexpr UnixMillis kLatest = 7'258'118'400'000;  // the year 2200: later ones are milliseconds taken for seconds
constexpr std::string_view kRemedy =
    "write it like 2026-05-01T12:00:00Z, 2026-05-01T14:00:00+02:00 or 1777636800 (seconds)";

tl::unexpected<Error> refuse(std::string_view text, std::string_view cause) {
  return fail({Errc::kInvalid, fmt::format("'{}' is not a time: {}", text, cause), std::string(kRemedy)});
}

/// Eats the parts of a time from the front of a text; the first part that does not fit makes it bad for good.
class Scanner {
 public:
  explicit Scanner(std::string_view text) : rest_(text) {}

  int digits(std::size_t count) {
    int number = 0;
    for (std::size_t i = 0; i < count; ++i, rest_.remove_prefix(1)) {
      if (rest_.empty() || rest_.front() < '0' || rest_.front() > '9') {
        bad_ = true;
        return 0;
      }
      number = number * 10 + (rest_.front() - '0');
    }
    return number;
  }
  bool maybe(std::string_view any_of) {
    if (rest_.empty() || any_of.find(rest_.front()) == std::string_view::npos) return false;
    rest_.remove_prefix(1);
    return true;
  }
  void expect(std::string_view any_of) { bad_ = !maybe(any_of) || bad_; }
  /// Digits after a decimal point as milliseconds; finer ones are cut off.
  int fraction_ms() {
    int ms = 0;
    int scale = 100;
    bool any = false;
    for (; !rest_.empty() && rest_.front() >= '0' && rest_.front() <= '9';
         rest_.remove_prefix(1), scale /= 10, any = true)
      ms += (rest_.front() - '0') * scale;
    bad_ = bad_ || !any;
    return ms;
  }
  char peek() const { return rest_.empty() ? '\0' : rest_.front(); }
  bool done() const { return rest_.empty(); }
  bool bad() const { return bad_; }

 private:
  std::string_view rest_;
  bool bad_ = false;
};

Result<UnixMillis> parse_epoch(std::string_view text) {
  std::int64_t seconds = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seconds);
  if (error != std::errc{} || seconds > kLatest / 1000)
    return refuse(text, "it lies beyond the year 2200 (are these milliseconds?)");
  Scanner fraction(text.substr(static_cast<std::size_t>(end - text.data())));
  const int ms = fraction.maybe(".") ? fraction.fraction_ms() : 0;
  if (fraction.bad() || !fraction.done()) return refuse(text, "not a number of seconds");
  return seconds * 1000 + ms;
}

Result<UnixMillis> parse_iso(std::string_view text) {
  namespace chrono = std::chrono;
  Scanner scan(text);
  const int year = scan.digits(4);
  scan.expect("-");
  const int month = scan.digits(2);
  scan.expect("-");
  const int day = scan.digits(2);
  scan.expect("Tt ");
  const int hour = scan.digits(2);
  scan.expect(":");
  const int minute = scan.digits(2);
  const int second = scan.maybe(":") ? scan.digits(2) : 0;
  const int ms = scan.maybe(".,") ? scan.fraction_ms() : 0;
  if (scan.bad()) return refuse(text, "neither ISO 8601 nor seconds since the epoch");
  if (scan.done()) return refuse(text, "it has no time zone");

  int offset_minutes = 0;
  if (!scan.maybe("Zz")) {
    const int sign = scan.peek() == '-' ? -1 : 1;
    scan.expect("+-");
    offset_minutes = scan.digits(2) * 60;
    scan.maybe(":");
    if (!scan.done()) offset_minutes += scan.digits(2);
    offset_minutes *= sign;
  }
  if (scan.bad() || !scan.done()) return refuse(text, "its time zone is neither Z nor like +02:00");

  const chrono::year_month_day date{chrono::year(year), chrono::month(static_cast<unsigned>(month)),
                                    chrono::day(static_cast<unsigned>(day))};
  if (!date.ok()) return refuse(text, "there is no such day");
  if (hour > 23 || minute > 59 || second > 60) return refuse(text, "there is no such time of day");  // 60: leap second
  const auto at = chrono::sys_days(date) + chrono::hours(hour) + chrono::minutes(minute - offset_minutes) +
                  chrono::seconds(second) + chrono::milliseconds(ms);
  const auto unix_ms = chrono::duration_cast<chrono::milliseconds>(at.time_since_epoch()).count();
  if (unix_ms < 0 || unix_ms > kLatest) return refuse(text, "it lies outside the years 1970 to 2200");
  return unix_ms;
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

}  // namespace umbra::cli
