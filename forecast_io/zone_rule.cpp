#include <chrono>

#include "forecast_io/time_zone.hpp"

namespace umbra::forecast {
namespace {

namespace chrono = std::chrono;

constexpr std::int64_t kHour = 3600;

std::int64_t seconds_of(chrono::sys_days day) {
  return chrono::seconds(day.time_since_epoch()).count();
}

}  // namespace

/// Eats a rule from its front; the first part that does not fit makes it bad for good.
class ZoneRule::Reader {
 public:
  explicit Reader(std::string_view text) : rest_(text) {}

  bool maybe(char c) {
    if (!rest_.starts_with(c)) return false;
    rest_.remove_prefix(1);
    return true;
  }
  void expect(char c) { bad_ = !maybe(c) || bad_; }
  /// "CET" or "<+0330>"
  void name() {
    const bool quoted = maybe('<');
    const auto length = std::min(rest_.size(), rest_.find_first_of(quoted ? ">" : "+-,0123456789"));
    bad_ = bad_ || length == 0;
    rest_.remove_prefix(length);
    if (quoted) expect('>');
  }
  int number(int least, int most) {
    int value = 0;
    bool any = false;
    for (; !rest_.empty() && rest_.front() >= '0' && rest_.front() <= '9' && value <= most; any = true) {
      value = value * 10 + (rest_.front() - '0');
      rest_.remove_prefix(1);
    }
    bad_ = bad_ || !any || value < least || value > most;
    return bad_ ? least : value;
  }
  /// [+-]hh[:mm[:ss]] in seconds
  std::int64_t time() {
    const int sign = maybe('-') ? -1 : 1;
    if (sign > 0) maybe('+');
    constexpr int kMostHours = 167;  // RFC 8536, 3.3.1
    std::int64_t seconds = number(0, kMostHours) * kHour;
    if (maybe(':')) seconds += number(0, 59) * 60;
    if (maybe(':')) seconds += number(0, 59);
    return sign * seconds;
  }
  Change change() {
    Change found;
    if (maybe('M')) {
      found.kind = Change::Kind::kWeekdayOfMonth;
      found.month = number(1, 12);
      expect('.');
      found.week = number(1, 5);
      expect('.');
      found.day = number(0, 6);
    } else if (maybe('J')) {
      found.kind = Change::Kind::kDayWithoutLeap;
      found.day = number(1, 365);
    } else {
      found.day = number(0, 365);
    }
    if (maybe('/')) found.time_of_day = time();
    return found;
  }
  bool done() const { return rest_.empty(); }
  bool bad() const { return bad_; }

 private:
  std::string_view rest_;
  bool bad_ = false;
};

std::optional<ZoneRule> ZoneRule::parse(std::string_view text) {
  Reader read(text);
  ZoneRule rule;
  read.name();
  rule.standard_ = rule.summer_ = -read.time();  // POSIX counts west of Greenwich
  rule.has_summer_ = !read.done();
  if (rule.has_summer_) {
    read.name();
    rule.summer_ = rule.standard_ + kHour;
    if (!read.maybe(',')) {
      rule.summer_ = -read.time();
      read.expect(',');
    }
    rule.begin_ = read.change();
    read.expect(',');
    rule.end_ = read.change();
  }
  if (read.bad() || !read.done()) return std::nullopt;
  return rule;
}

std::int64_t ZoneRule::Change::in_year(int year) const {
  const chrono::year y(year);
  chrono::sys_days date = y / 1 / 1;
  if (kind == Kind::kWeekdayOfMonth) {
    const chrono::year_month in = y / chrono::month(static_cast<unsigned>(month));
    const chrono::weekday wanted(static_cast<unsigned>(day));
    constexpr int kLastWeek = 5;
    date = week == kLastWeek ? chrono::sys_days(in / wanted[chrono::last])
                             : chrono::sys_days(in / wanted[static_cast<unsigned>(week)]);
  } else {
    constexpr int kFebruary29 = 60;  // the first day that a leap year moves, counted from 1
    const bool moved = kind == Kind::kDayWithoutLeap && day >= kFebruary29 && y.is_leap();
    date += chrono::days(kind == Kind::kDay ? day : day - 1 + static_cast<int>(moved));
  }
  return seconds_of(date) + time_of_day;
}

std::int64_t ZoneRule::offset(std::int64_t utc) const {
  if (!has_summer_) return standard_;
  const auto local = chrono::floor<chrono::days>(chrono::sys_seconds(chrono::seconds(utc + standard_)));
  const auto year = static_cast<int>(chrono::year_month_day(local).year());
  const auto begin = begin_.in_year(year) - standard_;
  const auto end = end_.in_year(year) - summer_;
  const bool summer = begin < end ? begin <= utc && utc < end : begin <= utc || utc < end;
  return summer ? summer_ : standard_;
}

}  // namespace umbra::forecast
