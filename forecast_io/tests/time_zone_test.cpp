#include "forecast_io/time_zone.hpp"

#include <gmock/gmock.h>

#include <cstdlib>
#include <ctime>
#include <fstream>

namespace umbra::forecast {
namespace {

using testing::HasSubstr;

/// What the C library says, of the zone that TZ names.
std::int64_t libc_offset(std::int64_t utc) {
  const auto time = static_cast<std::time_t>(utc);
  std::tm local{};
  localtime_r(&time, &local);
  return local.tm_gmtoff;
}

TEST(TimeZone, AgreesWithTheCLibraryFrom1900To2100) {
  const char* before = std::getenv("TZ");
  const std::string saved = before != nullptr ? before : "";
  for (const char* name : {"Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "America/Nuuk",
                           "Africa/Casablanca", "Pacific/Apia", "UTC"}) {
    const auto zone = TimeZone::load(name);
    ASSERT_TRUE(zone) << zone.error().text();
    setenv("TZ", name, 1);
    tzset();
    constexpr std::int64_t kFrom = -2'208'988'800, kTo = 4'102'444'800, kStride = 6 * 3600 + 7;
    for (auto at = kFrom; at < kTo; at += kStride) ASSERT_EQ(zone->offset(at), libc_offset(at)) << name << " at " << at;
  }
  before != nullptr ? setenv("TZ", saved.c_str(), 1) : unsetenv("TZ");
  tzset();
}

TEST(TimeZone, LocalTimesInAGapAndShownTwiceAreReadAsTheStandardSays) {
  // RFC 5545, 3.3.5: 2007-11-04 01:30 in New York means EDT, and 2007-03-11 02:30, which no clock showed, 03:30 EDT.
  const auto zone = TimeZone::load("America/New_York").value();
  EXPECT_EQ(zone.to_utc(1'194'139'800), 1'194'139'800 + 4 * 3600);
  EXPECT_EQ(zone.to_utc(1'173'580'200), 1'173'580'200 + 5 * 3600);
  EXPECT_EQ(zone.offset(1'173'580'200 + 5 * 3600), -4 * 3600);
  EXPECT_EQ(TimeZone().to_utc(5), 5);
}

TEST(TimeZone, RulesForTheFutureAreReadAsPosixWritesThem) {
  const auto berlin = ZoneRule::parse("CET-1CEST,M3.5.0,M10.5.0/3").value();
  EXPECT_EQ(berlin.offset(1'774'745'999), 3600) << "2026-03-29 00:59:59 UTC";
  EXPECT_EQ(berlin.offset(1'774'746'000), 7200);
  EXPECT_EQ(ZoneRule::parse("<+0530>-5:30")->offset(0), 19'800);
  const auto sydney = ZoneRule::parse("AEST-10AEDT,M10.1.0,M4.1.0/3").value();
  EXPECT_EQ(sydney.offset(1'767'225'600), 39'600) << "2026-01-01";
  EXPECT_EQ(sydney.offset(1'782'864'000), 36'000) << "2026-07-01";
  const auto julian = ZoneRule::parse("AAA0BBB,J60/0,300/0").value();
  EXPECT_EQ(julian.offset(1'709'251'199), 0) << "2024-02-29 23:59:59: J60 is 1 March also in a leap year";
  EXPECT_EQ(julian.offset(1'709'251'200), 3600);
  for (const char* bad : {"", "CET", "CET-1CEST", "CET-1CEST,M3.5.0", "CET-1CEST,M13.1.0,M1.1.0", "CET-1x", "<CET-1",
                          "CET-999", "CET-1CEST,M3.5.0,M10.5.0/3x"})
    EXPECT_FALSE(ZoneRule::parse(bad)) << bad;
}

TEST(TimeZone, NamesThatLeaveTheDatabaseAndDamagedFilesAreRefused) {
  for (const char* name :
       {"", "Europe", "Europe/Nowhere", "../../../etc/passwd", "/etc/passwd", "W. Europe Standard Time"})
    EXPECT_EQ(TimeZone::load(name).error().code, Errc::kNotFound) << name;
  EXPECT_THAT(TimeZone::load("Mars").error().remedy, HasSubstr("tzdata"));
  std::ifstream file("/usr/share/zoneinfo/Europe/Berlin", std::ios::binary);
  const std::string content{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  ASSERT_TRUE(TimeZone::parse(content));
  for (std::size_t length = 0; length < content.size(); ++length)
    ASSERT_FALSE(TimeZone::parse(std::string_view(content).substr(0, length))) << length;
}

}  // namespace
}  // namespace umbra::forecast
