#include "base/times.hpp"

#include <gmock/gmock.h>

namespace umbra {
namespace {

using testing::HasSubstr;

// The expected numbers are those of `date -u -d … +%s`.
TEST(Times, Iso8601IsReadWithAndWithoutTimeOfDayAndZone) {
  const std::tuple<const char*, UnixMillis, bool> cases[] = {
      {"2026-05-01", 1'777'593'600'000, false},
      {"2026-05-01T12:00", 1'777'636'800'000, false},
      {"2026-05-01 12:00:30", 1'777'636'830'000, false},
      {"2026-05-01T12:00:30.0625Z", 1'777'636'830'062, true},
      {"2026-05-01T14:00:30,5+02:00", 1'777'636'830'500, true},
      {"2026-05-01T08:30-0330", 1'777'636'800'000, true},
      {"1949-01-01", -662'688'000'000, false},
      {"0000-01-01", -62'167'219'200'000, false},
      {"9999-12-31T23:59:59Z", 253'402'300'799'000, true},
  };
  for (const auto& [text, at, zoned] : cases) {
    const auto written = parse_iso8601(text);
    ASSERT_TRUE(written) << text << ": " << written.error().text();
    EXPECT_EQ(written->at, at) << text;
    EXPECT_EQ(written->zoned, zoned) << text;
  }
}

TEST(Times, WhatIsNoTimeIsRefusedWithTheCause) {
  const std::pair<const char*, const char*> cases[] = {
      {"", "not ISO 8601"},
      {"2026", "not ISO 8601"},
      {"2026-5-1", "not ISO 8601"},
      {"2026-05-01T", "not ISO 8601"},
      {"2026-05-01T12", "not ISO 8601"},
      {"2026-05-01T12:00:00.", "not ISO 8601"},
      {"2026-05-01T12:00 Z", "its time zone"},
      {"2026-05-01T12:00+2", "its time zone"},
      {"2026-05-01T12:00ZZ", "its time zone"},
      {"2025-02-29", "no such day"},
      {"2026-05-01T24:00", "no such time of day"},
  };
  for (const auto& [text, cause] : cases) {
    const auto written = parse_iso8601(text);
    ASSERT_FALSE(written) << text;
    EXPECT_THAT(written.error().message, HasSubstr(cause)) << text;
  }
}

}  // namespace
}  // namespace umbra
