#include "controller/certificates.hpp"

#include <gmock/gmock.h>

#include "base/temporary_directory.hpp"
#include "rpc/fakes/test_fleet.hpp"

namespace umbra::controller {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

constexpr UnixMillis kOneDay = 86'400'000;

class CertificatesTest : public testing::Test {
 protected:
  void add_node(const std::string& name, UnixMillis left, const std::string& warning = {}) {
    v1::RegisterRequest request;
    request.mutable_node()->set_name(name);
    request.mutable_node()->set_role(v1::ROLE_AGENT);
    request.mutable_node()->set_zone("a");
    request.mutable_node()->set_underlay_address("192.0.2.1");
    request.mutable_credentials()->set_not_after_unix_ms(clock.unix_ms() + left);
    if (!warning.empty()) request.mutable_credentials()->add_warnings(warning);
    ASSERT_TRUE(inventory->registered(request, {}));
  }
  std::vector<v1::Event> told() {
    certificates.tell();
    std::vector<v1::Event> found;
    const auto all = store->log.events(1000, "", after).value();
    for (const auto& event : all) {
      after = event.id();
      if (event.text().starts_with("the certificate of")) found.push_back(event);
    }
    return found;
  }

  rpc::TestFleet fleet;
  TemporaryDirectory directory = std::move(*TemporaryDirectory::make("umbra-certificates-"));
  asio::io_context io{1};
  FakeClock clock;
  std::unique_ptr<Store> store = std::move(*Store::open(directory.path()));
  EventLog events{store->log, clock, io.get_executor()};
  std::unique_ptr<Inventory> inventory =
      std::move(*Inventory::load(*store, events, clock, io.get_executor(), HeartbeatSettings{}));
  Certificates certificates{*inventory, events, clock, io.get_executor(),
                            fleet.node(v1::ROLE_CONTROLLER, "controller")};
  std::uint64_t after = 0;
};

TEST_F(CertificatesTest, WhatExpiresIsToldOnceADayAndWithinAWeekAsAnAlert) {
  add_node("host1", 40 * kOneDay);
  EXPECT_EQ(told().size(), 0U);
  clock.advance(11 * 24h);
  auto events_now = told();
  ASSERT_EQ(events_now.size(), 1U);
  EXPECT_EQ(events_now.front().severity(), v1::SEVERITY_WARNING);
  EXPECT_EQ(events_now.front().node(), "host1");
  EXPECT_THAT(events_now.front().text(), HasSubstr("the certificate of host1 expires in 29 days, on 20"));
  EXPECT_THAT(events_now.front().text(), HasSubstr("umbractl pki renew"));
  clock.advance(10h);
  EXPECT_EQ(told().size(), 0U) << "once a day";
  clock.advance(14h);
  EXPECT_EQ(told().size(), 1U);
  clock.advance(22 * 24h);
  events_now = told();
  ASSERT_EQ(events_now.size(), 1U);
  EXPECT_EQ(events_now.front().severity(), v1::SEVERITY_ALERT);
  clock.advance(7 * 24h);
  events_now = told();
  ASSERT_EQ(events_now.size(), 1U);
  EXPECT_THAT(events_now.front().text(), HasSubstr("host1 expired on 20"));
  add_node("host1", 800 * kOneDay);
  clock.advance(24h);
  EXPECT_EQ(told().size(), 0U) << "it was renewed";
}

TEST_F(CertificatesTest, PeopleWhoCallAreToldOfToo) {
  certificates.saw({"alice", v1::ROLE_ADMIN, {}, static_cast<std::time_t>(clock.unix_ms() / 1000 + 3 * 86'400)});
  const auto events_now = told();
  ASSERT_EQ(events_now.size(), 1U);
  EXPECT_THAT(events_now.front().text(), HasSubstr("the certificate of alice expires in 3 days"));
  EXPECT_EQ(events_now.front().severity(), v1::SEVERITY_ALERT);
}

TEST_F(CertificatesTest, DoctorSeesEachWithItsDateAndWhatElseIsWrong) {
  add_node("host1", 800 * kOneDay);
  add_node("host2", 10 * kOneDay, "the revocation list of test in crl.pem is out of date");
  const auto checks = certificates.checks();
  const auto of = [&](const std::string& node, const std::string& name) -> const v1::Check* {
    for (const auto& check : checks)
      if (check.node() == node && check.name() == name) return &check;
    return nullptr;
  };
  ASSERT_NE(of("controller", "certificate"), nullptr);
  EXPECT_TRUE(of("controller", "certificate")->ok());
  ASSERT_NE(of("host1", "certificate"), nullptr);
  EXPECT_TRUE(of("host1", "certificate")->ok());
  ASSERT_NE(of("host2", "certificate"), nullptr);
  EXPECT_FALSE(of("host2", "certificate")->ok());
  EXPECT_THAT(of("host2", "certificate")->detail(), HasSubstr("expires in 10 days"));
  ASSERT_NE(of("host2", "certificates"), nullptr);
  EXPECT_THAT(of("host2", "certificates")->detail(), HasSubstr("out of date"));
}

}  // namespace
}  // namespace umbra::controller
