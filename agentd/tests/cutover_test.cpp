// One cutover: what happens in which order, what it reports, and what remains.
#include <gmock/gmock.h>

#include "agentd/tests/two_hosts.hpp"

namespace umbra::agent::test {
namespace {

using namespace std::chrono_literals;
using shadow::Phase;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

struct CutoverTest : testing::Test {
  /// Asks for a cutover and waits for its answer.
  v1::CutoverResult cut_over(TwoHosts& world, Milliseconds limit = 40s) {
    const auto move = world.cutover(world.source, world.standby);
    EXPECT_TRUE(world.until([&] { return move->end.has_value(); }, limit)) << world.describe();
    if (!move->end || !*move->end) {
      ADD_FAILURE() << (move->end ? (*move->end).error().text() : "no answer");
      return {};
    }
    return **move->end;
  }
  void expect_order(TwoHosts& world, Milliseconds limit = 40s) {
    for (auto left = limit; left > 0ms && !world.disorder().empty(); left -= 200ms) world.pass(200ms, 10ms);
    EXPECT_EQ(world.disorder(), "") << world.describe();
  }
  static bool was_stopped(TwoHosts& world) {
    const auto& commands = world.qemu(world.source)->commands();
    return std::find(commands.begin(), commands.end(), "stop") != commands.end();
  }
};

TEST_F(CutoverTest, MovesTheVmAndLeavesBothHostsInOrder) {
  TwoHosts world;
  world.warm();
  const auto result = cut_over(world);
  EXPECT_EQ(result.outcome(), v1::OUTCOME_MOVED) << result.detail();
  EXPECT_EQ(result.from(), "host1");
  EXPECT_EQ(result.to(), "host2");
  std::vector<std::string> phases;
  for (const auto& phase : result.phases()) phases.push_back(phase.name());
  EXPECT_THAT(phases, ElementsAre("arm", "converge", "promise", "flip", "stop", "hand over"));
  expect_order(world);
  EXPECT_FALSE(world.domain(world.source)) << "destroyed and undefined on the old host";
  EXPECT_FALSE(world.source.kernel.link(TwoHosts::kTap));
  ASSERT_TRUE(world.domain(world.standby));
  EXPECT_TRUE(world.domain(world.standby)->persistent);
  EXPECT_THAT(world.ask(nullptr, world.standby.hypervisor->inactive_xml(TwoHosts::kVm, 1s)).value(),
              Not(HasSubstr("incoming")));
  ASSERT_EQ(world.results().size(), 1U) << "the controller is told once";
  EXPECT_EQ(world.results()[0].outcome(), v1::OUTCOME_MOVED);
}

TEST_F(CutoverTest, StaysFlippedWhenAShadowOnTheOldHostIsDroppedAgain) {
  TwoHosts world;
  world.warm();
  ASSERT_EQ(cut_over(world).outcome(), v1::OUTCOME_MOVED);
  expect_order(world);
  ASSERT_TRUE(world.keep(world.standby, world.source, v1::TIER_WARM));
  ASSERT_TRUE(world.until([&] { return world.phase(world.standby) == Phase::kWarm; }, 40s)) << world.describe();
  world.drop(world.standby, "for the test");
  bool led_away = true;
  const auto dropped = [&] {
    led_away = led_away && world.route(world.source) == "host2";
    return !world.standby_of(world.source).holds(TwoHosts::kVm);
  };
  EXPECT_TRUE(world.until(dropped, 40s)) << world.describe();
  EXPECT_TRUE(led_away) << world.describe();
}

TEST_F(CutoverTest, LeavesATransientVmTransient) {
  TwoHosts::Options options;
  options.persistent = false;
  TwoHosts world(options);
  world.warm();
  EXPECT_EQ(cut_over(world).outcome(), v1::OUTCOME_MOVED);
  expect_order(world);
  EXPECT_FALSE(world.domain(world.standby)->persistent);
}

TEST_F(CutoverTest, FromHotNeedsNoMoreThanFromWarm) {
  TwoHosts world;
  world.warm();
  ASSERT_TRUE(world.keep(world.source, world.standby, v1::TIER_HOT));
  ASSERT_TRUE(world.until([&] { return world.phase(world.source) == Phase::kHot; }, 5s));
  EXPECT_EQ(cut_over(world).outcome(), v1::OUTCOME_MOVED);
  expect_order(world);
}

TEST_F(CutoverTest, FromHotAsksQemuNothingUntilItStopsTheGuest) {
  TwoHosts world;
  world.warm();
  ASSERT_TRUE(world.keep(world.source, world.standby, v1::TIER_HOT));
  ASSERT_TRUE(world.until([&] { return world.phase(world.source) == Phase::kHot; }, 5s));
  world.pass(2s);  // it was looked at meanwhile
  const auto primary = world.qemu(world.source);
  const auto before = primary->commands().size();
  ASSERT_EQ(cut_over(world).outcome(), v1::OUTCOME_MOVED);
  const std::vector<std::string> since(primary->commands().begin() + static_cast<std::ptrdiff_t>(before),
                                       primary->commands().end());
  ASSERT_FALSE(since.empty());
  EXPECT_EQ(since.front(), "stop") << testing::PrintToString(since);
}

TEST_F(CutoverTest, OverALinkThatDoesNotKeepUpIsAbortedAndTheGuestRunsOn) {
  TwoHosts world;
  world.warm();
  ASSERT_TRUE(world.keep(world.source, world.standby, v1::TIER_HOT));
  ASSERT_TRUE(world.until([&] { return world.phase(world.source) == Phase::kHot; }, 5s));
  world.source.gates->queue(4U << 20);  // in sockets on the way: QEMU takes it for sent
  const auto result = cut_over(world);
  EXPECT_EQ(result.outcome(), v1::OUTCOME_ABORTED);
  EXPECT_THAT(result.detail(), HasSubstr("4.00 MiB are on their way"));
  EXPECT_FALSE(was_stopped(world));
  world.source.gates->queue(0);
  ASSERT_TRUE(world.until([&] { return world.phase(world.source) == Phase::kHot; }, 60s)) << world.describe();
  EXPECT_EQ(cut_over(world).outcome(), v1::OUTCOME_MOVED);
  expect_order(world);
}

TEST_F(CutoverTest, ToAHostWhoseGateHangsIsAbortedAndTheGuestRunsOn) {
  TwoHosts world;
  world.warm();
  ASSERT_TRUE(world.keep(world.source, world.standby, v1::TIER_HOT));
  ASSERT_TRUE(world.until([&] { return world.phase(world.source) == Phase::kHot; }, 5s));
  world.standby.gates->hang(4s);
  const auto result = cut_over(world);
  EXPECT_EQ(result.outcome(), v1::OUTCOME_ABORTED);
  EXPECT_FALSE(was_stopped(world));
  EXPECT_TRUE(world.runs(world.source));
  world.pass(10s);
  ASSERT_TRUE(world.until([&] { return world.phase(world.source) == Phase::kHot; }, 60s)) << world.describe();
  EXPECT_EQ(cut_over(world).outcome(), v1::OUTCOME_MOVED);
  expect_order(world);
}

TEST_F(CutoverTest, FlipsNewHostThenEdgeThenOldHostAndOnlyThenPauses) {
  TwoHosts world;
  world.warm();
  std::vector<std::string> order;
  const auto saw = [&](const std::string& what, bool holds) {
    if (holds && std::find(order.begin(), order.end(), what) == order.end()) order.push_back(what);
  };
  const auto move = world.cutover(world.source, world.standby);
  world.until(
      [&] {
        saw("host2", world.route(world.standby) == "tap");
        saw("edge", world.route(world.edge) == "host2");
        saw("host1", world.route(world.source) == "host2");
        saw("paused", !world.runs(world.source));
        saw("resumed", world.runs(world.standby));
        return order.size() == 5;
      },
      2s);
  // The last flip and the pause follow each other within one millisecond.
  EXPECT_THAT(order, ElementsAre("host2", "edge", "host1", "paused", "resumed"));
}

TEST_F(CutoverTest, ComputesTheBlackoutFromWhatQemusSaw) {
  for (const int device_ms : {2, 9, 33}) {
    TwoHosts world;
    world.warm();
    world.qemu(world.source)->set_device_time(Milliseconds(device_ms));
    const auto asked = world.clock().steady();
    const auto move = world.cutover(world.source, world.standby);
    ASSERT_TRUE(world.until([&] { return !world.runs(world.source); }, 2s));
    const auto stopped = world.clock().steady();
    ASSERT_TRUE(world.until([&] { return world.runs(world.standby); }, 2s));
    const auto resumed = world.clock().steady();
    ASSERT_TRUE(world.until([&] { return move->end.has_value(); }, 2s));
    const auto& result = **move->end;
    const auto ms = [](auto duration) { return std::chrono::duration<double, std::milli>(duration).count(); };
    EXPECT_NEAR(result.blackout_ms(), ms(resumed - stopped), 0.1);
    EXPECT_NEAR(result.reach_ms(), ms(resumed - asked), 0.1);
    EXPECT_NEAR(result.blackout_error_ms(), ms(Lan::kWay), 0.1) << "half a round trip";
  }
}

TEST_F(CutoverTest, WithABusyGuestSendsWhatIsDirtyFirst) {
  TwoHosts::Options options;
  options.dirty_rate = BytesPerSecond{50'000'000};
  TwoHosts world(options);
  world.warm();
  world.pass(4s, 5ms);  // 16 MiB are dirty
  const auto result = cut_over(world);
  EXPECT_EQ(result.outcome(), v1::OUTCOME_MOVED) << result.detail();
  EXPECT_LT(result.blackout_ms(), 20) << "not what had gathered since the last refresh";
  expect_order(world);
}

TEST_F(CutoverTest, GoesOnWithoutAnEdgeThatCannotBeReached) {
  TwoHosts world;
  world.warm();
  world.lan().part("host1", "edge");
  const auto result = cut_over(world);
  EXPECT_EQ(result.outcome(), v1::OUTCOME_MOVED) << result.detail();
  EXPECT_EQ(world.route(world.source), "host2") << "the old host forwards";
  world.pass(2s, 5ms);
  EXPECT_TRUE(world.told(v1::SEVERITY_WARNING, "edge keeps its old route for now"));
  EXPECT_EQ(world.route(world.edge), "host1") << "the controller reconciles it, see sim/";
}

TEST_F(CutoverTest, ThatCannotFlipTheNewHostIsRefusedBeforeTheGuestIsPaused) {
  TwoHosts world;
  world.warm();
  world.set_fate([&](const Moment& moment) {
    if (moment.kind == Moment::Kind::kRequest && moment.what == "point" && moment.peer == "host2")
      world.standby.kernel.fail_change(1, EPERM);
    return Verdict{};
  });
  const auto primary = world.qemu(world.source);
  const auto result = cut_over(world);
  EXPECT_EQ(result.outcome(), v1::OUTCOME_REFUSED);
  EXPECT_THAT(result.detail(), HasSubstr("flip routes on host2"));
  EXPECT_FALSE(was_stopped(world));
  EXPECT_EQ(world.route(world.source), "tap");
  EXPECT_EQ(world.route(world.edge), "host1");
  expect_order(world);
  EXPECT_EQ(world.qemu(world.source), primary);
}

TEST_F(CutoverTest, ThatCannotFlipTheEdgeIsRefusedAndUndone) {
  TwoHosts world;
  world.warm();
  world.set_fate([&](const Moment& moment) {
    if (moment.kind == Moment::Kind::kRequest && moment.what == "point" && moment.peer == "edge")
      world.edge.kernel.fail_change(1, EPERM);
    return Verdict{};
  });
  const auto result = cut_over(world);
  EXPECT_EQ(result.outcome(), v1::OUTCOME_REFUSED);
  EXPECT_FALSE(was_stopped(world));
  expect_order(world);
}

TEST_F(CutoverTest, WhosePromiseMeetsAFullDiskIsAborted) {
  TwoHosts world;
  world.warm();
  int commits = 0;
  world.set_fate([&](const Moment& moment) -> Verdict {
    const bool second =
        moment.kind == Moment::Kind::kCommit && moment.node == "host1" && ++commits == 2;  // after `armed`
    return {second ? Verdict::Kind::kFail : Verdict::Kind::kGoOn, {}};
  });
  const auto result = cut_over(world);
  EXPECT_EQ(result.outcome(), v1::OUTCOME_ABORTED);
  EXPECT_THAT(result.detail(), HasSubstr("cannot write the journal"));
  EXPECT_THAT(result.detail(), HasSubstr("disk"));
  EXPECT_FALSE(was_stopped(world));
  EXPECT_TRUE(world.runs(world.source));
  expect_order(world);
}

TEST_F(CutoverTest, ThatTheStandbyCannotRecordIsAbortedAndTheHoldKept) {
  TwoHosts world;
  world.warm();
  const auto shadow = world.qemu(world.standby);
  world.set_fate([&](const Moment& moment) -> Verdict {
    return {
        moment.kind == Moment::Kind::kCommit && moment.node == "host2" ? Verdict::Kind::kFail : Verdict::Kind::kGoOn,
        {}};
  });
  const auto result = cut_over(world);
  EXPECT_EQ(result.outcome(), v1::OUTCOME_ABORTED);
  EXPECT_FALSE(was_stopped(world));
  world.set_fate({});
  expect_order(world);
  EXPECT_EQ(world.qemu(world.standby), shadow) << "the standby never took the epoch";
  EXPECT_EQ(cut_over(world).outcome(), v1::OUTCOME_MOVED) << "the next one finds a disk with room";
}

TEST_F(CutoverTest, OfAGuestThatDiesInTheMiddleEndsWithoutIt) {
  for (const std::string moment_of_death : {"qmp stop", "qmp migrate-continue"}) {
    TwoHosts world;
    world.warm();
    world.set_fate([&](const Moment& moment) {
      if (moment.what == moment_of_death && moment.node == "host1") world.qemu(world.source)->die();
      return Verdict{};
    });
    const auto result = cut_over(world);
    EXPECT_EQ(result.outcome(), v1::OUTCOME_REFUSED) << moment_of_death << ": " << result.detail();
    EXPECT_THAT(result.detail(), HasSubstr("its guest ended on host1"));
    EXPECT_THAT(result.detail(), HasSubstr("virsh start web1"));
    world.pass(10s, 10ms);
    EXPECT_FALSE(world.runs(world.source));
    EXPECT_FALSE(world.domain(world.standby)) << "its shadow had half a memory";
    ASSERT_TRUE(world.domain(world.source));
    EXPECT_EQ(world.domain(world.source)->state, virt::DomainState::kShutOff);
    EXPECT_EQ(world.phase(world.source), Phase::kDropped) << world.describe();
    EXPECT_TRUE(world.violations().empty());
    // Started again, it gets a shadow again and can be moved.
    ASSERT_TRUE(world.source.hypervisor->start(TwoHosts::domain_xml(mebibytes(64)), true));
    world.set_fate({});
    ASSERT_TRUE(world.until([&] { return world.phase(world.source) == Phase::kWarm; }, 90s, 5ms)) << world.describe();
    EXPECT_EQ(cut_over(world).outcome(), v1::OUTCOME_MOVED);
  }
}

TEST_F(CutoverTest, OfAGuestThatDiesBeforeThePromiseSaysSo) {
  TwoHosts world;
  world.warm();
  world.set_fate([&](const Moment& moment) {
    if (moment.what == "accept" && moment.node == "host1") world.qemu(world.source)->die();
    return Verdict{};
  });
  const auto result = cut_over(world);
  EXPECT_EQ(result.outcome(), v1::OUTCOME_ABORTED);
  EXPECT_THAT(result.detail(), HasSubstr("its guest ended on host1"));
  EXPECT_THAT(result.detail(), HasSubstr("virsh start web1"));
  world.pass(10s, 10ms);
  EXPECT_FALSE(world.domain(world.standby)) << world.describe();
  EXPECT_TRUE(world.violations().empty());
}

TEST_F(CutoverTest, WhoseMemoryTakesLongTellsWhatIsLeft) {
  TwoHosts::Options options;
  options.dirty_rate = BytesPerSecond{100'000'000};
  TwoHosts world(options);
  world.warm();
  world.pass(1s);
  world.qemu(world.source)->set_link(BytesPerSecond{10'000'000});
  const auto move = world.cutover(world.source, world.standby);
  ASSERT_TRUE(world.until([&] { return move->end.has_value(); }, 20s));
  EXPECT_GE(std::count(move->phases.begin(), move->phases.end(), "converge"), 2) << "told again while it lasts";
}

TEST_F(CutoverTest, WhoseShadowDiesAtTheLastMomentIsRefusedAndTheGuestGoesOn) {
  TwoHosts world;
  world.warm();
  world.set_fate([&](const Moment& moment) {
    if (moment.what == "qmp migrate-continue" && world.qemu(world.standby)) world.qemu(world.standby)->die();
    return Verdict{};
  });
  const auto primary = world.qemu(world.source);
  const auto asked = world.clock().steady();
  const auto result = cut_over(world);
  EXPECT_EQ(result.outcome(), v1::OUTCOME_REFUSED) << result.detail();
  EXPECT_LT(world.clock().steady() - asked, 2s) << "nobody waits for a shadow that is dead";
  world.set_fate({});
  expect_order(world);
  EXPECT_EQ(world.qemu(world.source), primary);
}

TEST_F(CutoverTest, WhoseGuestRanAndDiedWithItsAgentNeverRunsTheOldMemoryAgain) {
  TwoHosts world;
  world.warm();
  // It has resumed, and before the agent there can write that down both are gone.
  world.set_fate([&](const Moment& moment) {
    if (moment.kind != Moment::Kind::kCommit || moment.node != "host2" || !world.runs(world.standby)) return Verdict{};
    world.qemu(world.standby)->die();
    world.restart(world.standby, 3s);
    return Verdict{};
  });
  const auto move = world.cutover(world.source, world.standby);
  ASSERT_TRUE(world.until([&] { return !world.standby.process; }, 40s)) << world.describe();
  world.set_fate({});
  for (int second = 0; second < 60; second++) {
    world.pass(1s, 5ms);
    ASSERT_FALSE(world.runs(world.source)) << world.describe();
  }
  EXPECT_TRUE(world.told(v1::SEVERITY_ALERT, "it may have run, so it stays here, shut off")) << world.describe();
  ASSERT_TRUE(world.domain(world.standby)) << "defined, so that it can be started";
  EXPECT_EQ(world.domain(world.standby)->state, virt::DomainState::kShutOff);
  EXPECT_FALSE(world.domain(world.source));
  EXPECT_THAT(world.violations(), testing::IsEmpty());
}

TEST_F(CutoverTest, WhoseShadowDiesWhileLibvirtdIsAwayThereIsDecidedOnceThatIsBack) {
  TwoHosts world;
  world.warm();
  bool away = false;
  world.set_fate([&](const Moment& moment) {
    if (away || moment.node != "host2" || moment.what != "resume") return Verdict{};
    away = true;
    world.standby.hypervisor->set_connected(false);
    world.crash(world.source);
    world.qemu(world.standby)->die();
    return Verdict{};
  });
  world.cutover(world.source, world.standby);
  ASSERT_TRUE(world.until([&] { return away; }, 10s)) << world.describe();
  world.pass(20s, 10ms);
  world.standby.hypervisor->set_connected(true);
  EXPECT_TRUE(world.until(
      [&] { return world.record(world.standby, shadow::Side::kStandby)->phase != Phase::kPromised; }, 30s, 10ms))
      << "or no shadow of it could be staged here any more\n"
      << world.describe();
}

TEST_F(CutoverTest, WhoseMigrateContinueFailsDoesNotKeepTheGuestWaiting) {
  TwoHosts world;
  world.warm();
  world.qemu(world.source)->fail("migrate-continue", Error{Errc::kConflict, "GenericError", ""});
  const auto asked = world.clock().steady();
  EXPECT_EQ(cut_over(world).outcome(), v1::OUTCOME_REFUSED);
  EXPECT_LT(world.clock().steady() - asked, 2s);
  expect_order(world);
}

TEST_F(CutoverTest, WhoseShadowCannotBeResumedIsRefused) {
  TwoHosts world;
  world.warm();
  world.standby.hypervisor->fail("resume", Error{Errc::kConflict, "the lock manager refuses the lease", ""});
  world.standby.hypervisor->fail("resume", Error{Errc::kConflict, "the lock manager refuses the lease", ""});
  const auto result = cut_over(world);
  EXPECT_EQ(result.outcome(), v1::OUTCOME_REFUSED);
  EXPECT_THAT(result.detail(), HasSubstr("the lock manager refuses the lease"));
  expect_order(world);
}

TEST_F(CutoverTest, WhoseImagesWereTakenFromTheShadowInThatMomentMovesAllTheSame) {
  TwoHosts world;
  world.warm();
  world.standby.hypervisor->fail("resume", Error{Errc::kConflict, "Could not open its image: Permission denied", ""});
  EXPECT_EQ(cut_over(world).outcome(), v1::OUTCOME_MOVED);
  expect_order(world);
}

TEST_F(CutoverTest, OfAGuestThatIsPausedMeanwhileLeavesItPaused) {
  TwoHosts world;
  world.warm();
  world.pass(6s);  // a refresh has looked at its definition: the cutover does so once, before the promise
  int looks = 0;
  world.set_fate([&](const Moment& moment) {
    if (moment.node == world.source.name() && moment.what == "fingerprint" && ++looks == 1)
      world.qemu(world.source)->io_error();
    return Verdict{};
  });
  const auto result = cut_over(world);
  world.set_fate({});
  EXPECT_EQ(result.outcome(), v1::OUTCOME_ABORTED);
  EXPECT_THAT(result.detail(), HasSubstr("paused on host1"));
  EXPECT_FALSE(world.runs(world.source) || world.runs(world.standby));
}

TEST_F(CutoverTest, InAPartitionAtTheWorstInstantPausesBothAndAlertsUntilItHeals) {
  TwoHosts world;
  world.warm();
  world.set_fate([&](const Moment& moment) {
    if (moment.kind == Moment::Kind::kRequest && moment.what == "released") world.lan().part("host1", "host2");
    return Verdict{};
  });
  const auto result = cut_over(world);
  EXPECT_EQ(result.outcome(), v1::OUTCOME_UNDECIDED);
  for (int i = 0; i < 100; ++i) {
    world.pass(1s, 20ms);
    ASSERT_FALSE(world.runs(world.source));
    ASSERT_FALSE(world.runs(world.standby));
  }
  EXPECT_TRUE(world.told(v1::SEVERITY_ALERT, "undecided"));
  EXPECT_TRUE(world.told(v1::SEVERITY_ALERT, "nobody can say whether it runs on host2"));
  world.set_fate({});
  world.lan().heal("host1", "host2");
  expect_order(world);
  EXPECT_TRUE(world.runs(world.source)) << "the standby never got the word";
  world.pass(2s, 10ms);
  ASSERT_FALSE(world.results().empty());
  EXPECT_EQ(world.results().back().outcome(), v1::OUTCOME_REFUSED) << "and the controller is told how it ended";
}

}  // namespace
}  // namespace umbra::agent::test
