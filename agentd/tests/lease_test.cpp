// Who keeps what on whose host, for how long, and what becomes of it when one side, its journal, or its word is lost.
#include <gmock/gmock.h>

#include <fstream>

#include "agentd/tests/two_hosts.hpp"
#include "base/sqlite.hpp"

namespace umbra::agent::test {
namespace {

using namespace std::chrono_literals;
using shadow::Phase;
using shadow::Side;
using testing::HasSubstr;

std::vector<v1::HeldShadow> held(Machine& machine) {
  v1::ReportRequest report;
  machine.process->report(report);
  return {report.held().begin(), report.held().end()};
}

void cut(TwoHosts& world) {
  world.lan().part("host1", "host2");
}

void sql(Machine& machine, const std::string& text) {
  auto database = sqlite::Database::open(machine.config.state_dir / "journal.sqlite", sqlite::Durability::kFull);
  ASSERT_TRUE(database);
  const auto done = database->exec(text);
  ASSERT_TRUE(done) << done.error().text();
}

/// A crash, and damage before it starts again.
void damage(TwoHosts& world, Machine& machine, const std::string& text) {
  world.crash(machine);
  sql(machine, text);
  world.start(machine);
  world.pass(2s, 5ms);
}

TEST(Lease, OfAShadowIsRenewed) {
  TwoHosts world;
  world.warm();
  const auto shadow = world.qemu(world.standby);
  world.pass(100s, 20ms);
  EXPECT_EQ(world.qemu(world.standby), shadow);
  ASSERT_THAT(held(world.standby), testing::SizeIs(1));
  const auto known = held(world.standby).front();
  EXPECT_EQ(known.source(), "host1");
  EXPECT_EQ(known.vm_name(), "web1");
  EXPECT_EQ(known.memory_bytes(), mebibytes(64).count);
  EXPECT_GT(known.renewed_unix_ms(), world.clock().unix_ms() - 6'000);
}

TEST(Lease, OfASourceThatIsGoneEndsAndTheVmCanBeStartedHere) {
  TwoHosts world;
  world.warm();
  world.crash(world.source);  // and its QEMU still sends, as far as the standby can see
  world.pass(25s, 20ms);
  EXPECT_TRUE(world.qemu(world.standby)) << "an agent may be restarted";
  ASSERT_TRUE(world.until([&] { return !world.qemu(world.standby); }, 30s, 20ms)) << world.describe();
  world.pass(2s, 20ms);  // until the controller has heard
  EXPECT_TRUE(world.told(v1::SEVERITY_WARNING, "host1 has not been heard for"));
  EXPECT_FALSE(world.domain(world.standby));
  EXPECT_FALSE(world.standby.kernel.link(TwoHosts::kTap));
  EXPECT_EQ(world.record(world.standby, Side::kStandby)->phase, Phase::kDropped);
  EXPECT_THAT(held(world.standby), testing::IsEmpty());
}

TEST(Lease, ThatCannotBeRenewedIsGivenUpByTheSourceToo) {
  TwoHosts world;
  world.warm();
  cut(world);  // of the agents alone
  ASSERT_TRUE(world.until([&] { return world.phase(world.source) == Phase::kDropped; }, 50s, 20ms)) << world.describe();
  EXPECT_TRUE(world.runs(world.source));
  EXPECT_NE(world.qemu(world.source)->migration_status(), qmp::MigrationStatus::kActive);
  world.pass(20s, 20ms);
  EXPECT_FALSE(world.qemu(world.standby));
  world.lan().heal("host1", "host2");
  EXPECT_TRUE(world.until([&] { return world.phase(world.source) == Phase::kWarm; }, 100s, 20ms)) << world.describe();
}

TEST(Lease, TellsOfADiscardThatWasLost) {
  TwoHosts world;
  world.set_fate([](const Moment& moment) {
    return moment.what == "discard" ? Verdict{Verdict::Kind::kLose, {}} : Verdict{};
  });
  ASSERT_TRUE(world.keep(world.source, world.standby, v1::TIER_STAGED));  // its QEMU has no stream that would break
  world.pass(3s, 5ms);
  world.drop(world.source, "not needed");
  ASSERT_TRUE(world.until([&] { return !world.qemu(world.standby); }, 15s, 10ms)) << world.describe();
  world.pass(3s, 10ms);
  EXPECT_TRUE(world.told(v1::SEVERITY_INFO, "host1 does not keep it any more"));
  EXPECT_EQ(world.disorder(), "");
}

TEST(Lease, SaysToTheSourceThatItsShadowIsGone) {
  TwoHosts world;
  ASSERT_TRUE(world.keep(world.source, world.standby, v1::TIER_STAGED));
  ASSERT_TRUE(world.until([&] { return world.phase(world.source) == Phase::kStaged; }, 5s));
  const auto shadow = world.qemu(world.standby);
  ASSERT_TRUE(world.ask(nullptr, world.standby.hypervisor->destroy(TwoHosts::kVm, virt::Ending::kOrdinary, 1s)));
  ASSERT_TRUE(world.until([&] { return world.qemu(world.standby) && world.qemu(world.standby) != shadow; }, 10s, 5ms))
      << world.describe();
}

TEST(Lease, OfAnAcceptedShadowThatHasAllOfTheMemoryNeverEnds) {
  TwoHosts world;
  world.warm();
  world.set_fate([&world](const Moment& moment) {
    if (moment.what == "released") {
      world.lan().after(20ms, [&world] { world.crash(world.source); });
      return Verdict{Verdict::Kind::kLose, {}};
    }
    return Verdict{};
  });
  const auto move = world.cutover(world.source, world.standby);
  world.pass(120s, 20ms);
  ASSERT_TRUE(world.qemu(world.standby)) << "it may be the only copy: " << world.describe();
  EXPECT_FALSE(world.runs(world.standby));
  EXPECT_TRUE(world.told(v1::SEVERITY_ALERT, "umbractl resolve web1")) << world.describe();
  world.set_fate({});
  world.start(world.source);
  EXPECT_TRUE(world.until([&] { return world.disorder().empty(); }, 30s, 20ms)) << world.disorder() << world.describe();
}

TEST(Lease, MeansNothingToAnothersShadow) {
  TwoHosts world;
  world.warm();
  v1::RenewRequest request;
  request.set_source("host3");
  const auto renewed = world.ask(&world.standby, world.standby_of(world.standby).renew(request), 1s);
  ASSERT_TRUE(renewed);
  world.pass(1s, 5ms);
  EXPECT_EQ(world.phase(world.source), Phase::kWarm);
  EXPECT_THAT(held(world.standby), testing::SizeIs(1));
}

TEST(Lease, ThatComesLateDropsNothingThatWasStagedSince) {
  TwoHosts world;
  v1::RenewRequest late;
  late.set_source("host1");
  late.mutable_newest()->set_journal(world.source.process->journal().incarnation());
  late.mutable_newest()->set_number(world.source.process->journal().newest_number());
  world.warm();
  ASSERT_TRUE(world.ask(&world.standby, world.standby_of(world.standby).renew(late), 1s));
  EXPECT_THAT(held(world.standby), testing::SizeIs(1));
  late.mutable_newest()->set_number(world.source.process->journal().newest_number());
  ASSERT_TRUE(world.ask(&world.standby, world.standby_of(world.standby).renew(late), 1s));
  EXPECT_THAT(held(world.standby), testing::IsEmpty());
}

TEST(Staging, ThatIsAskedLateOrTwiceReplacesNothing) {
  TwoHosts world;
  world.warm();
  const auto shadow = world.qemu(world.standby);
  v1::StageRequest again;
  ASSERT_TRUE(again.ParseFromString(world.record(world.standby, Side::kStandby)->wish));
  const auto staged = world.ask(&world.standby, world.standby_of(world.standby).stage(again), 5s);
  ASSERT_FALSE(staged);
  EXPECT_EQ(staged.error().code, Errc::kConflict);
  EXPECT_EQ(world.qemu(world.standby), shadow);
}

TEST(Clock, ThatStepsBackTellsNoShadowFromAnother) {
  TwoHosts world;
  world.warm();
  world.step_wall_clock(-1h);
  world.drop(world.source, "test");
  world.pass(2s, 5ms);
  EXPECT_FALSE(world.qemu(world.standby)) << "the discard is later than the staging, whatever the clock says";
  world.warm();
  world.step_wall_clock(-1h);
  ASSERT_TRUE(world.keep(world.source, world.standby, v1::TIER_STAGED));  // discards, and stages anew
  ASSERT_TRUE(world.until([&] { return world.phase(world.source) == Phase::kStaged; }, 10s, 5ms)) << world.describe();
  EXPECT_TRUE(world.qemu(world.standby));
}

TEST(StandbyHost, ThatIsLostBeforeItWasToldToRunLeavesTheGuestToItsSourceAtOnce) {
  for (const std::string during : {"point", "qmp stop"}) {
    TwoHosts world;
    world.warm();
    world.set_fate([&](const Moment& moment) {
      if (moment.node == "host1" && moment.what == during && moment.peer != "edge") {
        world.crash(world.standby);
        if (const auto qemu = world.qemu(world.standby)) qemu->die();
      }
      return Verdict{};
    });
    const auto move = world.cutover(world.source, world.standby);
    ASSERT_TRUE(world.until([&] { return move->end.has_value(); }, 30s)) << during;
    ASSERT_TRUE(*move->end);
    EXPECT_EQ((*move->end)->outcome(), v1::OUTCOME_REFUSED) << during << ": " << (*move->end)->detail();
    EXPECT_TRUE(world.runs(world.source));
    EXPECT_EQ(world.record(world.source, Side::kSource)->phase, Phase::kDropped);
    world.set_fate({});
    world.start(world.standby);
    world.pass(2s, 5ms);
    EXPECT_TRUE(world.told(v1::SEVERITY_WARNING, "taken back")) << world.describe();
    EXPECT_TRUE(world.until([&] { return world.phase(world.source) == Phase::kWarm; }, 100s, 20ms)) << world.describe();
    EXPECT_EQ(world.route(world.source), "tap");
    EXPECT_EQ(world.route(world.edge), "host1");
  }
}

TEST(StandbyHost, ThatIsCutOffBeforeItWasToldToRunDropsItsAcceptedShadowLater) {
  TwoHosts world;
  world.warm();
  world.set_fate([&](const Moment& moment) {
    if (moment.node == "host1" && moment.what == "qmp stop") cut(world);
    if (moment.node == "host1" && moment.what == "qmp stop") return Verdict{Verdict::Kind::kFail, {}};
    return Verdict{};
  });
  const auto move = world.cutover(world.source, world.standby);
  ASSERT_TRUE(world.until([&] { return move->end.has_value(); }, 20s));
  EXPECT_EQ((*move->end)->outcome(), v1::OUTCOME_REFUSED);
  EXPECT_TRUE(world.runs(world.source));
  world.set_fate({});
  world.lan().heal("host1", "host2");
  EXPECT_TRUE(world.until([&] { return world.disorder().empty(); }, 60s, 20ms)) << world.disorder() << world.describe();
}

TEST(LostJournal, OfTheStandbyIsNoRefusal) {
  TwoHosts world;
  world.warm();
  world.set_fate([&](const Moment& moment) {
    if (moment.what == "released" && moment.kind == Moment::Kind::kRequest) {
      world.lose_journal(world.standby, 300ms);
      return Verdict{Verdict::Kind::kLose, {}};
    }
    return Verdict{};
  });
  const auto move = world.cutover(world.source, world.standby);
  world.pass(60s, 20ms);
  EXPECT_FALSE(world.runs(world.source)) << "the other copy may have run";
  EXPECT_FALSE(world.runs(world.standby));
  EXPECT_EQ(world.record(world.source, Side::kSource)->phase, Phase::kPromised);
  EXPECT_TRUE(world.told(v1::SEVERITY_ALERT, "umbractl resolve web1")) << world.describe();
  EXPECT_THAT(world.violations(), testing::IsEmpty());
}

struct DamagedJournal : testing::Test {
  TwoHosts world;
  /// Refused with the reason and the remedy, and the agent serves all the same.
  void expect_left_alone(Machine& machine) {
    ASSERT_TRUE(machine.process->host()->standby()) << "the agent is up";
    EXPECT_TRUE(world.told(v1::SEVERITY_ALERT, "is damaged")) << world.describe();
    EXPECT_TRUE(world.told(v1::SEVERITY_ALERT, "umbra-agentd --forget-damaged"));
    const auto checks = world.ask(&machine, machine.process->host()->diagnose(), 1s);
    ASSERT_TRUE(checks);
    EXPECT_TRUE(std::any_of(checks->begin(), checks->end(), [](const auto& check) {
      return check.name() == "journal" && !check.ok() && check.remedy().find("--forget-damaged") != std::string::npos;
    }));
  }
};

TEST_F(DamagedJournal, OfTheSourceLeavesItsVmAlone) {
  world.warm();
  const auto primary = world.qemu(world.source);
  const auto before = primary->commands().size();
  damage(world, world.source, "UPDATE shadow SET wish = ''");
  expect_left_alone(world.source);
  const auto& commands = primary->commands();
  EXPECT_EQ(std::count(commands.begin() + static_cast<std::ptrdiff_t>(before), commands.end(), "migrate_cancel"), 0);
  EXPECT_TRUE(world.runs(world.source));
  const auto kept = world.keep(world.source, world.standby, v1::TIER_WARM);
  ASSERT_FALSE(kept);
  EXPECT_EQ(kept.error().code, Errc::kCorrupt);
  EXPECT_THAT(kept.error().remedy, HasSubstr("--forget-damaged"));
  const auto move = world.cutover(world.source, world.standby);
  world.pass(100ms);
  ASSERT_TRUE(move->end && !*move->end);
  EXPECT_EQ(move->end->error().code, Errc::kCorrupt);

  world.crash(world.source);
  const auto file = world.source.config.state_dir / "journal.sqlite";
  EXPECT_EQ(shadow::Journal::forget_damaged(file, TwoHosts::kVm).value(), 1);
  world.start(world.source);
  world.pass(40s, 20ms);  // the standby gives up what nobody renews
  ASSERT_TRUE(world.keep(world.source, world.standby, v1::TIER_WARM));
  EXPECT_TRUE(world.until([&] { return world.phase(world.source) == Phase::kWarm; }, 60s, 20ms)) << world.describe();
}

TEST_F(DamagedJournal, OfTheStandbyLeavesTheShadowAlone) {
  world.warm();
  const auto shadow = world.qemu(world.standby);
  damage(world, world.standby, "UPDATE shadow SET phase = 77");
  expect_left_alone(world.standby);
  EXPECT_EQ(world.qemu(world.standby), shadow);
  EXPECT_TRUE(shadow->alive());
  v1::RefuseRequest refuse;
  refuse.set_vm_uuid(TwoHosts::kVm);
  refuse.set_epoch(world.next_epoch());
  const auto refused = world.ask(&world.standby, world.standby_of(world.standby).refuse(refuse), 1s);
  ASSERT_FALSE(refused) << "whether it ran here the damaged record may have said";
  EXPECT_EQ(refused.error().code, Errc::kCorrupt);
  v1::ReportRequest report;
  world.standby.process->report(report);
  EXPECT_TRUE(report.vms().empty()) << "a shadow is no VM of this host";
}

TEST_F(DamagedJournal, ThatIsNoDatabaseAnyMoreBeginsAnew) {
  world.warm();
  world.crash(world.standby);
  {
    for (const auto* beside : {"journal.sqlite-wal", "journal.sqlite-shm"})  // which would mend it
      std::filesystem::remove(world.standby.config.state_dir / beside);
    std::ofstream file(world.standby.config.state_dir / "journal.sqlite", std::ios::trunc);
    file << std::string(5000, 'x');
  }
  world.start(world.standby);
  world.pass(2s, 5ms);
  EXPECT_TRUE(world.told(v1::SEVERITY_ALERT, "an empty journal begins")) << world.describe();
  EXPECT_TRUE(world.until([&] { return world.disorder().empty(); }, 60s, 20ms)) << world.disorder() << world.describe();
}

}  // namespace
}  // namespace umbra::agent::test
