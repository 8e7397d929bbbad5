#include "netswitch/address.hpp"

#include <gtest/gtest.h>

#include "netswitch/tests/addresses.hpp"

namespace umbra::netswitch {
namespace {

using test::ip;
using test::mac;

TEST(IpAddress, is_written_as_it_is_read) {
  for (const char* text : {"10.50.0.1", "169.254.1.1", "fd00::1", "fe80::1", "::", "0.0.0.0"}) {
    EXPECT_EQ(ip(text).to_string(), text);
  }
  EXPECT_EQ(ip("FD00:0::0001").to_string(), "fd00::1");
}

TEST(IpAddress, says_what_is_wrong_and_how_to_write_it) {
  for (const char* text : {"", "10.50.0", "10.50.0.1/32", "10.50.0.256", "vm1", "fd00::1%eth0", " 10.0.0.1"}) {
    const auto parsed = IpAddress::parse(text);
    ASSERT_FALSE(parsed) << text;
    EXPECT_EQ(parsed.error().code, Errc::kInvalid);
    EXPECT_NE(parsed.error().message.find(fmt::format("'{}'", text)), std::string::npos);
    EXPECT_NE(parsed.error().remedy.find("10.50.0.1"), std::string::npos);
  }
}

TEST(IpAddress, tells_guests_addresses_from_others) {
  for (const char* good : {"10.50.0.1", "192.0.2.7", "fd00::1", "2001:db8::5"})
    EXPECT_TRUE(ip(good).is_assignable()) << good;
  for (const char* bad : {"0.0.0.0", "127.0.0.1", "224.0.0.1", "255.255.255.255", "::", "::1", "ff02::1"}) {
    EXPECT_FALSE(ip(bad).is_assignable()) << bad;
  }
}

TEST(IpAddress, compares_prefixes_bit_by_bit) {
  EXPECT_TRUE(ip("10.77.0.1").shares_prefix(ip("10.77.0.254"), 24));
  EXPECT_FALSE(ip("10.77.0.1").shares_prefix(ip("10.77.1.1"), 24));
  EXPECT_TRUE(ip("10.77.0.1").shares_prefix(ip("10.77.1.1"), 23));
  EXPECT_TRUE(ip("10.77.0.1").shares_prefix(ip("192.0.2.1"), 0));
  EXPECT_FALSE(ip("10.77.0.1").shares_prefix(ip("fd00::1"), 0));
  EXPECT_TRUE(ip("fd00::1").shares_prefix(ip("fd00::ffff"), 64));
}

TEST(MacAddress, is_written_as_it_is_read) {
  EXPECT_EQ(mac("52:54:00:ab:CD:01").to_string(), "52:54:00:ab:cd:01");
}

TEST(MacAddress, says_what_is_wrong) {
  for (const char* text :
       {"", "52:54:00:00:00", "52-54-00-00-00-01", "52:54:00:00:00:0g", "52:54:00:00:00:01:02", "525400000001"}) {
    const auto parsed = MacAddress::parse(text);
    ASSERT_FALSE(parsed) << text;
    EXPECT_EQ(parsed.error().code, Errc::kInvalid);
    EXPECT_FALSE(parsed.error().remedy.empty());
  }
}

TEST(MacAddress, of_a_station_is_no_group) {
  EXPECT_TRUE(mac("ee:ee:ee:ee:ee:01").is_assignable());
  EXPECT_FALSE(mac("01:00:5e:00:00:01").is_assignable());
  EXPECT_FALSE(mac("00:00:00:00:00:00").is_assignable());
}

}  // namespace
}  // namespace umbra::netswitch
