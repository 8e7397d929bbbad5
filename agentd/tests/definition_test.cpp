// What people and backups do to a VM while its shadow is held is never undone by a cutover.
#include <gmock/gmock.h>

#include "agentd/tests/two_hosts.hpp"

namespace umbra::agent::test {
namespace {

using namespace std::chrono_literals;
using shadow::Phase;
using testing::HasSubstr;

const qmp::BlockNode kBase{"libvirt-1-format", "qcow2", "/shared/base.qcow2", "", false};
const qmp::BlockNode kOverlay{"libvirt-2-format", "qcow2", "/shared/overlay.qcow2", "/shared/base.qcow2", false};

struct DefinitionTest : testing::Test {
  DefinitionTest() {
    disks({kBase});
    edit_live("</devices>",
              "<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='/shared/base.qcow2'/>"
              "<target dev='vda' bus='virtio'/></disk></devices>");
  }
  void disks(std::vector<qmp::BlockNode> nodes) { world.qemu(world.source)->set_block_nodes(std::move(nodes)); }
  void jobs(std::vector<qmp::BlockJob> running) { world.qemu(world.source)->set_block_jobs(std::move(running)); }
  std::string live_xml() {
    return world.ask(nullptr, world.source.hypervisor->definition(TwoHosts::kVm, 1s)).value().live_xml;
  }
  std::string edited(std::string xml, std::string_view what, std::string_view by) {
    const auto at = xml.find(what);
    EXPECT_NE(at, std::string::npos) << what;
    return xml.replace(at, what.size(), by);
  }
  /// `virsh metadata`, `change-media`, `blkdeviotune --live`, …
  void edit_live(std::string_view what, std::string_view by) {
    world.source.hypervisor->change_live(TwoHosts::kVm, edited(live_xml(), what, by));
  }
  /// `virsh snapshot-create --disk-only`: of which libvirt tells nobody.
  void snapshot() {
    disks({kBase, kOverlay});
    world.source.hypervisor->change_live(TwoHosts::kVm, edited(live_xml(), kBase.file, kOverlay.file), false);
  }
  void edit_stored(std::string_view what, std::string_view by) {
    const auto xml = world.ask(nullptr, world.source.hypervisor->inactive_xml(TwoHosts::kVm, 1s)).value();
    world.source.hypervisor->change_stored(TwoHosts::kVm, edited(xml, what, by));
  }
  v1::CutoverResult cut_over() {
    const auto move = world.cutover(world.source, world.standby);
    EXPECT_TRUE(world.until([&] { return move->end.has_value(); }, 40s)) << world.describe();
    if (move->end && *move->end) return **move->end;
    v1::CutoverResult refused;
    refused.set_detail(move->end ? (*move->end).error().text() : "no answer");
    return refused;
  }
  void expect_order(Milliseconds limit = 40s) {
    for (auto left = limit; left > 0ms && !world.disorder().empty(); left -= 200ms) world.pass(200ms, 10ms);
    EXPECT_EQ(world.disorder(), "") << world.describe();
  }
  bool made_anew(std::uint64_t refreshes_before) {
    return world.phase(world.source) == Phase::kWarm && world.shadow(world.source).refreshes() <= refreshes_before;
  }
  bool anew(const std::shared_ptr<qmp::FakeQemu>& before) {
    const auto now = world.qemu(world.standby);
    return is_warm() && now && now != before;
  }
  bool is_warm() { return world.phase(world.source) == Phase::kWarm; }
  virt::Definition kept_by(Machine& machine) {
    return world.ask(nullptr, machine.hypervisor->definition(TwoHosts::kVm, 1s)).value();
  }
  bool source_stopped() {
    const auto& commands = world.qemu(world.source)->commands();
    return std::find(commands.begin(), commands.end(), "stop") != commands.end();
  }

  TwoHosts world;
};

TEST_F(DefinitionTest, AnExternalSnapshotHasTheShadowMadeAnewBeforeAnythingMoves) {
  world.warm();
  const auto shadow = world.qemu(world.standby);
  snapshot();
  ASSERT_TRUE(world.until([&] { return anew(shadow); }, 60s, 20ms)) << world.describe();
  EXPECT_TRUE(world.told(v1::SEVERITY_WARNING, "/shared/overlay.qcow2")) << world.describe();
  EXPECT_EQ(cut_over().outcome(), v1::OUTCOME_MOVED);
  expect_order();
}

TEST_F(DefinitionTest, ASnapshotJustBeforeTheCutoverAbortsItAndTheGuestIsNotStopped) {
  world.warm();
  snapshot();
  const auto shadow = world.qemu(world.standby);
  const auto result = cut_over();
  EXPECT_NE(result.outcome(), v1::OUTCOME_MOVED);
  EXPECT_THAT(result.detail(), HasSubstr("/shared/overlay.qcow2"));
  EXPECT_TRUE(result.primary_changed()) << "or the controller takes the standby for unfit";
  EXPECT_FALSE(source_stopped());
  EXPECT_TRUE(world.runs(world.source));
  ASSERT_TRUE(world.until([&] { return anew(shadow); }, 60s, 20ms)) << world.describe();
  EXPECT_EQ(cut_over().outcome(), v1::OUTCOME_MOVED);
  expect_order();
}

TEST_F(DefinitionTest, ASnapshotThatLibvirtKnowsNothingOfIsFoundAsLateAsWhenTheGuestStandsStill) {
  world.warm();
  disks({kBase, kOverlay});  // by `virsh qemu-monitor-command`
  const auto result = cut_over();
  EXPECT_NE(result.outcome(), v1::OUTCOME_MOVED);
  EXPECT_THAT(result.detail(), HasSubstr("/shared/overlay.qcow2"));
  EXPECT_TRUE(world.runs(world.source));
  EXPECT_FALSE(world.runs(world.standby));
}

TEST_F(DefinitionTest, ASnapshotInAnyMomentOfACutoverIsNeverLeftBehind) {
  std::vector<Moment> moments;
  {
    TwoHosts rehearsal;
    rehearsal.qemu(rehearsal.source)->set_block_nodes({kBase});
    rehearsal.warm();
    rehearsal.set_fate([&](const Moment& moment) {
      moments.push_back(moment);
      return Verdict{};
    });
    const auto move = rehearsal.cutover(rehearsal.source, rehearsal.standby);
    ASSERT_TRUE(rehearsal.until([&] { return move->end.has_value(); }, 40s));
  }
  unsigned moved = 0, kept = 0;
  for (std::size_t at = 0; at < moments.size(); ++at) {
    TwoHosts one;
    one.qemu(one.source)->set_block_nodes({kBase});
    one.warm();
    const auto primary = one.qemu(one.source);
    std::size_t moment = 0;
    bool wrote_after = false;  // the guest ran on the overlay, so that the base image lacks what it wrote
    one.set_fate([&](const Moment&) {
      if (moment++ == at) {
        primary->set_block_nodes({kBase, kOverlay});
        wrote_after = primary->running();
      }
      return Verdict{};
    });
    const auto move = one.cutover(one.source, one.standby);
    ASSERT_TRUE(one.until([&] { return move->end.has_value(); }, 40s)) << one.describe();
    one.pass(1s);
    const bool runs_there = one.runs(one.standby);
    (runs_there ? moved : kept) += 1;
    EXPECT_FALSE(runs_there && wrote_after) << "moved without its overlay, which was made at " << moments[at].text();
    EXPECT_NE(one.runs(one.source), runs_there) << one.describe();
  }
  EXPECT_GT(moved, 0U);
  EXPECT_GT(kept, 0U);
}

TEST_F(DefinitionTest, ABlockJobBarsTheCutoverAndCostsTheShadowNothingIfTheDisksAreAsBefore) {
  world.warm();
  const auto shadow = world.qemu(world.standby);
  jobs({{"drive-virtio-disk0", "backup"}});
  world.pass(12s, 20ms);
  EXPECT_EQ(world.qemu(world.standby), shadow) << world.describe();
  EXPECT_THAT(world.shadow(world.source).detail(), HasSubstr("a block job runs (backup"));
  const auto barred = cut_over();
  EXPECT_NE(barred.outcome(), v1::OUTCOME_MOVED);
  EXPECT_THAT(barred.detail(), HasSubstr("a block job runs"));
  EXPECT_TRUE(world.runs(world.source));
  jobs({});
  world.pass(6s, 20ms);
  EXPECT_EQ(world.qemu(world.standby), shadow) << "it was made anew for nothing: " << world.describe();
  EXPECT_EQ(cut_over().outcome(), v1::OUTCOME_MOVED);
  expect_order();
}

TEST_F(DefinitionTest, NoShadowIsBegunWhileABlockJobRuns) {
  jobs({{"commit0", "commit"}});
  EXPECT_TRUE(world.keep(world.source, world.standby, v1::TIER_WARM));
  world.pass(10s, 20ms);
  EXPECT_FALSE(world.qemu(world.standby)) << world.describe();
  jobs({});
  EXPECT_TRUE(world.until([&] { return is_warm(); }, 90s, 20ms)) << world.describe();
}

TEST_F(DefinitionTest, AChangedDeviceHasTheShadowMadeAnewAtOnce) {
  world.warm();
  const auto shadow = world.qemu(world.standby);
  edit_live("<target dev=", "<bandwidth><inbound average='100'/></bandwidth><target dev=");
  EXPECT_TRUE(world.until([&] { return world.qemu(world.standby) != shadow; }, 1s)) << world.describe();
  ASSERT_TRUE(world.until([&] { return anew(shadow); }, 60s, 20ms)) << world.describe();
  EXPECT_TRUE(world.told(v1::SEVERITY_WARNING, "bandwidth")) << world.describe();
  EXPECT_EQ(cut_over().outcome(), v1::OUTCOME_MOVED);
  EXPECT_THAT(kept_by(world.standby).live_xml, HasSubstr("bandwidth"));
  expect_order();
}

TEST_F(DefinitionTest, WhatIsOnlyWrittenAboutItIsCarriedAndCostsNoShadow) {
  world.warm();
  const auto shadow = world.qemu(world.standby);
  edit_live("<umbra:address>", "<umbra:address>10.50.0.99</umbra:address><umbra:address>");
  edit_live("<memory", "<title>a new title</title><memory");
  edit_stored("<vcpu>1</vcpu>", "<vcpu>2</vcpu>");
  world.source.hypervisor->keep_beside(TwoHosts::kVm, {"<domainsnapshot><name>s1</name></domainsnapshot>"},
                                       {"<domaincheckpoint><name>c1</name></domaincheckpoint>"}, true);
  world.pass(12s, 20ms);
  EXPECT_EQ(world.qemu(world.standby), shadow) << "the shadow was made anew: " << world.describe();
  const auto result = cut_over();
  EXPECT_EQ(result.outcome(), v1::OUTCOME_MOVED) << result.detail();
  expect_order();
  const auto kept = kept_by(world.standby);
  EXPECT_THAT(kept.live_xml, HasSubstr("a new title"));
  EXPECT_THAT(kept.live_xml, HasSubstr("10.50.0.99"));
  EXPECT_THAT(kept.inactive_xml, HasSubstr("<vcpu>2</vcpu>"));
  EXPECT_EQ(kept.snapshots.size(), 1U);
  EXPECT_EQ(kept.checkpoints.size(), 1U);
  EXPECT_TRUE(kept.autostart);
  EXPECT_FALSE(world.source.hypervisor->starts_at_boot(TwoHosts::kVm));
  const auto address = netswitch::IpAddress::parse("10.50.0.99").value();
  ASSERT_TRUE(world.standby.kernel.route_to(address).value());
  EXPECT_EQ(world.standby.kernel.route_to(address).value()->dev, TwoHosts::kTap);
}

TEST_F(DefinitionTest, WhatIsWrittenAboutItInAnyMomentOfACutoverIsThereInTheEnd) {
  std::vector<Moment> moments;
  std::size_t last_look = 0;
  {
    TwoHosts rehearsal;
    rehearsal.warm();
    rehearsal.set_fate([&](const Moment& moment) {
      moments.push_back(moment);
      if (moment.node == rehearsal.source.name() && moment.what == "definition") last_look = moments.size();
      return Verdict{};
    });
    const auto move = rehearsal.cutover(rehearsal.source, rehearsal.standby);
    ASSERT_TRUE(rehearsal.until([&] { return move->end.has_value() && rehearsal.disorder().empty(); }, 40s));
  }
  ASSERT_GT(last_look, 10U);
  for (std::size_t at = 0; at < last_look; ++at) {
    TwoHosts one;
    one.warm();
    auto xml = one.ask(nullptr, one.source.hypervisor->definition(TwoHosts::kVm, 1s)).value().live_xml;
    const std::string_view before = "<memory";
    xml.insert(xml.find(before), "<title>a new title</title>");
    std::size_t moment = 0;
    one.set_fate([&](const Moment&) {
      if (moment++ == at) one.source.hypervisor->change_live(TwoHosts::kVm, xml);
      return Verdict{};
    });
    const auto move = one.cutover(one.source, one.standby);
    ASSERT_TRUE(one.until([&] { return move->end.has_value() && one.disorder().empty(); }, 40s)) << one.describe();
    auto& runner = one.runs(one.standby) ? one.standby : one.source;
    const auto kept = one.ask(nullptr, runner.hypervisor->definition(TwoHosts::kVm, 1s)).value();
    EXPECT_THAT(kept.live_xml, HasSubstr("a new title")) << "written at " << moments[at].text();
  }
}

TEST_F(DefinitionTest, ADeviceChangedInTheMomentOfTheMoveIsToldOf) {
  world.warm();
  const auto changed =
      edited(live_xml(), "<target dev=", "<bandwidth><inbound average='100'/></bandwidth><target dev=");
  world.set_fate([&](const Moment& moment) {
    if (moment.kind == Moment::Kind::kRequest && moment.what == "released")
      world.source.hypervisor->change_live(TwoHosts::kVm, changed);
    return Verdict{};
  });
  EXPECT_EQ(cut_over().outcome(), v1::OUTCOME_MOVED);
  world.set_fate({});
  expect_order();
  EXPECT_TRUE(world.told(v1::SEVERITY_WARNING, "in the moment it moved")) << world.describe();
}

TEST_F(DefinitionTest, AShadowThatIsChangedByHandIsMadeAnew) {
  world.warm();
  const auto shadow = world.qemu(world.standby);
  const auto xml = kept_by(world.standby).live_xml;
  world.standby.hypervisor->change_live(
      TwoHosts::kVm, edited(xml, "<target dev=", "<bandwidth><inbound average='100'/></bandwidth><target dev="));
  ASSERT_TRUE(world.until([&] { return anew(shadow); }, 60s, 20ms)) << world.describe();
  EXPECT_TRUE(world.told(v1::SEVERITY_WARNING, "was changed by hand")) << world.describe();
  EXPECT_EQ(cut_over().outcome(), v1::OUTCOME_MOVED);
  EXPECT_THAT(kept_by(world.standby).live_xml, testing::Not(HasSubstr("bandwidth")));
  expect_order();
}

TEST_F(DefinitionTest, AutostartIsOffBeforeThePromiseAndBackWhenItDoesNotMove) {
  world.source.hypervisor->keep_beside(TwoHosts::kVm, {}, {}, true);
  world.warm();
  world.set_fate([&](const Moment& moment) {
    if (moment.kind != Moment::Kind::kRequest || moment.what != "released") return Verdict{};
    EXPECT_FALSE(world.source.hypervisor->starts_at_boot(TwoHosts::kVm)) << "it would be started twice at boot";
    if (const auto shadow = world.qemu(world.standby)) shadow->die();
    return Verdict{};
  });
  EXPECT_EQ(cut_over().outcome(), v1::OUTCOME_REFUSED);
  world.set_fate({});
  EXPECT_TRUE(world.until([&] { return world.source.hypervisor->starts_at_boot(TwoHosts::kVm); }, 10s))
      << world.describe();
}

TEST_F(DefinitionTest, AutostartComesBackAfterACrashBetweenWithdrawalAndPromise) {
  world.source.hypervisor->keep_beside(TwoHosts::kVm, {}, {}, true);
  world.warm();
  bool crashed = false;
  world.set_fate([&](const Moment&) {
    if (!crashed && !world.source.hypervisor->starts_at_boot(TwoHosts::kVm)) {
      crashed = true;
      world.restart(world.source, 300ms);
    }
    return Verdict{};
  });
  world.cutover(world.source, world.standby);
  world.pass(1s);
  world.set_fate({});
  EXPECT_TRUE(crashed);
  EXPECT_TRUE(world.until(
      [&] {
        auto& owner = world.runs(world.source) ? world.source : world.standby;
        return owner.hypervisor->starts_at_boot(TwoHosts::kVm);
      },
      60s, 10ms))
      << world.describe();
  EXPECT_NE(world.source.hypervisor->starts_at_boot(TwoHosts::kVm),
            world.standby.hypervisor->starts_at_boot(TwoHosts::kVm));
}

TEST_F(DefinitionTest, AShadowOfAnEarlierLifeIsComparedWithWhatItWasMadeOf) {
  world.warm();
  const auto shadow = world.qemu(world.standby);
  world.crash(world.source);
  disks({kBase, kOverlay});
  world.start(world.source);
  ASSERT_TRUE(world.until([&] { return anew(shadow); }, 90s, 20ms)) << world.describe();
  EXPECT_EQ(cut_over().outcome(), v1::OUTCOME_MOVED);
}

}  // namespace
}  // namespace umbra::agent::test
