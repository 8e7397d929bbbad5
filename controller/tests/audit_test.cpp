#include "controller/audit.hpp"

#include <gmock/gmock.h>

#include "base/temporary_directory.hpp"
#include "controller/store/store.hpp"
#include "umbra/v1/controller.rpc.hpp"

namespace umbra::controller {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

class AuditTest : public testing::Test {
 protected:
  static constexpr v1::Role kAdmins[] = {v1::ROLE_ADMIN};
  static constexpr v1::Role kViewersToo[] = {v1::ROLE_VIEWER, v1::ROLE_ADMIN};

  void fail_call(const std::string& who, v1::Role role, Errc code, const std::string& vm = "web1",
                 std::span<const v1::Role> allow = kAdmins, const std::string& cause = "for a reason") {
    v1::MigrateRequest request;
    request.set_vm(vm);
    request.set_to("host2");
    const rpc::Identity peer{who, role};
    const std::string address = "10.0.0.7:50000";
    const rpc::Method method{"umbra.v1.Fleet/Migrate", allow, {}};
    const auto bytes = request.SerializeAsString();
    const Error error{code, cause, {}};
    audit.failed({peer, address, method.name, &method, bytes, error});
  }
  std::vector<v1::Event> found() { return store->log.audit(0, "", "", {}, 100'000).value(); }

  TemporaryDirectory directory = std::move(*TemporaryDirectory::make("umbra-audit-"));
  asio::io_context io{1};
  FakeClock clock;
  std::unique_ptr<Store> store = std::move(*Store::open(directory.path()));
  EventLog events{store->log, clock, io.get_executor()};
  Audit audit{events, clock, io.get_executor()};
};

TEST_F(AuditTest, ADenialTellsWhoFromWhereWhatAndWhy) {
  fail_call("carol", v1::ROLE_VIEWER, Errc::kDenied);
  ASSERT_EQ(found().size(), 1U);
  const auto event = found().front();
  EXPECT_EQ(event.kind(), v1::EVENT_KIND_AUDIT);
  EXPECT_EQ(event.severity(), v1::SEVERITY_WARNING);
  EXPECT_EQ(event.actor(), "carol");
  EXPECT_EQ(event.actor_role(), v1::ROLE_VIEWER);
  EXPECT_EQ(event.peer(), "10.0.0.7:50000");
  EXPECT_EQ(event.call(), "Fleet/Migrate");
  EXPECT_EQ(event.vm(), "web1");
  EXPECT_EQ(event.outcome(), "denied");
  EXPECT_EQ(event.text(), "Fleet/Migrate vm=web1 to=host2: denied: for a reason");
}

TEST_F(AuditTest, AFailureIsToldOfCallsThatOnlyAdminsMayMake) {
  fail_call("alice", v1::ROLE_ADMIN, Errc::kConflict);
  fail_call("alice", v1::ROLE_ADMIN, Errc::kNotFound, "web2", kViewersToo);
  ASSERT_EQ(found().size(), 1U) << "that a viewer's look found nothing is no matter of audit";
  EXPECT_EQ(found().front().outcome(), "conflict");
  EXPECT_EQ(found().front().text(), "Fleet/Migrate vm=web1 to=host2: failed: for a reason");
}

TEST_F(AuditTest, ALoopCannotFillTheStore) {
  for (int i = 0; i < 100'000; ++i) fail_call("carol", v1::ROLE_VIEWER, Errc::kDenied);
  EXPECT_EQ(found().size(), 1U);
  clock.advance(61s);
  audit.flush();
  ASSERT_EQ(found().size(), 2U);
  EXPECT_THAT(found().back().text(), HasSubstr("99999 more times within a minute: Fleet/Migrate vm=web1"));
  audit.flush();
  EXPECT_EQ(found().size(), 2U) << "told once";

  // Nor can one who names another VM each time.
  for (int i = 0; i < 10'000; ++i) fail_call("carol", v1::ROLE_VIEWER, Errc::kDenied, fmt::format("vm{}", i));
  EXPECT_EQ(found().size(), 2 + Audit::kMostOfActor);
  fail_call("alice", v1::ROLE_ADMIN, Errc::kConflict);
  EXPECT_EQ(found().back().actor(), "alice") << "others are still told of";
  clock.advance(61s);
  audit.flush();
  EXPECT_THAT(found().back().text(),
              HasSubstr(fmt::format("{} more calls were denied or failed within a minute", 10'000 - 20)));

  // Nor many of them together.
  const auto before = found().size();
  for (int i = 0; i < 1'000; ++i) fail_call(fmt::format("user{}", i), v1::ROLE_VIEWER, Errc::kDenied);
  clock.advance(61s);
  audit.flush();
  EXPECT_LE(found().size(), before + Audit::kMostInAll + 1);
  EXPECT_THAT(found().back().text(), HasSubstr("900 more calls of further callers"));
}

TEST_F(AuditTest, EachCauseIsToldAndCountedForItself) {
  for (const auto* cause : {"v4 is host1's", "v4 is host2's", "v4 is host2's"})
    fail_call("alice", v1::ROLE_ADMIN, Errc::kConflict, "v4", kAdmins, cause);
  clock.advance(61s);
  audit.flush();
  ASSERT_EQ(found().size(), 3U);
  EXPECT_THAT(found()[0].text(), HasSubstr("v4 is host1's"));
  EXPECT_THAT(found()[1].text(), HasSubstr("v4 is host2's"));
  EXPECT_EQ(found()[2].text(), "1 more time within a minute: Fleet/Migrate vm=v4 to=host2: failed: v4 is host2's");
}

TEST_F(AuditTest, WhatACallerSaysIsHarmlessAndShort) {
  fail_call("carol", v1::ROLE_VIEWER, Errc::kDenied, "x\n<0>\x1b[2J" + std::string(100'000, 'y'));
  const auto event = found().front();
  EXPECT_THAT(event.text(), Not(HasSubstr("\n")));
  EXPECT_THAT(event.text(), Not(HasSubstr("\x1b")));
  EXPECT_LT(event.text().size(), 800U);
  EXPECT_LE(event.vm().size(), 110U);
}

TEST_F(AuditTest, ARequestIsDescribedByWhatIsSet) {
  v1::AddMaintenanceRequest request;
  request.mutable_window()->set_host_or_zone("host1");
  request.mutable_window()->set_ends_unix_ms(5);
  std::string vm;
  EXPECT_EQ(describe_request("umbra.v1.Fleet/AddMaintenance", request.SerializeAsString(), vm),
            "host_or_zone=host1 ends_unix_ms=5");
  EXPECT_THAT(vm, IsEmpty());
  EXPECT_EQ(describe_request("umbra.v1.Fleet/Nonsense", "", vm), "");
  EXPECT_EQ(describe_request("umbra.v1.Fleet/AddMaintenance", "\xff\xff", vm), "");
  v1::ImportTelemetryRequest batch;
  for (int i = 0; i < 1000; ++i) batch.add_samples()->set_vm("web1");
  EXPECT_EQ(describe_request("umbra.v1.Fleet/ImportTelemetry", batch.SerializeAsString(), vm), "samples=(1000)");
}

TEST_F(AuditTest, TheStoreGivesPagesInOrderAndFilters) {
  for (int i = 0; i < 25; ++i) {
    v1::Event event;
    event.set_kind(i % 5 == 4 ? v1::EVENT_KIND_VM : v1::EVENT_KIND_AUDIT);
    event.set_at_unix_ms(1000 + i / 2);
    event.set_actor(i % 2 == 0 ? "alice" : "bob");
    event.set_vm(i % 3 == 0 ? "web1" : "db1");
    events.add(event);
  }
  std::vector<std::uint64_t> ids;
  LogStore::AuditPlace place;
  while (true) {
    const auto page = store->log.audit(1000, "", "", place, 7).value();
    if (page.empty()) break;
    for (const auto& event : page) ids.push_back(event.id());
    place = {page.back().at_unix_ms(), page.back().id()};
  }
  EXPECT_EQ(ids.size(), 20U);
  EXPECT_TRUE(std::ranges::is_sorted(ids));
  const auto of_alice = store->log.audit(1005, "alice", "web1", {}, 100).value();
  EXPECT_FALSE(of_alice.empty());
  for (const auto& event : of_alice) {
    EXPECT_EQ(event.actor(), "alice");
    EXPECT_EQ(event.vm(), "web1");
    EXPECT_GE(event.at_unix_ms(), 1005);
  }
}

}  // namespace
}  // namespace umbra::controller
