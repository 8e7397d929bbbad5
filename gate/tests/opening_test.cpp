// Who is let in, and what strangers, half words and garbage do to a stream: nothing.
#include "gate/opening.hpp"

#include <gtest/gtest.h>

#include <future>

#include "gate/tests/two_gates.hpp"

namespace umbra::gate {
namespace {

using test::kVm;
using test::must;
using test::TwoGates;
using namespace std::chrono_literals;

/// Knocks with another task than the source's own. @return why it is not let in; empty if it is
std::string knock(TwoGates& gates, const v1::GateTask& task) {
  auto knocking = std::async(std::launch::async, [&]() -> Result<void> {
    const rpc::TlsFiles files{task.ca(), task.certificate(), task.key(), {}};
    UMBRA_TRY(const auto tls, rpc::Tls::load(files));
    UMBRA_CHECK(call_standby(task, tls, 0));
    return {};
  });
  gates.until([&] { return knocking.wait_for(0s) == std::future_status::ready; });
  const auto outcome = knocking.get();
  return outcome ? "" : outcome.error().text();
}

/// One stream stands, and goes on whatever the test does.
struct Opening : testing::Test {
  Opening() {
    gates.begin();
    ends = gates.connect();
  }
  void TearDown() override {
    EXPECT_EQ(gates.carry(ends.source, ends.standby, "unmoved"), "unmoved");
    EXPECT_EQ(gates.standby.status().ended(), "");
  }
  TwoGates gates;
  TwoGates::Ends ends;
};

TEST_F(Opening, AnotherHostOfTheFleetIsRefused) {
  auto task = gates.source_task();
  const auto other = gates.fleet.issue({v1::ROLE_AGENT, "host3", {}});
  task.set_certificate(other.certificate);
  task.set_key(other.key);
  EXPECT_NE(knock(gates, task).find("host3 of role agent is not host1"), std::string::npos) << knock(gates, task);
}

TEST_F(Opening, AnAdminIsRefused) {
  auto task = gates.source_task();
  const auto other = gates.fleet.issue({v1::ROLE_ADMIN, "host1", {}});
  task.set_certificate(other.certificate);
  task.set_key(other.key);
  EXPECT_NE(knock(gates, task).find("role admin"), std::string::npos) << knock(gates, task);
}

TEST_F(Opening, AStrangerOfAnotherFleetIsRefused) {
  auto task = gates.source_task();
  const rpc::TestFleet others;
  const auto files = others.issue({v1::ROLE_AGENT, "host1", {}});
  task.set_certificate(files.certificate);
  task.set_key(files.key);
  task.set_ca(files.ca);
  EXPECT_NE(knock(gates, task), "");
}

TEST_F(Opening, AWarrantMustBeForThisVeryShadow) {
  const auto with = [&](auto change) {
    auto statement = gates.statement;
    change(statement);
    auto task = gates.source_task();
    *task.mutable_warrant() = must(rpc::warrant::sign(gates.controller, statement));
    return knock(gates, task);
  };
  const auto hour = std::chrono::milliseconds(1h).count();
  EXPECT_NE(
      with([](auto& one) { one.set_vm_uuid("11111111-2222-3333-4444-555555555502"); }).find("not for this shadow"),
      std::string::npos);
  EXPECT_NE(with([](auto& one) { one.set_source("host3"); }), "");
  EXPECT_NE(with([](auto& one) { one.set_standby("host3"); }), "");
  EXPECT_NE(with([](auto& one) { one.set_kind(v1::WARRANT_KIND_CUTOVER); }), "");
  EXPECT_NE(with([](auto& one) { one.clear_acts(); }), "");
  EXPECT_NE(with([&](auto& one) { one.set_not_after_unix_ms(SystemClock().unix_ms() - hour); }).find("expired"),
            std::string::npos);
  EXPECT_NE(with([](auto&) {}).find("channel 0 has begun already"), std::string::npos) << "and this one is";
}

TEST_F(Opening, AWarrantThatTheSourceSignedItselfIsNone) {
  auto task = gates.source_task();
  *task.mutable_warrant() = must(rpc::warrant::sign(must(rpc::Tls::load(gates.host1)), gates.statement));
  EXPECT_NE(knock(gates, task), "");
  task.clear_warrant();
  EXPECT_NE(knock(gates, task).find("no warrant"), std::string::npos) << knock(gates, task);
}

TEST_F(Opening, AnEarlierShadowsSourceIsRefused) {
  auto task = gates.source_task();
  task.mutable_id()->set_number(2);
  EXPECT_NE(knock(gates, task).find("another shadow"), std::string::npos) << knock(gates, task);
}

TEST_F(Opening, AStandbyThatIsNotTheOneThatIsMeantGetsNothing) {
  auto task = gates.source_task();
  task.set_standby("host3");
  EXPECT_NE(knock(gates, task).find("there is host2 of role agent, not host3"), std::string::npos)
      << knock(gates, task);
}

TEST_F(Opening, GarbageSilenceAndHalfAHandshakeAreSentAway) {
  const auto endpoint = gates.standby.status().endpoint();
  for (const std::string& words :
       {std::string(100'000, 'x'), std::string("\x16\x03\x01\x02\x00\x01", 6), std::string()}) {
    const auto stranger = must(connect_tcp(endpoint, 1s));
    static_cast<void>(::send(stranger.get(), words.data(), words.size(), MSG_NOSIGNAL));
    EXPECT_TRUE(gates.ended(stranger, 6s)) << words.size() << " bytes";
  }
}

TEST(GateTask, WhatIsWrongWithItIsSaid) {
  TwoGates gates;
  const auto refused = [&](auto change) {
    auto task = gates.standby_task();
    change(task);
    const auto begun = gates.standby.begin(task);
    return begun ? std::string() : begun.error().text();
  };
  EXPECT_NE(refused([](auto& task) { task.set_side(v1::GATE_SIDE_UNSPECIFIED); }), "");
  EXPECT_NE(refused([](auto& task) { task.set_address("nowhere"); }).find("no address"), std::string::npos);
  EXPECT_NE(refused([](auto& task) { task.set_certificate("/nonexistent"); }).find("/nonexistent"), std::string::npos);
  const auto taken = must(listen_tcp("127.0.0.1", 49800, 49800));
  EXPECT_NE(refused([](auto& task) {
              task.set_port_first(49800);
              task.set_port_last(49800);
            }).find("no free port"),
            std::string::npos);
  EXPECT_EQ(refused([](auto& task) {
              task.set_port_first(49800);
              task.set_port_last(49801);
            }),
            "")
      << "the next one is free";
  EXPECT_NE(refused([](auto&) {}).find("has a task already"), std::string::npos);
}

TEST(GateTask, ACertificateThatExpiresLetsNoNewStreamInAndTheOldOneGoesOn) {
  TwoGates gates;
  std::filesystem::remove(gates.host1.certificate);
  std::filesystem::remove(gates.host1.key);
  gates.host1 = gates.fleet.issue({v1::ROLE_AGENT, "host1", {}}, std::chrono::hours(1),
                                  std::chrono::system_clock::now() - 1h + 4s);
  gates.begin();
  auto ends = gates.connect();
  EXPECT_EQ(gates.carry(ends.source, ends.standby, "in time"), "in time");
  gates.until([] { return false; }, 5s);
  EXPECT_EQ(gates.carry(ends.source, ends.standby, "goes on"), "goes on");
}

}  // namespace
}  // namespace umbra::gate
