#include "cli/times.hpp"

#include <gmock/gmock.h>

namespace umbra::cli {
namespace {

using testing::HasSubstr;

TEST(Times, ReadIso8601InEveryZone) {
  EXPECT_EQ(parse_time("2026-05-01T12:00:00Z"), 1'777'636'800'000);
  EXPECT_EQ(parse_time("2026-05-01 14:00:00.25+02:00"), 1'777'636'800'250);
  EXPECT_EQ(parse_time("2026-05-01t06:30-0530"), 1'777'636'800'000);
  EXPECT_EQ(parse_time("2026-05-01T13:00:00,5+01"), 1'777'636'800'500);
  EXPECT_EQ(parse_time("2024-02-29T00:00:00Z"), 1'709'164'800'000);
  EXPECT_EQ(parse_time("1970-01-01T00:00:00Z"), 0);
}

TEST(Times, ReadSecondsSinceTheEpoch) {
  EXPECT_EQ(parse_time("1777636800"), 1'777'636'800'000);
  EXPECT_EQ(parse_time("1777636800.25"), 1'777'636'800'250);
  EXPECT_EQ(parse_time("0"), 0);
}

TEST(Times, RefuseWhatIsNoTimeAndSayWhy) {
  const std::pair<const char*, const char*> cases[] = {
      {"", "it is empty"},
      {"yesterday", "it is not ISO 8601"},
      {"2026-05-01T12:00:00", "it has no time zone"},
      {"2026-05-01", "it has no time zone"},
      {"2026-02-29T00:00:00Z", "no such day"},
      {"2026-13-01T00:00:00Z", "no such day"},
      {"2026-05-01T24:00:00Z", "no such time of day"},
      {"2026-05-01T12:00:00+2", "its time zone"},
      {"2026-05-01T12:00:00Zulu", "its time zone"},
      {"1969-12-31T23:59:59Z", "outside the years"},
      {"1777636800000", "milliseconds"},
      {"99999999999999999999", "beyond the year 2200"},
      {"1777636800.", "not a number of seconds"},
      {"1.2.3", "not a number of seconds"},
      {"-5", "it is not ISO 8601"},
  };
  for (const auto& [text, cause] : cases) {
    const auto time = parse_time(text);
    ASSERT_FALSE(time) << text;
    EXPECT_THAT(time.error().message, HasSubstr(cause)) << text;
    EXPECT_THAT(time.error().remedy, HasSubstr("2026-05-01T12:00:00Z"));
  }
}

TEST(Times, WindowsMayBeginNowOrInAWhile) {
  constexpr UnixMillis kNow = 1'777'636'800'000;
  EXPECT_EQ(parse_when("now", kNow), kNow);
  EXPECT_EQ(parse_when("+30min", kNow), kNow + 30 * 60'000);
  EXPECT_EQ(parse_when("2026-05-01T12:00:01Z", kNow), kNow + 1000);
  EXPECT_FALSE(parse_when("+soon", kNow));
  EXPECT_THAT(parse_when("soon", kNow).error().remedy, HasSubstr("+30min"));
}

}  // namespace
}  // namespace umbra::cli
