// What a host's agent does that finds more in QEMU than its journal tells of: the journal was lost, or restored.
#include <gmock/gmock.h>

#include <filesystem>

#include "agentd/tests/two_hosts.hpp"

namespace umbra::agent::test {
namespace {

using namespace std::chrono_literals;
using shadow::Phase;
using shadow::Side;

struct JournalLoss : testing::Test {
  void SetUp() override { world.warm(); }
  void at(std::string node, std::string what, std::function<Verdict()> happen) {
    world.set_fate(
        [this, node = std::move(node), what = std::move(what), happen = std::move(happen)](const Moment& now) {
          if (now.node != node || now.what != what || now.kind == Moment::Kind::kReply || done) return Verdict{};
          done = true;
          return happen();
        });
  }
  Result<void> yield(Machine& machine) {
    v1::YieldRequest request;
    request.set_vm_uuid(TwoHosts::kVm);
    request.set_epoch(world.next_epoch());
    request.set_to("the other");
    return world.ask(&machine, machine.process->host()->yield(std::move(request)), 40s);
  }
  Result<void> resolve(Machine& machine) {
    v1::ResolveRequest request;
    request.set_vm_uuid(TwoHosts::kVm);
    request.set_epoch(world.next_epoch());
    return world.ask(&machine, machine.process->host()->resolve(std::move(request)), 40s);
  }
  /// Takes the journal back to what it was when this was made.
  struct Backup {
    explicit Backup(Machine& of) : machine(of) {
      std::filesystem::copy(machine.config.state_dir, kept, std::filesystem::copy_options::recursive);
    }
    void restore(TwoHosts& world) {
      world.lose_journal(machine, 300ms);
      std::filesystem::copy(kept, machine.config.state_dir, std::filesystem::copy_options::recursive);
    }
    Machine& machine;
    TemporaryDirectory directory = TemporaryDirectory::make("umbra-backup-").value();
    std::filesystem::path kept = directory.path() / "state";
  };
  TwoHosts world;
  bool done = false;
};

TEST_F(JournalLoss, OfTheStandbyLeavesACopyThatTheControllersWordEnds) {
  at("host1", "released", [this] {
    world.lose_journal(world.standby, 300ms);
    return Verdict{Verdict::Kind::kLose, {}};
  });
  const auto move = world.cutover(world.source, world.standby);
  world.pass(40s, 20ms);
  ASSERT_FALSE(world.runs(world.source) || world.runs(world.standby)) << world.describe();
  const auto yielded = yield(world.standby);
  ASSERT_TRUE(yielded) << yielded.error().text();
  EXPECT_FALSE(world.qemu(world.standby));
  const auto resolved = resolve(world.source);
  ASSERT_TRUE(resolved) << resolved.error().text();
  EXPECT_TRUE(world.runs(world.source));
  EXPECT_THAT(world.violations(), testing::IsEmpty());
}

TEST_F(JournalLoss, OfTheStandbyDoesNotHoldUpASourceWhoseGuestHasEnded) {
  at("host1", "released", [this] {
    world.lose_journal(world.standby, 300ms);
    world.qemu(world.standby)->die();
    world.restart(world.source, 300ms);
    world.qemu(world.source)->die();
    return Verdict{};
  });
  world.cutover(world.source, world.standby);
  EXPECT_TRUE(world.until([&] { return world.phase(world.source) == Phase::kDropped; }, 30s, 20ms)) << world.describe();
  ASSERT_TRUE(world.source.hypervisor->start(TwoHosts::domain_xml(mebibytes(64)), true));
  EXPECT_TRUE(world.until([&] { return world.route(world.source) == "tap"; }, 30s, 20ms))
      << "a cutover that is not settled has the routes in its hand" << world.describe();
}

TEST_F(JournalLoss, OfTheSourceLeavesNoGuestInAMigrationThatNobodyEnds) {
  at("host1", "accept", [this] {
    world.lose_journal(world.source, 300ms);
    return Verdict{};
  });
  world.cutover(world.source, world.standby);
  ASSERT_TRUE(world.until([&] { return world.source.process && world.source.process->host()->standby(); }, 10s));
  EXPECT_TRUE(world.until(
      [&] { return world.qemu(world.source)->migration_status() == qmp::MigrationStatus::kCancelled; }, 30s, 20ms))
      << world.describe();
  EXPECT_TRUE(world.runs(world.source));
  EXPECT_EQ(world.source.hypervisor->description(TwoHosts::kVm), "");
}

TEST_F(JournalLoss, OfTheSourceInTheMiddleOfACutoverIsAnAlertThatSaysWhatToDo) {
  at("host1", "qmp migrate-continue", [this] {
    world.lose_journal(world.source, 300ms);
    world.crash(world.standby);
    world.qemu(world.standby)->die();
    return Verdict{};
  });
  world.cutover(world.source, world.standby);
  EXPECT_TRUE(world.until([&] { return world.told(v1::SEVERITY_ALERT, "virsh resume it on host1"); }, 30s, 20ms))
      << world.describe();
  EXPECT_FALSE(world.runs(world.source));
}

TEST_F(JournalLoss, OfTheSourceLeavesACopyThatTheControllersWordEndsThoughAShadowIsWanted) {
  at("host1", "qmp migrate-continue", [this] {
    world.lose_journal(world.source, 300ms);
    world.crash(world.standby);
    return Verdict{};
  });
  world.cutover(world.source, world.standby);
  ASSERT_TRUE(world.until([&] { return world.source.process && world.source.process->host()->standby(); }, 10s, 20ms));
  (void)world.keep(world.source, world.standby, v1::TIER_WARM);
  world.pass(15s, 20ms);
  ASSERT_FALSE(world.runs(world.source)) << world.describe();
  const auto yielded = yield(world.source);
  ASSERT_TRUE(yielded) << yielded.error().text();
  EXPECT_FALSE(world.qemu(world.source));
}

TEST_F(JournalLoss, OfTheSourceWhoseGuestIsStoppedLaterIsAnAlertToo) {
  world.drop(world.source, "as the test wants it");
  world.lose_journal(world.source, 300ms);
  world.pass(20s, 20ms);
  ASSERT_TRUE(world.runs(world.source));
  ASSERT_FALSE(world.told(v1::SEVERITY_ALERT, "virsh resume it on host1"));
  // What the life before asked for, and libvirt does now.
  ASSERT_TRUE(world.ask(nullptr, world.qemu(world.source)->execute("stop", {}, 1s)));
  world.pass(5s, 20ms);
  EXPECT_FALSE(world.told(v1::SEVERITY_ALERT, "virsh resume it on host1")) << "it may be taken back";
  EXPECT_TRUE(world.until([&] { return world.told(v1::SEVERITY_ALERT, "virsh resume it on host1"); }, 30s, 20ms))
      << world.describe();
}

TEST_F(JournalLoss, ThatIsRestoredFromBeforeTheAcceptanceIsNoRefusal) {
  Backup backup(world.standby);
  world.set_fate([&](const Moment& now) {
    if (done || now.kind != Moment::Kind::kReply || !world.runs(world.standby)) return Verdict{};
    done = true;
    world.qemu(world.standby)->die();
    backup.restore(world);
    return Verdict{};
  });
  world.cutover(world.source, world.standby);
  ASSERT_TRUE(world.until([&] { return done; }, 10s)) << world.describe();
  for (int second = 0; second < 60; ++second) {
    world.pass(1s, 20ms);
    ASSERT_FALSE(world.runs(world.source)) << "what the guest has left behind" << world.describe();
  }
  EXPECT_TRUE(world.told(v1::SEVERITY_ALERT, "umbractl resolve")) << world.describe();
  EXPECT_THAT(world.violations(), testing::IsEmpty());
}

TEST_F(JournalLoss, ThatIsRestoredKeepsNoShadowOfAGuestThatHasMoved) {
  Backup backup(world.source);
  at("host2", "resume", [&] {
    backup.restore(world);
    return Verdict{};
  });
  world.cutover(world.source, world.standby);
  EXPECT_TRUE(world.until([&] { return world.runs(world.standby); }, 10s));
  EXPECT_TRUE(
      world.until([&] { return world.told(v1::SEVERITY_ALERT, "virsh destroy and undefine it here"); }, 30s, 20ms))
      << world.describe();
  EXPECT_EQ(world.phase(world.source), Phase::kDropped) << "or it would be tried for ever";
  EXPECT_TRUE(world.runs(world.standby));
}

TEST_F(JournalLoss, ThatIsRestoredFromAPromiseHidesNoGuestThatHasComeBack) {
  std::optional<Backup> backup;
  world.set_fate([&](const Moment& now) {
    if (!backup && now.what == "qmp migrate-continue") backup.emplace(world.source);  // promised
    return Verdict{};
  });
  const auto away = world.cutover(world.source, world.standby);
  ASSERT_TRUE(world.until([&] { return away->end.has_value(); }, 10s));
  ASSERT_TRUE(backup);
  world.set_fate({});
  world.pass(10s, 10ms);
  ASSERT_TRUE(world.keep(world.standby, world.source, v1::TIER_WARM));
  ASSERT_TRUE(world.until([&] { return world.phase(world.standby) == Phase::kWarm; }, 30s, 10ms)) << world.describe();
  const auto back = world.cutover(world.standby, world.source);
  ASSERT_TRUE(world.until([&] { return back->end.has_value(); }, 10s));
  world.pass(10s, 10ms);
  ASSERT_TRUE(world.runs(world.source));

  backup->restore(world);
  EXPECT_TRUE(world.until([&] { return world.told(v1::SEVERITY_WARNING, "from before it came back"); }, 30s, 20ms))
      << world.describe();
  EXPECT_TRUE(world.until(
      [&] {
        v1::ReportRequest report;
        if (world.source.process) world.source.process->report(report);
        return report.vms_size() == 1;
      },
      30s, 20ms))
      << "a guest that runs here belongs into the reports";
  EXPECT_TRUE(world.runs(world.source));
  EXPECT_THAT(world.violations(), testing::IsEmpty());
}

TEST_F(JournalLoss, ThatIsRestoredKeepsNoHostFromRecoveringWhoseVmIsShutOff) {
  Backup backup(world.standby);
  const auto move = world.cutover(world.source, world.standby);
  ASSERT_TRUE(world.until([&] { return move->end.has_value(); }, 10s));
  world.pass(2s, 10ms);
  backup.restore(world);
  world.standby.hypervisor->power_off();
  world.standby.hypervisor->boot();
  EXPECT_TRUE(world.until([&] { return world.standby.process && world.standby.process->host()->standby(); }, 10s, 20ms))
      << "a record of a shadow of which there is no QEMU";
  EXPECT_TRUE(world.domain(world.standby)) << "its definition is this host's";
}

TEST_F(JournalLoss, OnBothSidesLeavesAShadowThatIsNoVm) {
  world.lose_journal(world.standby, 300ms);
  world.pass(12s, 20ms);
  v1::ReportRequest report;
  world.standby.process->report(report);
  ASSERT_TRUE(world.qemu(world.standby));
  EXPECT_EQ(report.vms_size(), 0) << "it would be told of as a second copy";
}

}  // namespace
}  // namespace umbra::agent::test
