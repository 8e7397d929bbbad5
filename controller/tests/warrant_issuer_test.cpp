#include "controller/planner/warrant_issuer.hpp"

#include <gmock/gmock.h>

namespace umbra::controller {
namespace {

using testing::ElementsAre;

/// What would be signed, unsigned.
Result<v1::Warrant> unsigned_one(v1::WarrantStatement statement) {
  v1::Warrant warrant;
  warrant.set_statement(statement.SerializeAsString());
  return warrant;
}

v1::WarrantStatement read(const Result<v1::Warrant>& warrant) {
  v1::WarrantStatement statement;
  statement.ParseFromString(warrant.value().statement());
  return statement;
}

struct WarrantIssuerTest : testing::Test {
  WarrantIssuerTest() {
    record.vm.set_uuid("11111111-2222-3333-4444-555555555501");
    record.vm.set_name("web1");
    record.vm.add_addresses("10.50.0.1");
    record.host = "host1";
    record.epoch = 9;
    record.owner_epoch = 7;
    standby.set_name("host2");
    standby.set_underlay_address("10.0.0.2");
  }
  FakeClock clock;
  WarrantIssuer issuer{clock, unsigned_one};
  VmRecord record;
  v1::Node standby;
};

TEST_F(WarrantIssuerTest, a_shadows_names_its_owners_epoch_and_nothing_that_moves_a_vm) {
  const auto said = read(issuer.shadow(record, standby));
  EXPECT_EQ(said.kind(), v1::WARRANT_KIND_SHADOW);
  EXPECT_EQ(said.vm_uuid(), record.vm.uuid());
  EXPECT_EQ(said.vm_name(), "web1");
  EXPECT_THAT(said.addresses(), ElementsAre("10.50.0.1"));
  EXPECT_EQ(said.source(), "host1");
  EXPECT_EQ(said.standby(), "host2");
  EXPECT_EQ(said.epoch(), 7u);
  EXPECT_THAT(said.acts(), ElementsAre(v1::WARRANT_ACT_STAGE, v1::WARRANT_ACT_INSPECT, v1::WARRANT_ACT_DISCARD));
  EXPECT_THAT(said.routers(), ElementsAre());
  EXPECT_EQ(said.not_after_unix_ms() - said.issued_at_unix_ms(), 24 * 3'600'000);
}

TEST_F(WarrantIssuerTest, a_cutovers_names_one_epoch_and_whoever_is_pointed) {
  v1::CutoverRequest request;
  request.set_epoch(10);
  *request.mutable_standby() = standby;
  request.add_routers()->set_name("edge1");
  request.add_routers()->set_name("host3");
  const auto said = read(issuer.cutover(record, request));
  EXPECT_EQ(said.kind(), v1::WARRANT_KIND_CUTOVER);
  EXPECT_EQ(said.epoch(), 10u);
  EXPECT_EQ(said.standby_underlay_address(), "10.0.0.2");
  EXPECT_THAT(said.routers(), ElementsAre("edge1", "host3"));
  EXPECT_THAT(said.acts(), testing::Not(testing::Contains(v1::WARRANT_ACT_STAGE)));
  EXPECT_EQ(said.not_after_unix_ms() - said.issued_at_unix_ms(), 10 * 60'000);
}

TEST_F(WarrantIssuerTest, a_shadows_is_renewed_when_half_of_its_time_is_over) {
  const auto until = read(issuer.shadow(record, standby)).not_after_unix_ms();
  EXPECT_FALSE(issuer.due(until));
  clock.advance(std::chrono::hours(11));
  EXPECT_FALSE(issuer.due(until));
  clock.advance(std::chrono::hours(2));
  EXPECT_TRUE(issuer.due(until));
  EXPECT_TRUE(issuer.due(0)) << "an agent of an older version, which has none";
}

}  // namespace
}  // namespace umbra::controller
