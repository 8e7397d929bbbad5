#include "controller/brain/brain.hpp"

#include <gmock/gmock.h>

#include "controller/tests/pictures.hpp"

namespace umbra::controller {
namespace {

using testing::HasSubstr;

BrainSettings quick() {
  BrainSettings settings;
  settings.confirm_k = 1;
  settings.confirm_n = 1;
  settings.memory_reserve = mebibytes(256);
  return settings;
}

class BrainTest : public testing::Test {
 protected:
  explicit BrainTest(BrainSettings settings = quick()) : brain(settings) {}

  VmPicture& vm1() { return picture.vms.at("uuid-vm1"); }
  void zone_a(double health) { picture.zones["a"] = {health, "set by a test"}; }
  Verdict tick() {
    picture.steady += 5s;
    picture.now += 5000;
    auto verdicts = brain.tick(picture);
    for (auto& verdict : verdicts) {
      if (verdict.decision) decisions.push_back(*verdict.decision);
      if (verdict.vm_uuid == "uuid-vm1") return verdict;
    }
    ADD_FAILURE() << "no verdict on vm1";
    return {};
  }
  /// The shadow becomes what the verdict asks for.
  void obey(const Verdict& verdict) {
    const bool hot = verdict.assessment.tier == v1::TIER_HOT;
    vm1().shadow = make_shadow(vm1(), verdict.assessment.standby, verdict.assessment.tier,
                               hot ? v1::SHADOW_PHASE_HOT : v1::SHADOW_PHASE_WARM);
  }

  Picture picture = make_picture();
  Brain brain;
  std::vector<v1::Decision> decisions;
};

TEST_F(BrainTest, LeavesACalmFleetAlone) {
  for (int i = 0; i < 10; ++i) EXPECT_EQ(tick().assessment.tier, v1::TIER_PROFILE);
  EXPECT_TRUE(decisions.empty()) << "no decision is stored where nothing changes";
}

TEST_F(BrainTest, WarmsTheShadowAsTheProbabilityRises) {
  for (const auto& [health, tier] : {std::pair{0.95, v1::TIER_PROFILE}, std::pair{0.85, v1::TIER_STAGED},
                                     std::pair{0.6, v1::TIER_WARM}, std::pair{0.35, v1::TIER_HOT}}) {
    zone_a(health);
    const auto verdict = tick();
    EXPECT_EQ(verdict.assessment.tier, tier) << "health " << health;
    EXPECT_FALSE(verdict.assessment.cutover);
  }
  EXPECT_EQ(decisions.size(), 3u);
  EXPECT_EQ(decisions.back().action(), "tier hot on host3");
  EXPECT_THAT(decisions.back().reason(), HasSubstr("65 % to leave host1; zone health 65 %"));
}

TEST_F(BrainTest, CutsOverOnlyOnceTheShadowIsWarm) {
  zone_a(0.1);
  auto verdict = tick();
  EXPECT_FALSE(verdict.assessment.cutover);
  EXPECT_EQ(verdict.assessment.tier, v1::TIER_HOT);
  EXPECT_EQ(verdict.decision->action(), "hold back: its shadow on host3 is not warm yet");
  obey(verdict);
  verdict = tick();
  EXPECT_TRUE(verdict.assessment.cutover);
  EXPECT_EQ(verdict.decision->action(), "cutover to host3");
}

TEST_F(BrainTest, LeavesCutoversToTheOperatorWhenTold) {
  auto settings = quick();
  settings.automatic = false;
  brain = Brain(settings);
  zone_a(0.1);
  obey(tick());
  EXPECT_FALSE(tick().assessment.cutover);
  EXPECT_EQ(decisions.back().action(), "hold back: automatic cutover is off");
}

TEST_F(BrainTest, NeverPutsTheShadowIntoTheTroubledZone) {
  zone_a(0.5);
  for (auto& [name, host] : picture.hosts)
    if (host.zone == "a") host.memory_free = gibibytes(64);
  EXPECT_EQ(tick().assessment.standby, "host3");
}

TEST_F(BrainTest, StaysWithAShadowsHostWhileItWillDo) {
  zone_a(0.5);
  obey(tick());
  picture.hosts["host4"].memory_free = gibibytes(64);
  EXPECT_EQ(tick().assessment.standby, "host3") << "a better score is no reason to copy all memory again";
  picture.hosts["host3"].memory_free = {};
  vm1().shadow.reset();
  EXPECT_EQ(tick().assessment.standby, "host4");
}

TEST_F(BrainTest, GivesAShadowsHostAMomentToRestart) {
  using Trouble = void (*)(HostPicture&);
  for (const Trouble trouble : {Trouble{[](HostPicture& host) { host.up = false; }},
                                Trouble{[](HostPicture& host) { host.hypervisor_up = false; }},
                                Trouble{[](HostPicture& host) { host.proven = false; }}}) {
    picture = make_picture();
    brain = Brain(quick());
    zone_a(0.1);
    obey(tick());
    const auto host3 = picture.hosts["host3"];
    for (int restarts = 0; restarts < 3; ++restarts) {
      trouble(picture.hosts["host3"]);
      for (int ticks = 0; ticks < 2; ++ticks) {
        const auto verdict = tick();
        EXPECT_EQ(verdict.assessment.standby, "host3") << "all its memory would have to be copied again";
        EXPECT_FALSE(verdict.assessment.cutover);
      }
      picture.hosts["host3"] = host3;
      EXPECT_TRUE(tick().assessment.cutover);
    }
    trouble(picture.hosts["host3"]);
    for (int ticks = 0; ticks < 3; ++ticks) tick();
    EXPECT_EQ(tick().assessment.standby, "host4") << "that was no restart";
  }
}

TEST_F(BrainTest, SaysWhyNoHostWillDo) {
  zone_a(0.5);
  picture.hosts["host3"].memory_free = mebibytes(300);
  picture.hosts["host4"].proven = false;
  picture.hosts["host4"].proof_detail = "QEMU 7.2 is too old";
  const auto verdict = tick();
  EXPECT_EQ(verdict.assessment.tier, v1::TIER_PROFILE);
  ASSERT_TRUE(verdict.decision);
  EXPECT_EQ(verdict.decision->action(), "hold back: no host for its shadow");
  EXPECT_THAT(verdict.decision->reason(), HasSubstr("host2 is in the troubled zone a"));
  EXPECT_THAT(verdict.decision->reason(), HasSubstr("host3 has 44.0 MiB for a shadow that needs 320 MiB"));
  EXPECT_THAT(verdict.decision->reason(), HasSubstr("QEMU 7.2 is too old"));
  ASSERT_TRUE(verdict.assessment.obstacle);
  EXPECT_THAT(verdict.assessment.obstacle->message, HasSubstr("no host for its shadow: host2 is in the troubled"));
  EXPECT_THAT(verdict.assessment.obstacle->remedy, HasSubstr("--to"));
}

TEST_F(BrainTest, DoesNotPromiseTheSameRoomTwice) {
  zone_a(0.5);
  picture.vms["uuid-vm2"] = make_vm("vm2", "host1");
  for (const auto* name : {"host3", "host4"})
    picture.hosts[name].memory_free = mebibytes(256 + 320 + 100);  // reserve, one shadow, not two
  std::set<std::string> hosts;
  for (const auto& verdict : brain.tick(picture)) hosts.insert(verdict.assessment.standby);
  EXPECT_EQ(hosts, (std::set<std::string>{"host3", "host4"}));
}

TEST_F(BrainTest, MovesForAShortageToWhereDemandFits) {
  vm1().demand = steady_demand(1.2);
  auto& neighbour = picture.vms["uuid-vm0"] = make_vm("vm0", "host1");
  neighbour.demand = steady_demand(1.2);
  neighbour.memory = gibibytes(1);
  auto& other = picture.vms["uuid-vm2"] = make_vm("vm2", "host2");
  other.demand = steady_demand(1.5);
  const auto verdict = tick();
  EXPECT_EQ(verdict.assessment.probability, 1);
  EXPECT_EQ(verdict.assessment.standby, "host3") << "host2 would run short itself";
}

TEST_F(BrainTest, HoldsBackWhereNothingIsGained) {
  vm1().demand = steady_demand(2.5);  // more than any host has
  vm1().pin = Pin{"uuid-vm1", "host3", v1::TIER_WARM, 0};
  picture.zones["a"] = {0.1, "x"};
  picture.zones["b"] = {0.1, "y"};
  obey(tick());
  EXPECT_FALSE(tick().assessment.cutover);
  EXPECT_EQ(decisions.back().action(), "hold back: too little to gain on host3");
}

TEST_F(BrainTest, RestsAfterAMove) {
  zone_a(0.1);
  obey(tick());
  EXPECT_TRUE(tick().assessment.cutover);
  brain.moved("uuid-vm1", picture.steady);
  vm1().host = "host3";
  vm1().shadow.reset();
  zone_a(1);
  picture.zones["b"] = {0.1, "now this one"};
  obey(tick());
  EXPECT_FALSE(tick().assessment.cutover);
  EXPECT_EQ(decisions.back().action(), "hold back: cooldown after its last move");
  picture.steady += 5min;
  EXPECT_TRUE(tick().assessment.cutover);
}

TEST_F(BrainTest, MovesOnlySoManyAtOnce) {
  zone_a(0.1);
  for (int i = 1; i <= 4; ++i) {
    const auto name = fmt::format("vm{}", i);
    auto& vm = picture.vms["uuid-" + name] = make_vm(name, "host1");
    vm.shadow = make_shadow(vm, i % 2 == 0 ? "host3" : "host4", v1::TIER_HOT, v1::SHADOW_PHASE_HOT);
  }
  vm1().moving = true;
  picture.moves = {{"uuid-vm1", "host1", "host4"}};
  int cutovers = 0;
  for (const auto& verdict : brain.tick(picture)) cutovers += verdict.assessment.cutover;
  EXPECT_EQ(cutovers, 1) << "two out of host1, one of which is going on already";
}

TEST_F(BrainTest, LeavesAMovingVmAlone) {
  zone_a(0.1);
  vm1().moving = true;
  EXPECT_TRUE(brain.tick(picture).empty());
  EXPECT_NEAR(brain.assessment("uuid-vm1")->probability, 0.9, 1e-9);
}

TEST_F(BrainTest, KeepsAPinWhateverTheProbability) {
  vm1().pin = Pin{"uuid-vm1", "", v1::TIER_WARM, 7000};
  const auto verdict = tick();
  EXPECT_EQ(verdict.assessment.tier, v1::TIER_WARM);
  EXPECT_EQ(verdict.refresh_interval_ms, 7000);
  EXPECT_THAT(verdict.decision->reason(), HasSubstr("pinned at tier warm"));
  vm1().pin->standby = "host2";
  EXPECT_EQ(tick().assessment.standby, "host2");
}

TEST_F(BrainTest, AvoidsAHostThatFailedForAWhile) {
  zone_a(0.5);
  EXPECT_EQ(tick().assessment.standby, "host3");
  brain.failed_there("uuid-vm1", "host3", picture.steady);
  EXPECT_EQ(tick().assessment.standby, "host4");
}

TEST_F(BrainTest, SaysThatADownHostCannotBeLeft) {
  zone_a(0.5);
  obey(tick());
  picture.hosts["host1"].up = false;
  const auto verdict = tick();
  EXPECT_EQ(verdict.assessment.standby, "host3") << "unknown is not gone";
  EXPECT_EQ(verdict.decision->action(), "hold back: host1 is down");
  ASSERT_TRUE(verdict.assessment.obstacle);
  EXPECT_THAT(verdict.assessment.obstacle->message, HasSubstr("host1 is down"));
}

TEST_F(BrainTest, SaysThatAVmMustRunToHaveAShadow) {
  vm1().pin = Pin{"uuid-vm1", "host3", v1::TIER_WARM, 0};
  EXPECT_FALSE(tick().assessment.obstacle);
  vm1().running = false;
  const auto verdict = tick();
  EXPECT_EQ(verdict.decision->action(), "hold back: it does not run");
  ASSERT_TRUE(verdict.assessment.obstacle);
  EXPECT_EQ(verdict.assessment.obstacle->text(), "it does not run (start it, on host1: virsh start vm1)");
  brain.begin_afresh("uuid-vm1");
  EXPECT_FALSE(brain.assessment("uuid-vm1")->obstacle);
}

TEST_F(BrainTest, RefusesAVmThatCannotHaveAShadow) {
  zone_a(0.1);
  vm1().refusal = "it has a host device";
  const auto verdict = tick();
  EXPECT_EQ(verdict.assessment.tier, v1::TIER_PROFILE);
  EXPECT_THAT(verdict.decision->reason(), HasSubstr("it has a host device"));
}

TEST_F(BrainTest, GivesUpAFoundShadowOnlyAfterConfirmedCalm) {
  auto settings = quick();
  settings.confirm_k = 2;
  settings.confirm_n = 3;
  brain = Brain(settings);
  vm1().shadow = make_shadow(vm1(), "host4", v1::TIER_WARM, v1::SHADOW_PHASE_WARM);
  EXPECT_EQ(tick().assessment.standby, "host4");
  EXPECT_EQ(tick().assessment.standby, "host4");
  EXPECT_EQ(tick().assessment.tier, v1::TIER_PROFILE);
}

TEST_F(BrainTest, HasHysteresis) {
  zone_a(0.69);
  EXPECT_EQ(tick().assessment.tier, v1::TIER_WARM);
  zone_a(0.74);  // 26 %: below the threshold, within the hysteresis
  EXPECT_EQ(tick().assessment.tier, v1::TIER_WARM);
  zone_a(0.76);
  EXPECT_EQ(tick().assessment.tier, v1::TIER_STAGED);
}

class FlappingTest : public BrainTest {
 protected:
  static BrainSettings settings() {
    BrainSettings settings;
    settings.confirm_k = 3;
    settings.confirm_n = 5;
    return settings;
  }
  FlappingTest() : BrainTest(settings()) {}
};

TEST_F(FlappingTest, ASingleSpikeChangesNothing) {
  tick();
  zone_a(0.1);
  EXPECT_EQ(tick().assessment.tier, v1::TIER_PROFILE);
  zone_a(1);
  for (int i = 0; i < 5; ++i) EXPECT_EQ(tick().assessment.tier, v1::TIER_PROFILE);
  EXPECT_TRUE(decisions.empty());
}

TEST_F(FlappingTest, ASignalThatFlapsSettles) {
  for (int i = 0; i < 30; ++i) {
    zone_a(i % 2 == 0 ? 0.6 : 1);
    tick();
  }
  EXPECT_EQ(decisions.size(), 1u) << "warm, once";
}

TEST_F(FlappingTest, TicksInQuickSuccessionAreOneLook) {
  zone_a(0.6);
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(brain.tick(picture).front().assessment.tier, v1::TIER_PROFILE);
    picture.steady += 100ms;
  }
}

TEST_F(FlappingTest, ThreeOfFiveLooksRaiseAndFiveLower) {
  zone_a(0.6);
  EXPECT_EQ(tick().assessment.tier, v1::TIER_PROFILE);
  EXPECT_EQ(tick().assessment.tier, v1::TIER_PROFILE);
  EXPECT_EQ(tick().assessment.tier, v1::TIER_WARM);
  zone_a(1);
  for (int i = 0; i < 4; ++i) EXPECT_EQ(tick().assessment.tier, v1::TIER_WARM);
  EXPECT_EQ(tick().assessment.tier, v1::TIER_PROFILE);
}

}  // namespace
}  // namespace umbra::controller
