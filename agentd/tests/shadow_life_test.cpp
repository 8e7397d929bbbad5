// A shadow's life on both hosts while no cutover runs.
#include <gmock/gmock.h>

#include "agentd/tests/two_hosts.hpp"

namespace umbra::agent::test {
namespace {

using namespace std::chrono_literals;
using qmp::MigrationStatus;
using qmp::RunState;
using shadow::Phase;
using testing::HasSubstr;
using testing::Not;

constexpr BytesPerSecond kParked{10};

/// The world comes to order again, and nothing was violated on the way.
void expect_order(TwoHosts& world, Milliseconds limit = 20s) {
  for (auto left = limit; left > 0ms && !world.disorder().empty(); left -= 100ms) world.pass(100ms, 5ms);
  EXPECT_EQ(world.disorder(), "") << world.describe();
}

bool reaches(TwoHosts& world, Phase phase, Milliseconds limit = 10s) {
  return world.until([&] { return world.phase(world.source) == phase; }, limit);
}

TEST(ShadowLife, ClimbsFromStagedToWarmToHotAndBack) {
  TwoHosts world;
  ASSERT_TRUE(world.keep(world.source, world.standby, v1::TIER_STAGED));
  ASSERT_TRUE(reaches(world, Phase::kStaged)) << world.describe();
  world.pass(1s);
  EXPECT_EQ(world.qemu(world.standby)->run_state(), RunState::kInMigrate);
  EXPECT_EQ(world.qemu(world.source)->migration_status(), MigrationStatus::kNone);
  EXPECT_TRUE(world.standby.kernel.link(TwoHosts::kTap));
  EXPECT_EQ(world.route(world.standby), "host1") << "no route to the shadow before it serves";

  ASSERT_TRUE(world.keep(world.source, world.standby, v1::TIER_WARM));
  ASSERT_TRUE(reaches(world, Phase::kWarm)) << world.describe();
  EXPECT_EQ(world.qemu(world.source)->max_bandwidth(), kParked);
  EXPECT_THAT(world.source.hypervisor->description(TwoHosts::kVm), HasSubstr("umbractl shadow drop web1"));
  const auto shadow = world.qemu(world.standby);

  ASSERT_TRUE(world.keep(world.source, world.standby, v1::TIER_HOT));
  ASSERT_TRUE(reaches(world, Phase::kHot));
  EXPECT_EQ(world.source.gates->valve()->setting().mode(), v1::GATE_MODE_PULSED);
  ASSERT_TRUE(world.keep(world.source, world.standby, v1::TIER_WARM));
  ASSERT_TRUE(reaches(world, Phase::kWarm));
  EXPECT_EQ(world.source.gates->valve()->setting().mode(), v1::GATE_MODE_OPEN);
  EXPECT_EQ(world.shadow(world.source).refresh_interval_ms(), 5'000);
  EXPECT_EQ(world.qemu(world.standby), shadow) << "the same shadow all the way";
  expect_order(world);

  world.drop(world.source, "not needed");
  ASSERT_TRUE(reaches(world, Phase::kDropped));
  EXPECT_THAT(world.source.hypervisor->description(TwoHosts::kVm), Not(HasSubstr("[umbra]")));
  EXPECT_TRUE(world.runs(world.source));
  expect_order(world);
}

TEST(ShadowLife, OfAHotShadowConnectsToWhatItsCutoverWillFlip) {
  TwoHosts world;
  v1::KeepShadowRequest wish;
  wish.set_vm_uuid(TwoHosts::kVm);
  *wish.mutable_standby() = world.standby.node;
  wish.set_tier(v1::TIER_HOT);
  *wish.add_routers() = world.edge.node;
  EXPECT_FALSE(world.source.process->peers().connects_to(world.edge.name()));
  ASSERT_TRUE(world.ask(&world.source, world.source.process->host()->keep_shadow(wish), 5s));
  EXPECT_TRUE(world.source.process->peers().connects_to(world.edge.name()));
  ASSERT_TRUE(reaches(world, Phase::kHot)) << world.describe();
  const auto record = world.record(world.source, shadow::Side::kSource);
  v1::KeepShadowRequest written;
  ASSERT_TRUE(record && written.ParseFromString(record->wish));
  EXPECT_EQ(written.routers_size(), 0) << "the journal is written in the middle of cutovers";
}

TEST(ShadowLife, HowFastMemoryIsDirtiedIsKnownWithoutAShadow) {
  TwoHosts::Options options;
  options.dirty_rate = BytesPerSecond{30'000'000};
  TwoHosts world(options);
  const auto known = [&] {
    v1::ReportRequest report;
    world.source.process->report(report);
    return !report.samples().empty() && report.samples().rbegin()->dirty_bytes_per_second() == 30e6;
  };
  EXPECT_TRUE(world.until(known, 30s));

  world.warm();
  std::size_t asked = 0;
  world.set_fate([&](const Moment& moment) {
    asked += moment.what == "measure_dirty_rate" && moment.node == "host1";
    return Verdict{};
  });
  world.pass(130s, 10ms);
  EXPECT_EQ(asked, 0U) << "the refreshes tell it";
  world.drop(world.source, "not needed");
  world.pass(130s, 10ms);
  EXPECT_GE(asked, 2U);
  EXPECT_LE(asked, 3U);
}

TEST(ShadowLife, AMemoryThatWasSentIsNotStagedAgain) {
  TwoHosts world;
  world.warm();
  const auto shadow = world.qemu(world.standby);
  ASSERT_TRUE(world.keep(world.source, world.standby, v1::TIER_STAGED));
  ASSERT_TRUE(reaches(world, Phase::kStaged)) << world.describe();
  EXPECT_NE(world.qemu(world.standby), shadow) << "staging begins anew with an empty one";
  EXPECT_EQ(world.qemu(world.source)->migration_status(), MigrationStatus::kCancelled);
}

TEST(ShadowLife, RefreshesKeepTheirBeat) {
  TwoHosts::Options options;
  options.dirty_rate = BytesPerSecond{20'000'000};
  options.refresh_interval = 4s;
  TwoHosts world(options);
  world.warm();
  const auto first = world.shadow(world.source).refreshed_at_unix_ms();
  for (std::uint64_t beat = 1; beat <= 15; ++beat) {
    ASSERT_TRUE(world.until([&] { return world.shadow(world.source).refreshes() == beat; }, 5s)) << world.describe();
    const auto off =
        world.shadow(world.source).refreshed_at_unix_ms() - first - static_cast<std::int64_t>(beat) * 4'000;
    EXPECT_GE(off, -10) << "beat " << beat;
    EXPECT_LE(off, 250) << "beat " << beat << ": late ones must not shift those that follow";
  }
}

TEST(ShadowLife, ARefreshCostsWhatWasDirtiedAndParkingCostsNothing) {
  TwoHosts::Options options;
  options.dirty_rate = BytesPerSecond{2'000'000};
  TwoHosts world(options);
  world.warm();
  world.pass(12s, 2ms);  // two refreshes
  const auto before = world.qemu(world.source)->sent().count;
  int parked = 0, looks = 0;
  world.until(
      [&] {
        ++looks;
        parked += world.qemu(world.source)->max_bandwidth() == kParked ? 1 : 0;
        return false;
      },
      20s, 5ms);
  const auto sent = world.qemu(world.source)->sent().count - before;
  EXPECT_GT(sent, 35'000'000U) << "20 s at 2 MB/s";
  EXPECT_LT(sent, 50'000'000U);
  EXPECT_GT(parked, looks * 95 / 100) << "unparked for a moment every 5 s";
  EXPECT_NEAR(world.shadow(world.source).dirty_bytes_per_second(), 2e6, 4e5) << "what the refreshes tell of the guest";
}

TEST(ShadowLife, AWarmRefreshAllowsQemuNoMoreThanThereIsToSend) {
  TwoHosts::Options options;
  options.dirty_rate = BytesPerSecond{50'000'000};
  options.refresh_interval = 500ms;
  TwoHosts world(options);
  world.warm();
  BytesPerSecond most{};
  world.until(
      [&] {
        most = std::max(most, world.qemu(world.source)->max_bandwidth());
        return false;
      },
      10s, 1ms);
  EXPECT_LT(most.count, 10 * 50'000'000U) << "what was dirtied between two refreshes, in each window";
}

/// A guest that writes as much as those of the bench.
TwoHosts::Options busy() {
  TwoHosts::Options options;
  options.dirty_rate = BytesPerSecond{50'000'000};
  return options;
}

void heat(TwoHosts& world) {
  world.warm();
  ASSERT_TRUE(world.keep(world.source, world.standby, v1::TIER_HOT));
  ASSERT_TRUE(reaches(world, Phase::kHot));
}

TEST(ShadowLife, AHotShadowWhoseStreamStandsIsSaidToBeBehindAndThenMadeAnew) {
  TwoHosts world(busy());
  ASSERT_NO_FATAL_FAILURE(heat(world));
  world.pass(2s);
  const auto shadow = world.qemu(world.standby);
  world.standby.gates->hang(30s);
  ASSERT_TRUE(
      world.until([&] { return world.shadow(world.source).detail().find("behind") != std::string::npos; }, 12s, 20ms))
      << world.describe();
  EXPECT_TRUE(world.until([&] { return world.qemu(world.standby) != shadow; }, 60s, 20ms)) << world.describe();
  EXPECT_TRUE(world.until([&] { return world.phase(world.source) == Phase::kHot; }, 90s, 20ms)) << world.describe();
  EXPECT_TRUE(world.runs(world.source));
}

TEST(ShadowLife, AHotShadowIsKeptFreshByItsGateInPulsesAsLongAsTheBudgetAllows) {
  TwoHosts world(busy());
  ASSERT_NO_FATAL_FAILURE(heat(world));
  world.pass(3s);
  const auto* const valve = world.source.gates->valve();
  EXPECT_EQ(valve->setting().mode(), v1::GATE_MODE_PULSED);
  EXPECT_GE(valve->setting().pause_us(), 20'000U);
  EXPECT_LE(valve->setting().pause_us(), 250'000U);
  const auto passes = world.qemu(world.source)->passes();
  const auto commands = world.qemu(world.source)->commands().size();
  world.pass(10s);
  EXPECT_GT(world.qemu(world.source)->passes() - passes, 35U);
  EXPECT_LT(world.qemu(world.source)->passes() - passes, 1'000U) << "it does not spin";
  EXPECT_LT(world.qemu(world.source)->commands().size() - commands, 10U * 10) << "nobody has to ask for each";

  world.qemu(world.source)->set_dirty_rate(BytesPerSecond{0});
  world.pass(3s);
  EXPECT_EQ(valve->setting().pause_us(), 250'000U) << "of an idle guest, as long as may be";
}

TEST(ShadowLife, AGuestSuspendedForAWhileKeepsItsHotShadow) {
  TwoHosts world(busy());
  ASSERT_NO_FATAL_FAILURE(heat(world));
  world.pass(2s);
  const auto shadow = world.qemu(world.standby);
  ASSERT_TRUE(world.ask(nullptr, world.source.hypervisor->suspend(TwoHosts::kVm, 1s)));
  world.pass(5s);
  EXPECT_EQ(world.source.gates->valve()->setting().mode(), v1::GATE_MODE_SHUT);
  EXPECT_EQ(world.qemu(world.source)->migration_status(), MigrationStatus::kActive) << world.describe();
  const auto refused = world.cutover(world.source, world.standby);
  ASSERT_TRUE(world.until([&] { return refused->end.has_value(); }, 2s));
  ASSERT_FALSE(*refused->end);
  EXPECT_NE((*refused->end).error().message.find("paused"), std::string::npos) << (*refused->end).error().text();

  world.resume_by_hand(world.source);
  world.pass(2s);
  EXPECT_EQ(world.source.gates->valve()->setting().mode(), v1::GATE_MODE_PULSED);
  EXPECT_EQ(world.qemu(world.standby), shadow) << "the same one";
  const auto move = world.cutover(world.source, world.standby);
  ASSERT_TRUE(world.until([&] { return move->end.has_value(); }, 5s));
  ASSERT_TRUE(*move->end) << (*move->end).error().text();
  EXPECT_EQ((*move->end)->outcome(), v1::OUTCOME_MOVED);
  expect_order(world);
}

TEST(ShadowLife, OfAGuestSuspendedForLongTheShadowGoes) {
  TwoHosts world(busy());
  world.warm();
  ASSERT_TRUE(world.ask(nullptr, world.source.hypervisor->suspend(TwoHosts::kVm, 1s)));
  ASSERT_TRUE(world.until([&] { return world.qemu(world.standby) == nullptr; }, 90s, 5ms)) << world.describe();
  EXPECT_EQ(world.qemu(world.source)->run_state(), RunState::kPaused);
  world.resume_by_hand(world.source);
  ASSERT_TRUE(reaches(world, Phase::kWarm, 70s)) << world.describe();
  expect_order(world);
}

TEST(ShadowLife, AGateThatDiesCostsTheShadowAndNothingElse) {
  for (const auto side : {v1::GATE_SIDE_SOURCE, v1::GATE_SIDE_STANDBY}) {
    TwoHosts world;
    world.warm();
    world.pass(1s);
    const auto shadow = world.qemu(world.standby);
    (side == v1::GATE_SIDE_SOURCE ? world.source : world.standby).gates->kill(side);
    EXPECT_TRUE(world.runs(world.source));
    ASSERT_TRUE(world.until([&] { return !shadow->alive(); }, 2s)) << world.describe();
    ASSERT_TRUE(reaches(world, Phase::kWarm, 10s)) << world.describe();
    EXPECT_NE(world.qemu(world.standby), shadow);
    expect_order(world);
  }
}

TEST(ShadowLife, AnIdleGuestsHoldSendsNextToNothing) {
  TwoHosts world;
  world.warm();
  world.pass(6s, 2ms);
  const auto before = world.qemu(world.source)->sent().count;
  const auto commands = world.qemu(world.source)->commands().size();
  world.pass(60s, 5ms);
  EXPECT_LT(world.qemu(world.source)->sent().count - before, 5'000'000U);
  EXPECT_LT(world.qemu(world.source)->commands().size() - commands, 12U * 12)
      << "a handful of commands for each refresh";
  EXPECT_TRUE(world.runs(world.source));
}

struct Restart {
  const char* name;
  Machine TwoHosts::*who;
  bool crash;
};

class AgentRestart : public testing::TestWithParam<Restart> {};

TEST_P(AgentRestart, LeavesAWarmShadowAsItIs) {
  TwoHosts world;
  world.warm();
  world.pass(2s, 5ms);
  const auto primary = world.qemu(world.source), shadow = world.qemu(world.standby);
  if (GetParam().crash)
    world.restart(world.*GetParam().who, 1s);
  else
    world.restart_in_order(world.*GetParam().who);
  world.pass(1500ms);
  expect_order(world);
  EXPECT_EQ(world.qemu(world.source), primary);
  EXPECT_EQ(world.qemu(world.standby), shadow) << "adopted, not rebuilt";
  EXPECT_EQ(std::count(primary->commands().begin(), primary->commands().end(), "migrate"), 1);
  EXPECT_EQ(std::count(primary->commands().begin(), primary->commands().end(), "migrate_cancel"), 0);
  const auto refreshes = world.shadow(world.source).refreshes();
  EXPECT_TRUE(world.until([&] { return world.shadow(world.source).refreshes() > refreshes; }, 6s))
      << "it goes on being refreshed";

  const auto move = world.cutover(world.source, world.standby);
  ASSERT_TRUE(world.until([&] { return move->end.has_value(); }, 5s));
  ASSERT_TRUE(*move->end) << (*move->end).error().text();
  EXPECT_EQ((*move->end)->outcome(), v1::OUTCOME_MOVED);
  expect_order(world);
}

INSTANTIATE_TEST_SUITE_P(Of, AgentRestart,
                         testing::Values(Restart{"TheSource", &TwoHosts::source, false},
                                         Restart{"TheStandby", &TwoHosts::standby, false},
                                         Restart{"ACrashedSource", &TwoHosts::source, true},
                                         Restart{"ACrashedStandby", &TwoHosts::standby, true}),
                         [](const auto& one) { return one.param.name; });

TEST(UnaskedPreSwitchover, OfAPausedGuestIsCancelledAndTheShadowRebuiltAfterItsResume) {
  TwoHosts world;
  world.warm();
  const auto shadow = world.qemu(world.standby);
  ASSERT_TRUE(world.ask(nullptr, world.source.hypervisor->suspend(TwoHosts::kVm, 1s)));
  ASSERT_TRUE(
      world.until([&] { return world.qemu(world.source)->migration_status() == MigrationStatus::kCancelled; }, 2s))
      << world.describe();
  EXPECT_EQ(world.qemu(world.source)->run_state(), RunState::kPaused) << "the state it was in";
  world.pass(3s, 5ms);
  EXPECT_EQ(world.qemu(world.source)->run_state(), RunState::kPaused) << "nobody resumes what the operator paused";
  EXPECT_FALSE(shadow->alive());
  EXPECT_EQ(world.qemu(world.standby), nullptr) << "no shadow of a guest that does not run";
  EXPECT_TRUE(world.told(v1::SEVERITY_INFO, "shadow on host2 dropped: ")) << world.describe();

  world.resume_by_hand(world.source);
  ASSERT_TRUE(reaches(world, Phase::kWarm, 5s)) << world.describe();
  expect_order(world);
}

TEST(UnaskedPreSwitchover, OfAnIoErrorKeepsThatStateAndNoDataIsLost) {
  TwoHosts world;
  world.warm();
  world.qemu(world.source)->io_error();
  ASSERT_TRUE(
      world.until([&] { return world.qemu(world.source)->migration_status() == MigrationStatus::kCancelled; }, 2s));
  EXPECT_EQ(world.qemu(world.source)->run_state(), RunState::kIoError);
  world.pass(2s, 5ms);
  world.resume_by_hand(world.source);
  ASSERT_TRUE(reaches(world, Phase::kWarm, 5s)) << world.describe();
  expect_order(world);
}

TEST(Network, OfADomainThatIsListedWithoutItsTapWhileItIsStartedIsTakenUpOnceItHasOne) {
  TwoHosts world;
  auto xml = TwoHosts::domain_xml(mebibytes(64));
  const auto change = [&xml](const std::string& from, const std::string& to) {
    xml.replace(xml.find(from), from.size(), to);
  };
  change("web1", "web2");
  change(TwoHosts::kVm, "11111111-2222-3333-4444-555555555502");
  change(TwoHosts::kAddress, "10.50.0.2");
  change("52:54:00:00:00:01", "52:54:00:00:00:02");
  change(TwoHosts::kTap, "uvm2");
  auto starting = xml;
  const auto interface = starting.find("<interface");
  starting.erase(interface, starting.find("</interface>") + 12 - interface);

  ASSERT_TRUE(world.ask(nullptr, world.source.hypervisor->define(starting, 1s)));
  world.pass(11s, 10ms);  // it has been seen so
  ASSERT_TRUE(world.ask(nullptr, world.source.hypervisor->define(xml, 1s)));
  ASSERT_TRUE(world.source.hypervisor->start(xml, true));
  world.pass(1s, 10ms);
  const auto neighbours = world.source.kernel.neighbours("uvm2");
  ASSERT_TRUE(neighbours) << neighbours.error().text();
  EXPECT_THAT(*neighbours, testing::SizeIs(1));
}

TEST(GuestInHold, ThatShutsDownTakesItsShadowWithIt) {
  TwoHosts world;
  world.warm();
  world.qemu(world.source)->guest_shutdown();
  ASSERT_TRUE(world.until([&] { return !world.qemu(world.source) && !world.qemu(world.standby); }, 5s))
      << world.describe();
  world.pass(2s, 5ms);
  EXPECT_EQ(world.phase(world.source), Phase::kDropped);
  EXPECT_FALSE(world.domain(world.standby));
  EXPECT_FALSE(world.standby.kernel.link(TwoHosts::kTap));
  ASSERT_TRUE(world.domain(world.source)) << "still defined on its host";
  EXPECT_EQ(world.domain(world.source)->state, virt::DomainState::kShutOff);
}

TEST(GuestInHold, ThatIsDestroyedTakesItsShadowWithIt) {
  TwoHosts::Options options;
  options.persistent = false;
  TwoHosts world(options);
  world.warm();
  ASSERT_TRUE(world.ask(nullptr, world.source.hypervisor->destroy(TwoHosts::kVm, virt::Ending::kOrdinary, 1s)));
  world.pass(5s);
  EXPECT_THAT(world.phase(world.source), testing::AnyOf(Phase::kDropped, Phase::kProfile)) << world.describe();
  EXPECT_FALSE(world.domain(world.source));
  EXPECT_FALSE(world.domain(world.standby));
  EXPECT_FALSE(world.standby.kernel.link(TwoHosts::kTap));
}

TEST(GuestInHold, ThatIsStartedAgainGetsANewShadow) {
  TwoHosts world;
  world.warm();
  ASSERT_TRUE(world.ask(nullptr, world.source.hypervisor->destroy(TwoHosts::kVm, virt::Ending::kOrdinary, 1s)));
  world.pass(3s);
  ASSERT_TRUE(world.source.hypervisor->start(TwoHosts::domain_xml(mebibytes(64)), true));
  ASSERT_TRUE(reaches(world, Phase::kWarm, 5s)) << world.describe();
}

TEST(GuestInHold, ThatRebootsKeepsItsShadow) {
  TwoHosts world;
  world.warm();
  const auto shadow = world.qemu(world.standby);
  world.qemu(world.source)->guest_reset();
  world.pass(10s, 5ms);
  EXPECT_EQ(world.qemu(world.standby), shadow);
  EXPECT_EQ(world.phase(world.source), Phase::kWarm);
}

TEST(GuestInHold, WhosePowerButtonIsPressedLosesItsShadowUntilThatIsOver) {
  for (const auto tier : {v1::TIER_WARM, v1::TIER_HOT}) {
    TwoHosts world;
    ASSERT_TRUE(world.keep(world.source, world.standby, tier));
    const auto held = tier == v1::TIER_HOT ? Phase::kHot : Phase::kWarm;
    ASSERT_TRUE(reaches(world, held));
    world.pass(500ms);
    world.qemu(world.source)->power_button();
    world.pass(20ms);  // guests take longer than that
    EXPECT_EQ(world.qemu(world.source)->migration_status(), MigrationStatus::kCancelled);
    EXPECT_TRUE(world.runs(world.source));
    EXPECT_THAT(world.shadow(world.source).detail(), HasSubstr("asked to shut down or reboot"));
    world.pass(60s, 10ms);
    EXPECT_EQ(world.phase(world.source), Phase::kDropped) << "it may still be on its way down";

    world.qemu(world.source)->guest_reset();  // all that libvirt tells of a reboot of its own
    EXPECT_TRUE(reaches(world, held, 12s)) << world.describe();
  }
}

TEST(GuestInHold, ThatIgnoresItsPowerButtonGetsItsShadowBack) {
  TwoHosts world;
  world.warm();
  world.qemu(world.source)->power_button();
  EXPECT_TRUE(world.until([&] { return world.phase(world.source) == Phase::kDropped; }, 1s));
  EXPECT_TRUE(world.until([&] { return world.phase(world.source) == Phase::kWarm; }, 125s, 10ms));
  expect_order(world);
}

TEST(StandbyInHold, WhoseQemuDiesIsRebuilt) {
  TwoHosts world;
  world.warm();
  const auto shadow = world.qemu(world.standby);
  shadow->die();
  ASSERT_TRUE(world.until(
      [&] {
        return world.qemu(world.standby) && world.qemu(world.standby) != shadow &&
               world.phase(world.source) == Phase::kWarm;
      },
      10s))
      << world.describe();
  EXPECT_TRUE(world.runs(world.source));
  expect_order(world);
}

class LibvirtdAway : public testing::TestWithParam<Machine TwoHosts::*> {};

TEST_P(LibvirtdAway, AndBackDropsNothing) {
  TwoHosts world;
  world.warm();
  const auto primary = world.qemu(world.source), shadow = world.qemu(world.standby);
  auto& hypervisor = *(world.*GetParam()).hypervisor;
  hypervisor.set_connected(false);
  world.pass(30s, 5ms);
  EXPECT_TRUE(world.told(v1::SEVERITY_WARNING, "libvirt is not reachable"));
  EXPECT_EQ(world.qemu(world.source), primary);
  EXPECT_EQ(world.qemu(world.standby), shadow);
  hypervisor.set_connected(true);
  world.pass(10s, 5ms);
  EXPECT_EQ(world.qemu(world.standby), shadow) << world.describe();
  EXPECT_EQ(std::count(primary->commands().begin(), primary->commands().end(), "migrate"), 1);
  EXPECT_EQ(world.phase(world.source), Phase::kWarm);
  expect_order(world);
}

INSTANTIATE_TEST_SUITE_P(On, LibvirtdAway, testing::Values(&TwoHosts::source, &TwoHosts::standby),
                         [](const auto& one) { return one.index == 0 ? "TheSource" : "TheStandby"; });

}  // namespace
}  // namespace umbra::agent::test
