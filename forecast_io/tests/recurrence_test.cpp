// The examples of RFC 5545, section 3.8.5.3, as far as their parts are supported.
#include "forecast_io/recurrence.hpp"

#include <gmock/gmock.h>

namespace umbra::forecast {
namespace {

using testing::HasSubstr;
namespace chrono = std::chrono;

chrono::sys_days day(std::string_view text) {
  return parse_calendar_time(text).value().day;
}

/// The days from `from` on, "19970902 19970903 …", no more than `most`.
std::string days(const std::string& rule, const char* start, std::size_t most, const char* from = "00000101") {
  const auto parsed = Recurrence::parse(rule);
  if (!parsed) return parsed.error().text();
  std::vector<std::string> found;
  auto left = parsed->count.value_or(10'000);
  parsed->each(day(start), day(from), day("20301231"), [&](chrono::sys_days at) {
    const chrono::year_month_day date(at);
    if (at >= day(from))
      found.push_back(fmt::format("{:04}{:02}{:02}", static_cast<int>(date.year()), static_cast<unsigned>(date.month()),
                                  static_cast<unsigned>(date.day())));
    return found.size() < most && --left > 0;
  });
  return fmt::format("{}", fmt::join(found, " "));
}

TEST(Recurrence, GivesTheDaysOfTheStandardsExamples) {
  struct Example {
    const char *start, *rule, *days;
  };
  const Example examples[] = {
      {"19970902", "FREQ=DAILY;INTERVAL=10;COUNT=5", "19970902 19970912 19970922 19971002 19971012"},
      {"19970902", "FREQ=WEEKLY;COUNT=10",
       "19970902 19970909 19970916 19970923 19970930 19971007 19971014 19971021 19971028 19971104"},
      {"19970901", "FREQ=WEEKLY;INTERVAL=2;COUNT=25;WKST=SU;BYDAY=MO,WE,FR",
       "19970901 19970903 19970905 19970915 19970917 19970919 19970929 19971001 19971003 19971013 19971015 19971017 "
       "19971027 19971029 19971031 19971110 19971112 19971114 19971124 19971126 19971128 19971208 19971210 19971212 "
       "19971222"},
      {"19970902", "FREQ=WEEKLY;INTERVAL=2;COUNT=8;WKST=SU;BYDAY=TU,TH",
       "19970902 19970904 19970916 19970918 19970930 19971002 19971014 19971016"},
      {"19970905", "FREQ=MONTHLY;COUNT=10;BYDAY=1FR",
       "19970905 19971003 19971107 19971205 19980102 19980206 19980306 19980403 19980501 19980605"},
      {"19970907", "FREQ=MONTHLY;INTERVAL=2;COUNT=10;BYDAY=1SU,-1SU",
       "19970907 19970928 19971102 19971130 19980104 19980125 19980301 19980329 19980503 19980531"},
      {"19970922", "FREQ=MONTHLY;COUNT=6;BYDAY=-2MO", "19970922 19971020 19971117 19971222 19980119 19980216"},
      {"19970928", "FREQ=MONTHLY;BYMONTHDAY=-3", "19970928 19971029 19971128 19971229 19980129 19980226"},
      {"19970902", "FREQ=MONTHLY;COUNT=10;BYMONTHDAY=2,15",
       "19970902 19970915 19971002 19971015 19971102 19971115 19971202 19971215 19980102 19980115"},
      {"19970930", "FREQ=MONTHLY;COUNT=10;BYMONTHDAY=1,-1",
       "19970930 19971001 19971031 19971101 19971130 19971201 19971231 19980101 19980131 19980201"},
      {"19970910", "FREQ=MONTHLY;INTERVAL=18;COUNT=10;BYMONTHDAY=10,11,12,13,14,15",
       "19970910 19970911 19970912 19970913 19970914 19970915 19990310 19990311 19990312 19990313"},
      {"19970902", "FREQ=MONTHLY;INTERVAL=2;BYDAY=TU",
       "19970902 19970909 19970916 19970923 19970930 19971104 19971111 19971118 19971125 19980106"},
      {"19970610", "FREQ=YEARLY;COUNT=10;BYMONTH=6,7",
       "19970610 19970710 19980610 19980710 19990610 19990710 20000610 20000710 20010610 20010710"},
      {"19970310", "FREQ=YEARLY;INTERVAL=2;COUNT=10;BYMONTH=1,2,3",
       "19970310 19990110 19990210 19990310 20010110 20010210 20010310 20030110 20030210 20030310"},
      {"19970519", "FREQ=YEARLY;BYDAY=20MO", "19970519 19980518 19990517"},
      {"19970313", "FREQ=YEARLY;BYMONTH=3;BYDAY=TH", "19970313 19970320 19970327 19980305 19980312 19980319 19980326"},
      {"19970902", "FREQ=MONTHLY;BYDAY=FR;BYMONTHDAY=13", "19980213 19980313 19981113 19990813 20001013"},
      {"19970913", "FREQ=MONTHLY;BYDAY=SA;BYMONTHDAY=7,8,9,10,11,12,13",
       "19970913 19971011 19971108 19971213 19980110 19980207 19980307 19980411 19980509 19980613"},
      {"19961105", "FREQ=YEARLY;INTERVAL=4;BYMONTH=11;BYDAY=TU;BYMONTHDAY=2,3,4,5,6,7,8", "19961105 20001107 20041102"},
      {"20070115", "FREQ=MONTHLY;BYMONTHDAY=15,30;COUNT=5", "20070115 20070130 20070215 20070315 20070330"},
      {"19970805", "FREQ=WEEKLY;INTERVAL=2;COUNT=4;BYDAY=TU,SU;WKST=MO", "19970805 19970810 19970819 19970824"},
      {"19970805", "FREQ=WEEKLY;INTERVAL=2;COUNT=4;BYDAY=TU,SU;WKST=SU", "19970805 19970817 19970819 19970831"},
  };
  for (const auto& [start, rule, expected] : examples) {
    const auto count = (std::string_view(expected).size() + 1) / 9;
    EXPECT_EQ(days(rule, start, count), expected) << rule;
  }
  EXPECT_EQ(days("FREQ=YEARLY;BYMONTH=1;BYDAY=SU,MO,TU,WE,TH,FR,SA", "19980101", 93),
            days("FREQ=DAILY;BYMONTH=1", "19980101", 93));
}

TEST(Recurrence, ACountEndsItAndADayThatAMonthLacksIsLeftOut) {
  EXPECT_EQ(days("FREQ=DAILY;COUNT=3", "19970902", 99), "19970902 19970903 19970904");
  EXPECT_EQ(days("FREQ=MONTHLY", "20260131", 3), "20260131 20260331 20260531");
  EXPECT_EQ(days("FREQ=YEARLY", "20240229", 2), "20240229 20280229");
}

TEST(Recurrence, StartingLaterGivesTheSameDays) {
  for (const char* rule : {"FREQ=DAILY;INTERVAL=7", "FREQ=WEEKLY;INTERVAL=3;BYDAY=MO,SU",
                           "FREQ=MONTHLY;INTERVAL=5;BYDAY=-1FR", "FREQ=YEARLY;INTERVAL=3;BYMONTH=2,11"}) {
    const auto all = days(rule, "19010101", 10'000);
    const auto late = days(rule, "19010101", 10'000, "20200101");
    EXPECT_GT(late.size(), 20U) << rule;
    EXPECT_TRUE(all.ends_with(late)) << rule;
  }
}

TEST(Recurrence, WhatIsNotUnderstoodIsRefusedByName) {
  const std::pair<const char*, const char*> cases[] = {
      {"", "'' is not like NAME=VALUE"},
      {"INTERVAL=2", "FREQ is missing"},
      {"FREQ=HOURLY", "FREQ=HOURLY is not supported"},
      {"FREQ=DAILY;BYSETPOS=1", "BYSETPOS is not supported"},
      {"FREQ=DAILY;BYHOUR=9", "BYHOUR is not supported"},
      {"FREQ=DAILY;FREQ=DAILY", "a second FREQ"},
      {"FREQ=DAILY;INTERVAL=0", "INTERVAL cannot be '0'"},
      {"FREQ=DAILY;COUNT=-1", "COUNT cannot be '-1'"},
      {"FREQ=DAILY;COUNT=1x", "COUNT cannot be '1x'"},
      {"FREQ=DAILY;UNTIL=2026", "UNTIL cannot be '2026'"},
      {"FREQ=DAILY;COUNT=1;UNTIL=20260501", "exclude each other"},
      {"FREQ=WEEKLY;BYDAY=MO,", "BYDAY cannot be ''"},
      {"FREQ=MONTHLY;BYDAY=0MO", "BYDAY cannot be '0MO'"},
      {"FREQ=WEEKLY;BYDAY=1MO", "BYDAY has numbers"},
      {"FREQ=WEEKLY;BYMONTHDAY=1", "a week has no BYMONTHDAY"},
      {"FREQ=YEARLY;BYMONTH=13", "BYMONTH cannot be '13'"},
      {"FREQ=MONTHLY;BYMONTHDAY=32", "BYMONTHDAY cannot be '32'"},
      {"FREQ=WEEKLY;WKST=1MO", "WKST cannot be '1MO'"},
  };
  for (const auto& [rule, cause] : cases) {
    const auto parsed = Recurrence::parse(rule);
    ASSERT_FALSE(parsed) << rule;
    EXPECT_THAT(parsed.error().message, HasSubstr(cause));
  }
}

}  // namespace
}  // namespace umbra::forecast
