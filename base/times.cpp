#include "base/times.hpp"

#include <chrono>

namespace umbra {
namespace {

/// Eats the parts of a time from the front of a text; the first part that does not fit makes it bad for good.
class Scanner {
 public:
  explicit Scanner(std::string_view text) : rest_(text) {}

  int digits(std::size_t count) {
    int number = 0;
    for (std::size_t i = 0; i < count; ++i, rest_.remove_prefix(1)) {
      if (!at_digit()) {
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
    bad_ = bad_ || !at_digit();
    for (int scale = 100; at_digit(); rest_.remove_prefix(1), scale /= 10) ms += (rest_.front() - '0') * scale;
    return ms;
  }
  char peek() const { return rest_.empty() ? '\0' : rest_.front(); }
  bool done() const { return rest_.empty(); }
  bool bad() const { return bad_; }

 private:
  bool at_digit() const { return !rest_.empty() && rest_.front() >= '0' && rest_.front() <= '9'; }

  std::string_view rest_;
  bool bad_ = false;
};

/// Z, +02:00, +0200 or +02, to the end of the text.
int offset_minutes(Scanner& scan) {
  if (scan.maybe("Zz")) return 0;
  const int sign = scan.peek() == '-' ? -1 : 1;
  scan.expect("+-");
  int minutes = scan.digits(2) * 60;
  scan.maybe(":");
  if (!scan.done()) minutes += scan.digits(2);
  return sign * minutes;
}

}  // namespace

Result<WrittenTime> parse_iso8601(std::string_view text) {
  namespace chrono = std::chrono;
  Scanner scan(text);
  const int year = scan.digits(4);
  scan.expect("-");
  const int month = scan.digits(2);
  scan.expect("-");
  const int day = scan.digits(2);
  int hour = 0, minute = 0, second = 0, ms = 0;
  if (!scan.done()) {
    scan.expect("Tt ");
    hour = scan.digits(2);
    scan.expect(":");
    minute = scan.digits(2);
    if (scan.maybe(":")) second = scan.digits(2);
    if (scan.maybe(".,")) ms = scan.fraction_ms();
  }
  if (scan.bad()) return fail(Errc::kInvalid, "it is not ISO 8601");
  const bool zoned = !scan.done();
  const int offset = zoned ? offset_minutes(scan) : 0;
  if (scan.bad() || !scan.done()) return fail(Errc::kInvalid, "its time zone is neither Z nor like +02:00");

  const chrono::year_month_day date{chrono::year(year), chrono::month(static_cast<unsigned>(month)),
                                    chrono::day(static_cast<unsigned>(day))};
  if (!date.ok()) return fail(Errc::kInvalid, "there is no such day");
  if (hour > 23 || minute > 59 || second > 60)  // 60: leap second
    return fail(Errc::kInvalid, "there is no such time of day");
  const chrono::sys_time<Milliseconds> at = chrono::sys_days(date) + chrono::hours(hour) +
                                            chrono::minutes(minute - offset) + chrono::seconds(second) +
                                            Milliseconds(ms);
  return WrittenTime{at.time_since_epoch().count(), zoned};
}

}  // namespace umbra
