#include "rpc/warrant.hpp"

#include <gtest/gtest.h>

#include "rpc/fakes/test_fleet.hpp"

namespace umbra::rpc {
namespace {

constexpr UnixMillis kDay = 24 * 3'600'000;

UnixMillis today() {
  return SystemClock().unix_ms();
}

v1::WarrantStatement move_web1() {
  v1::WarrantStatement statement;
  statement.set_kind(v1::WARRANT_KIND_CUTOVER);
  statement.set_vm_uuid("11111111-2222-3333-4444-555555555501");
  statement.set_source("host1");
  statement.set_standby("host2");
  statement.set_epoch(7);
  return statement;
}

struct WarrantTest : testing::Test {
  TestFleet fleet;
  Tls controller = fleet.node(v1::ROLE_CONTROLLER, "controller");
  Tls host = fleet.node(v1::ROLE_AGENT, "host2");
};

TEST_F(WarrantTest, what_a_controller_signed_is_read_by_any_node_of_its_fleet) {
  const auto warrant = warrant::sign(controller, move_web1());
  ASSERT_TRUE(warrant) << warrant.error().text();
  const auto read = warrant::open(host, *warrant, today());
  ASSERT_TRUE(read) << read.error().text();
  EXPECT_EQ(read->epoch(), 7u);
  EXPECT_EQ(read->serial().size(), 16u);
  EXPECT_EQ(read->fleet().size(), 32u);
}

TEST_F(WarrantTest, two_warrants_of_the_same_words_differ) {
  const auto one = warrant::sign(controller, move_web1()), other = warrant::sign(controller, move_web1());
  EXPECT_NE(warrant::fingerprint(*one), warrant::fingerprint(*other));
}

TEST_F(WarrantTest, a_host_cannot_write_its_own) {
  const auto forged = warrant::sign(host, move_web1());
  ASSERT_TRUE(forged);
  const auto read = warrant::open(host, *forged, today());
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().code, Errc::kDenied);
  EXPECT_NE(read.error().message.find("no controller"), std::string::npos) << read.error().message;
}

TEST_F(WarrantTest, a_controller_of_another_fleet_is_nobody) {
  const TestFleet others;
  const auto foreign = warrant::sign(others.node(v1::ROLE_CONTROLLER, "controller"), move_web1());
  ASSERT_TRUE(foreign);
  EXPECT_FALSE(warrant::open(host, *foreign, today()));
}

TEST_F(WarrantTest, no_byte_of_it_can_be_changed) {
  const auto good = *warrant::sign(controller, move_web1());
  const auto tampered = [&](auto part) {
    auto bad = good;
    auto* bytes = part(bad);
    for (auto& byte : *bytes) {
      byte = static_cast<char>(byte ^ 1);
      EXPECT_FALSE(warrant::open(host, bad, today()) && *bytes != *part(const_cast<v1::Warrant&>(good)));
      byte = static_cast<char>(byte ^ 1);
    }
  };
  tampered([](v1::Warrant& warrant) { return warrant.mutable_statement(); });
  tampered([](v1::Warrant& warrant) { return warrant.mutable_signature(); });
  tampered([](v1::Warrant& warrant) { return warrant.mutable_certificate(); });
}

TEST_F(WarrantTest, nothing_empty_and_nothing_endless_is_read) {
  EXPECT_FALSE(warrant::open(host, v1::Warrant{}, today()));
  auto unsigned_one = *warrant::sign(controller, move_web1());
  unsigned_one.clear_signature();
  EXPECT_FALSE(warrant::open(host, unsigned_one, today()));
  auto endless = *warrant::sign(controller, move_web1());
  endless.mutable_statement()->resize(warrant::kMostStatement + 1);
  EXPECT_FALSE(warrant::open(host, endless, today()));
  auto trailing = *warrant::sign(controller, move_web1());
  trailing.mutable_certificate()->push_back('\0');
  EXPECT_FALSE(warrant::open(host, trailing, today()));
}

TEST_F(WarrantTest, the_certificates_time_counts_only_for_what_begins) {
  const auto warrant = *warrant::sign(controller, move_web1());
  const auto long_after = today() + 1000 * kDay;
  EXPECT_FALSE(warrant::open(host, warrant, long_after));
  EXPECT_TRUE(warrant::open(host, warrant, std::nullopt));
}

}  // namespace
}  // namespace umbra::rpc
