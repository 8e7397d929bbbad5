// One guest through what happens to shadows: cutover, pauses, shutdown, a libvirtd that restarts, routes that are
// wrong.
#include <gmock/gmock.h>

#include <fstream>
#include <thread>

#include "tests/integration/fleet.hpp"

namespace umbra::test {
namespace {

using testing::AllOf;
using testing::AnyOf;
using testing::HasSubstr;
using testing::Not;

class Life : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    fleet_ = std::make_unique<Fleet>();
    address_ = fleet_->add_vm("web1", "host1");
  }
  static void TearDownTestSuite() { fleet_.reset(); }

  void SetUp() override { ASSERT_TRUE(fleet_) << "the lab did not come up"; }

  static std::string home() { return std::string(fleet_->vm("web1").at("host").as_string()); }
  static std::string other(const std::string& host) { return host == "host1" ? "host2" : "host1"; }
  static std::string underlay(const std::string& host) { return host == "host1" ? "10.77.0.1" : "10.77.0.2"; }

  /// Reboots web1 while its shadow is that warm, and moves it once it has a shadow again.
  static void reboots(const std::string& tier, const std::function<void(const std::string& host)>& reboot) {
    const auto from = home(), to = other(from);
    fleet_->keep("web1", to, tier);
    await("its shadow is " + tier, [&] { return fleet_->shadow_phase("web1") == tier; });
    const auto qemu = fleet_->qemu(from, "web1");
    const auto before = fleet_->console("web1").size();
    reboot(from);
    await("it boots again and its canary works", [&] {
      const auto said = fleet_->console("web1");
      const auto up = said.find("guest-up", before);
      return up != std::string::npos && said.find("canary writes", up) != std::string::npos;
    });
    EXPECT_EQ(fleet_->domain(from, "web1"), "running");
    EXPECT_EQ(fleet_->qemu(from, "web1"), qemu) << "it was started anew";
    await("its shadow is " + tier + " again", [&] { return fleet_->shadow_phase("web1") == tier; });

    moves_whole(*fleet_, "web1", to);
  }

  static std::unique_ptr<Fleet> fleet_;
  static std::string address_;
};

std::unique_ptr<Fleet> Life::fleet_;
std::string Life::address_;

TEST_F(Life, ACutoverMovesAGuestWholeAndLosesAtMostOnePacket) {
  const auto from = home(), to = other(from);
  fleet_->keep("web1", to, "hot");
  EXPECT_THAT(fleet_->virsh(from, {"desc", "web1"}), HasSubstr("umbractl shadow drop web1"));
  EXPECT_EQ(fleet_->domain(to, "web1"), "paused");

  Traffic traffic(*fleet_, "web1");
  const auto moved = fleet_->ask({"cutover", "web1"}).as_object();
  const auto seen = traffic.finish();

  EXPECT_EQ(moved.at("outcome").as_string(), "moved");
  EXPECT_EQ(moved.at("from").as_string(), from);
  EXPECT_EQ(moved.at("to").as_string(), to);
  EXPECT_GT(moved.at("blackout_ms").to_number<double>(), 0);
  EXPECT_GT(moved.at("reach_ms").to_number<double>(), moved.at("blackout_ms").to_number<double>());
  EXPECT_FALSE(moved.at("phases").as_array().empty());
  EXPECT_GT(seen.sent, 1000);
  EXPECT_LE(seen.lost, 1);
  EXPECT_TRUE(seen.session_survived) << seen.error;
  EXPECT_EQ(fleet_->damage("web1"), 0);

  EXPECT_EQ(fleet_->ctl({"shadow", "drop", "web1"}).status, 0);  // the operator's pin outlives the move
  await("the old host has let go of it", [&] { return fleet_->domain(from, "web1").empty(); });
  EXPECT_EQ(fleet_->domain(to, "web1"), "running");
  EXPECT_THAT(fleet_->virsh(to, {"dominfo", "web1"}), testing::ContainsRegex("Persistent: +yes"));
  EXPECT_THAT(fleet_->virsh(to, {"dumpxml", "--inactive", "web1"}), Not(HasSubstr("-incoming")));
  EXPECT_THAT(fleet_->route("edge1", address_), HasSubstr("via " + underlay(to)));
  EXPECT_THAT(fleet_->route(from, address_), HasSubstr("via " + underlay(to)));
}

TEST_F(Life, AGuestThatIsPausedInAWarmHoldStaysWhereItIsAndHasItsShadowOnceItRuns) {
  const auto from = home(), to = other(from);
  fleet_->keep("web1", to);
  fleet_->virsh(from, {"suspend", "web1"});
  std::this_thread::sleep_for(4s);  // time for what must not happen
  EXPECT_EQ(fleet_->domain(from, "web1"), "paused");
  EXPECT_THAT(fleet_->domain(to, "web1"), AnyOf("", "paused"));
  EXPECT_EQ(home(), from);

  fleet_->virsh(from, {"resume", "web1"});
  await(
      "it has a warm shadow again", [&] { return fleet_->shadow_phase("web1") == "warm"; }, 90s);
  EXPECT_EQ(fleet_->domain(from, "web1"), "running");
  EXPECT_EQ(fleet_->damage("web1"), 0);
}

TEST_F(Life, AHoldOutlivesLibvirtdOnBothSidesAndItsCutoverWorks) {
  const auto from = home(), to = other(from);
  fleet_->keep("web1", to);
  const auto before = fleet_->qemu(to, "web1");
  for (const auto& host : {from, to}) fleet_->lab({"service", host, "libvirtd", "restart"});
  await("both hosts are usable again", [&] { return fleet_->host_usable(from) && fleet_->host_usable(to); });
  fleet_->await_refresh("web1");
  EXPECT_EQ(fleet_->shadow_phase("web1"), "warm");
  EXPECT_EQ(fleet_->qemu(to, "web1"), before) << "it was built anew";

  moves_whole(*fleet_, "web1", to);
}

TEST_F(Life, HotPlugIsRefusedInTheHoldAndWorksOnceItIsDroppedAndTheDeviceMovesAlong) {
  const auto from = home(), to = other(from);
  fleet_->keep("web1", to);
  const auto device = Fleet::directory_of_this_process() + "/rng.xml";
  std::ofstream(device) << "<rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>";
  const Words attach{"exec", from, "--", "virsh", "attach-device", "web1", device, "--live"};
  EXPECT_NE(run(fleet_->lab_words(attach)).status, 0);
  EXPECT_THAT(fleet_->virsh(from, {"desc", "web1"}),
              AllOf(HasSubstr("hot-plug"), HasSubstr("refused until 'umbractl shadow drop web1'")));
  EXPECT_EQ(fleet_->shadow_phase("web1"), "warm");

  EXPECT_EQ(fleet_->ctl({"shadow", "drop", "web1"}).status, 0);
  fleet_->lab(attach);
  EXPECT_THAT(fleet_->virsh(from, {"dumpxml", "web1"}), HasSubstr("<rng "));

  fleet_->keep("web1", to);
  EXPECT_EQ(fleet_->ask({"cutover", "web1"}).at("outcome").as_string(), "moved");
  EXPECT_THAT(fleet_->virsh(to, {"dumpxml", "web1"}), HasSubstr("<rng "));
  EXPECT_EQ(fleet_->damage("web1"), 0);
  fleet_->ctl({"shadow", "drop", "web1"});
}

TEST_F(Life, AGuestThatRebootsInTheHoldIsWarmAgainByItselfAndMovesWhole) {
  reboots("warm", [](const auto&) { fleet_->lab({"vm", "tell", "web1", "reboot"}); });
  // libvirt stops the guest when it has shut down, resets it and lets it run.
  reboots("warm", [](const auto& host) { fleet_->virsh(host, {"reboot", "web1"}); });
}

// Without the agent letting go, the guest's stop would lift the hold, and libvirt could not let it run again.
TEST_F(Life, AGuestThatIsRebootedByItsPowerButtonInAHotHoldGoesOn) {
  for (int round = 0; round < 2; ++round)
    reboots("hot", [](const auto& host) { fleet_->virsh(host, {"reboot", "web1"}); });
}

TEST_F(Life, WrongRoutesOfItsOwnAreCorrectedAtTheStartAndForeignOnesAreLeftAlone) {
  const auto right = underlay(home()), wrong = underlay(other(home()));
  fleet_->in("edge1", {"ip", "route", "replace", address_ + "/32", "via", wrong, "proto", "117"});
  fleet_->in("edge1", {"ip", "route", "add", "10.50.9.8/32", "via", wrong, "proto", "117"});
  fleet_->in("edge1", {"ip", "route", "add", "10.50.9.9/32", "via", wrong, "proto", "static"});
  fleet_->lab({"service", "edge1", "agent", "restart"});

  await("the route leads to the guest again",
        [&] { return fleet_->route("edge1", address_).find("via " + right) != std::string::npos; });
  await("the route to nobody is gone", [&] { return fleet_->route("edge1", "10.50.9.8").empty(); });
  EXPECT_THAT(fleet_->route("edge1", "10.50.9.9"), HasSubstr("via " + wrong));
  fleet_->in("edge1", {"ip", "route", "delete", "10.50.9.9/32"});
}

TEST_F(Life, AGuestThatShutsDownInTheHoldLeavesBothSidesClean) {
  const auto address = fleet_->add_vm("brief", "host1");
  fleet_->keep("brief", "host2");
  fleet_->lab({"vm", "tell", "brief", "poweroff"});
  await("it is off, and stays defined", [&] { return fleet_->domain("host1", "brief") == "shut off"; });
  await("its shadow is gone", [&] { return fleet_->domain("host2", "brief").empty(); });
  EXPECT_THAT(fleet_->virsh("host1", {"dumpxml", "--inactive", "brief"}), Not(HasSubstr("-incoming")));
  EXPECT_THAT(fleet_->virsh("host1", {"desc", "brief"}), Not(HasSubstr("umbra")));
  await("nothing of its network is left on the standby host", [&] {
    return fleet_->in("host2", {"ip", "-4", "neighbour", "show", address}).find(" dev tap") == std::string::npos;
  });
  EXPECT_EQ(fleet_->ctl({"hosts"}).status, 0);
}

}  // namespace
}  // namespace umbra::test
