// What a host lets go of before Umbra is removed from it.
#include <gmock/gmock.h>

#include "agentd/tests/two_hosts.hpp"

namespace umbra::agent::test {
namespace {

using namespace std::chrono_literals;
using shadow::Phase;
using testing::HasSubstr;

TEST(Release, OfASourceDropsItsShadowsAndTheGuestRunsOn) {
  TwoHosts world;
  world.warm();
  const auto released = world.ask(&world.source, world.source.process->host()->release(60s), 90s);
  EXPECT_TRUE(released) << released.error().text();
  EXPECT_EQ(world.phase(world.source), Phase::kDropped);
  EXPECT_TRUE(world.until([&] { return world.qemu(world.standby) == nullptr; }, 10s)) << world.describe();
  EXPECT_TRUE(world.runs(world.source));
  EXPECT_EQ(world.route(world.edge), "host1");
  EXPECT_TRUE(world.source.kernel.link(TwoHosts::kTap)) << "the guest has it open";
}

TEST(Release, OfAStandbyEndsWhatItHoldsAndTakesNothingNew) {
  TwoHosts world;
  world.warm();
  const auto released = world.ask(&world.standby, world.standby.process->host()->release(60s), 90s);
  EXPECT_TRUE(released) << released.error().text();
  EXPECT_EQ(world.qemu(world.standby), nullptr);
  world.pass(30s, 10ms);  // its source tries again, and is told why not
  EXPECT_EQ(world.qemu(world.standby), nullptr) << world.describe();
  EXPECT_THAT(world.shadow(world.source).detail(), HasSubstr("being removed"));
  EXPECT_TRUE(world.runs(world.source));
}

TEST(Release, WaitsForACutoverAndSaysWhatItStillHolds) {
  TwoHosts world;
  world.warm();
  // The standby answers nothing any more once the source has promised: nobody knows who runs.
  const auto move = world.cutover(world.source, world.standby);
  ASSERT_TRUE(world.until([&] { return world.phase(world.source) == Phase::kPromised; }, 10s)) << world.describe();
  world.crash(world.standby);
  const auto released = world.ask(&world.source, world.source.process->host()->release(5s), 60s);
  ASSERT_FALSE(released);
  EXPECT_EQ(released.error().code, Errc::kTimeout);
  EXPECT_THAT(released.error().text(), HasSubstr("promised"));
  world.start(world.standby);
  EXPECT_TRUE(world.until([&] { return world.disorder().empty(); }, 60s, 10ms)) << world.describe();
}

TEST(Release, OfAHostWhoseLibvirtIsAwayFailsAndSaysSo) {
  TwoHosts world;
  world.warm();
  world.source.hypervisor->set_connected(false);
  world.restart(world.source, 100ms);
  world.pass(500ms);
  const auto released = world.ask(&world.source, world.source.process->host()->release(3s), 30s);
  ASSERT_FALSE(released);
  EXPECT_THAT(released.error().text(), HasSubstr("libvirt is not reachable"));
  EXPECT_TRUE(world.runs(world.source));
}

}  // namespace
}  // namespace umbra::agent::test
