#include "netswitch/address_rules.hpp"

#include <gmock/gmock.h>

#include "netswitch/tests/addresses.hpp"

namespace umbra::netswitch {
namespace {

using test::ip;
using testing::HasSubstr;
using testing::IsEmpty;

TEST(Prefixes, are_read_and_contain_what_begins_alike) {
  const auto net = IpPrefix::parse("10.50.0.0/15");
  ASSERT_TRUE(net) << net.error().text();
  EXPECT_TRUE(net->contains(ip("10.51.255.255")));
  EXPECT_FALSE(net->contains(ip("10.52.0.0")));
  EXPECT_FALSE(net->contains(ip("fd50::1")));
  EXPECT_EQ(net->to_string(), "10.50.0.0/15");
  EXPECT_TRUE(IpPrefix::parse("fd50::/64")->contains(ip("fd50::7")));
  EXPECT_TRUE(IpPrefix::parse("0.0.0.0/0")->contains(ip("192.0.2.1")));
  EXPECT_TRUE(IpPrefix::parse("10.50.0.1/32")->contains(ip("10.50.0.1")));
}

TEST(Prefixes, that_are_none_are_refused_with_how_to_write_them) {
  for (const char* text : {"", "10.50.0.0", "10.50.0.0/", "10.50.0.0/33", "fd50::/129", "10.50.0.0/-1", "10.50.0.0/8x",
                           "10.50.0.1/16", "fd50::1/64", "/16", "hosts/8"}) {
    const auto net = IpPrefix::parse(text);
    ASSERT_FALSE(net) << text;
    EXPECT_EQ(net.error().code, Errc::kInvalid);
    EXPECT_THAT(net.error().remedy, HasSubstr("10.50.0.0/16"));
  }
  EXPECT_THAT(IpPrefix::parse("10.50.0.1/16").error().message, HasSubstr("that would be 10.50.0.0/16"));
  EXPECT_FALSE(AddressRules::parse_allowed(std::vector<std::string>(257, "10.0.0.0/8")));
}

TEST(AddressesOfVms, are_any_unless_they_are_limited) {
  AddressRules rules;
  for (const char* fine : {"10.50.0.1", "192.0.2.255", "fd50::1", "2001:db8::1"})
    EXPECT_THAT(rules.objection(ip(fine)), IsEmpty()) << fine;
  rules.allowed = AddressRules::parse_allowed({"10.50.0.0/16", "fd50::/64"}).value();
  EXPECT_THAT(rules.objection(ip("10.50.7.7")), IsEmpty());
  EXPECT_THAT(rules.objection(ip("fd50::7")), IsEmpty());
  EXPECT_THAT(rules.objection(ip("10.51.0.1")), HasSubstr("10.51.0.1 is not in network.allowed_addresses"));
  EXPECT_THAT(rules.objection(ip("fd51::1")), HasSubstr("fd50::/64"));
}

TEST(AddressesOfVms, are_never_those_that_cannot_be_routed_or_are_the_fleets) {
  AddressRules rules;
  rules.allowed = AddressRules::parse_allowed({"0.0.0.0/0", "::/0"}).value();
  rules.taken = {ip("10.77.0.1"), ip("10.0.0.254")};
  for (const char* wrong : {"0.0.0.0", "127.0.0.1", "224.0.0.1", "255.255.255.255", "::", "::1", "ff02::1",
                            "169.254.1.1", "169.254.7.7", "fe80::1", "febf::1", "10.77.0.1", "10.0.0.254"})
    EXPECT_FALSE(rules.objection(ip(wrong)).empty()) << wrong;
}

}  // namespace
}  // namespace umbra::netswitch
