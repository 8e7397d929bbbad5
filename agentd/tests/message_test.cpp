// The standby's answers to messages that come twice, late, or in another order: R1 and R2 of the design rest on them.
#include <gmock/gmock.h>

#include "agentd/shadow/describe.hpp"
#include "agentd/tests/two_hosts.hpp"

namespace umbra::agent::test {
namespace {

using namespace std::chrono_literals;
using shadow::Phase;
using shadow::Side;

struct MessageTest : testing::Test {
  MessageTest() {
    world.warm();
    epoch = world.next_epoch();
  }

  template <class Request>
  Request about(std::uint64_t of_epoch) {
    Request request;
    request.set_vm_uuid(TwoHosts::kVm);
    request.set_epoch(of_epoch);
    return request;
  }
  Result<v1::AcceptReply> accept(std::uint64_t of_epoch) {
    auto request = about<v1::AcceptRequest>(of_epoch);
    if (const auto primary = world.domain(world.source)) *request.mutable_vm() = shadow::describe(*primary);
    return world.ask(&world.standby, world.standby_of(world.standby).accept(std::move(request)), 15s);
  }
  Result<v1::ReleasedReply> released(std::uint64_t of_epoch) {
    return world.ask(&world.standby, world.standby_of(world.standby).released(about<v1::ReleasedRequest>(of_epoch)),
                     15s);
  }
  Result<v1::RefuseReply> refuse(std::uint64_t of_epoch) {
    return world.ask(&world.standby, world.standby_of(world.standby).refuse(about<v1::RefuseRequest>(of_epoch)), 15s);
  }
  /// Of the shadow that is there now.
  v1::ShadowId id() {
    v1::StageRequest staged;
    EXPECT_TRUE(staged.ParseFromString(world.record(world.standby, Side::kStandby)->wish));
    return staged.id();
  }
  Result<void> discard(const std::string& source, v1::ShadowId of) {
    v1::DiscardRequest request;
    request.set_vm_uuid(TwoHosts::kVm);
    request.set_source(source);
    *request.mutable_id() = std::move(of);
    return world.ask(&world.standby, world.standby_of(world.standby).discard(request), 15s);
  }
  v1::InspectReply inspect() {
    return world.ask(&world.standby, world.standby_of(world.standby).inspect(about<v1::InspectRequest>(epoch)), 15s)
        .value();
  }
  void move() {
    const auto moved = world.cutover(world.source, world.standby);
    ASSERT_TRUE(world.until([&] { return world.runs(world.standby); }, 5s));
    world.pass(3s, 5ms);
    epoch = (*moved->end)->epoch();
  }
  Phase phase() { return world.record(world.standby, Side::kStandby)->phase; }
  ~MessageTest() override {
    world.pass(1s, 5ms);
    EXPECT_THAT(world.violations(), testing::IsEmpty());
  }

  TwoHosts world;
  std::uint64_t epoch = 0;
};

TEST_F(MessageTest, AcceptTwiceIsOneAcceptance) {
  EXPECT_TRUE(accept(epoch));
  EXPECT_EQ(phase(), Phase::kArmed);
  EXPECT_TRUE(accept(epoch));
  EXPECT_EQ(phase(), Phase::kArmed);
}

TEST_F(MessageTest, AcceptSurvivesARestart) {
  ASSERT_TRUE(accept(epoch));
  world.restart(world.standby, 100ms);
  world.pass(1s);
  EXPECT_EQ(inspect().phase(), v1::SHADOW_PHASE_ARMED);
  EXPECT_EQ(inspect().epoch(), epoch);
}

TEST_F(MessageTest, AcceptOfAnOlderEpochIsRefused) {
  const auto newer = world.next_epoch();
  ASSERT_TRUE(accept(newer));
  const auto old = accept(epoch);
  ASSERT_FALSE(old);
  EXPECT_EQ(old.error().code, Errc::kConflict);
  EXPECT_EQ(inspect().epoch(), newer);
}

/// A source that asks for a newer epoch cannot have promised the older one.
TEST_F(MessageTest, AcceptOfANewerEpochReplacesOneThatWasNeverReleased) {
  ASSERT_TRUE(accept(epoch));
  const auto newer = world.next_epoch();
  ASSERT_TRUE(accept(newer));
  const auto late = released(epoch);
  ASSERT_FALSE(late) << "the older one is over";
  EXPECT_EQ(late.error().code, Errc::kConflict);
  EXPECT_FALSE(world.runs(world.standby));
}

TEST_F(MessageTest, ReleasedWithoutAcceptIsRefused) {
  const auto answer = released(epoch);
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, Errc::kConflict);
  EXPECT_EQ(phase(), Phase::kStaged) << "and the shadow is as good as before";
}

TEST_F(MessageTest, ReleasedWithoutTheLastOfTheMemoryDecidesNothing) {
  ASSERT_TRUE(accept(epoch));
  const auto answer = released(epoch);
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, Errc::kTimeout);
  EXPECT_FALSE(world.runs(world.standby));
  EXPECT_EQ(phase(), Phase::kPromised);
  EXPECT_TRUE(refuse(epoch)->refused());
}

TEST_F(MessageTest, ReleasedTwiceIsToldThatItRuns) {
  move();
  const auto again = released(epoch);
  ASSERT_TRUE(again) << again.error().text();
  EXPECT_TRUE(world.runs(world.standby));
}

TEST_F(MessageTest, RefuseAfterTheResumeComesTooLate) {
  move();
  const auto answer = refuse(epoch);
  ASSERT_TRUE(answer);
  EXPECT_FALSE(answer->refused());
  EXPECT_TRUE(world.runs(world.standby));
}

TEST_F(MessageTest, RefuseAfterTheResumeComesTooLateAlsoForANewLifeOfTheAgent) {
  move();
  world.restart(world.standby, 100ms);
  world.pass(1s);
  EXPECT_FALSE(refuse(epoch)->refused());
  EXPECT_TRUE(released(epoch));
  EXPECT_TRUE(world.runs(world.standby));
}

TEST_F(MessageTest, RefuseOfAMovedVmThatWasPausedSinceComesTooLateToo) {
  move();
  ASSERT_TRUE(world.ask(nullptr, world.standby.hypervisor->suspend(TwoHosts::kVm, 1s)));
  world.pass(100ms);
  EXPECT_FALSE(refuse(epoch)->refused()) << "it has run here: the old memory is out of date";
}

TEST_F(MessageTest, ReleasedAfterRefuseNeverResumes) {
  ASSERT_TRUE(accept(epoch));
  EXPECT_TRUE(refuse(epoch)->refused());
  const auto late = released(epoch);
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().code, Errc::kConflict);
  EXPECT_FALSE(world.runs(world.standby));
  EXPECT_TRUE(refuse(epoch)->refused()) << "and says so again";
}

TEST_F(MessageTest, ReleasedAfterRefuseNeverResumesAlsoInANewLifeOfTheAgent) {
  ASSERT_TRUE(accept(epoch));
  EXPECT_TRUE(refuse(epoch)->refused());
  world.restart(world.standby, 100ms);
  world.pass(1s);
  EXPECT_FALSE(released(epoch));
  EXPECT_FALSE(world.runs(world.standby));
}

TEST_F(MessageTest, AcceptAfterRefuseIsTooLate) {
  EXPECT_TRUE(refuse(epoch)->refused()) << "an accept that is still on its way";
  const auto late = accept(epoch);
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().code, Errc::kConflict);
  EXPECT_FALSE(released(epoch));
}

TEST_F(MessageTest, RefuseOfAnOlderEpochLeavesANewerAcceptance) {
  const auto newer = world.next_epoch();
  ASSERT_TRUE(accept(newer));
  EXPECT_TRUE(refuse(epoch)->refused());
  EXPECT_EQ(inspect().phase(), v1::SHADOW_PHASE_ARMED) << "it was another cutover's";
}

TEST_F(MessageTest, DiscardOfAResumedVmDoesNothing) {
  const auto shadow = id();
  move();
  EXPECT_TRUE(discard("host1", shadow));
  EXPECT_TRUE(world.runs(world.standby));
}

TEST_F(MessageTest, DiscardOfAnAcceptedShadowRefusesItsEpoch) {
  ASSERT_TRUE(accept(epoch));
  ASSERT_TRUE(discard("host1", id()));
  EXPECT_FALSE(released(epoch));
  EXPECT_TRUE(refuse(epoch)->refused());
  EXPECT_FALSE(world.runs(world.standby));
}

TEST_F(MessageTest, DiscardOfTheShadowBeforeLeavesThisOne) {
  const auto before = id();
  world.drop(world.source, "test");
  world.pass(1s, 5ms);
  world.warm();
  EXPECT_TRUE(discard("host1", before)) << "late, and no error";
  EXPECT_TRUE(discard("host3", id())) << "whose shadow it is not";
  EXPECT_EQ(phase(), Phase::kStaged);
  ASSERT_TRUE(discard("host1", id()));
  EXPECT_EQ(phase(), Phase::kDropped);
}

TEST_F(MessageTest, QuestionsAboutAnUnknownVmHaveAnswers) {
  v1::AcceptRequest unknown;
  unknown.set_vm_uuid("11111111-2222-3333-4444-555555555599");
  unknown.set_epoch(1);
  const auto accepted = world.ask(&world.standby, world.standby_of(world.standby).accept(unknown), 1s);
  ASSERT_FALSE(accepted);
  EXPECT_EQ(accepted.error().code, Errc::kNotFound);
  v1::RefuseRequest refuse;
  refuse.set_vm_uuid(unknown.vm_uuid());
  refuse.set_epoch(1);
  EXPECT_TRUE(world.ask(&world.standby, world.standby_of(world.standby).refuse(refuse), 1s)->refused());
}

}  // namespace
}  // namespace umbra::agent::test
