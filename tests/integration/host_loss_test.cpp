// A whole host dies with the guest on it: fence, restart, and what the host finds when it comes back.
#include <gmock/gmock.h>

#include "tests/integration/fleet.hpp"

namespace umbra::test {
namespace {

using testing::ContainsRegex;
using testing::HasSubstr;
using testing::IsEmpty;

class HostLoss : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    fleet_ = std::make_unique<Fleet>(Words{"--hosts", "2", "--set", "controller.brain.automatic=false"});
  }
  static void TearDownTestSuite() { fleet_.reset(); }
  void SetUp() override { ASSERT_TRUE(fleet_) << "the lab did not come up"; }
  static bool up(const std::string& host) {
    for (const auto& seen : fleet_->list("hosts"))
      if (seen.at("node").at("name").as_string() == host) return seen.at("up").as_bool();
    return false;
  }
  static void power(const std::string& host, const std::string& how) { fleet_->lab({"power", host, how}); }
  /// host2 takes the VM over on a person's word.
  static void take_over(const std::string& vm) {
    const auto fenced = fleet_->ctl({"fence", "host1", "--confirmed", "--reason", "its plug was pulled"});
    ASSERT_EQ(fenced.status, 0) << fenced.err;
    const auto restarted = fleet_->ctl({"restart", vm, "--on", "host2"});
    ASSERT_EQ(restarted.status, 0) << restarted.err;
    ASSERT_EQ(fleet_->domain("host2", vm), "running");
  }
  static void await_unfenced() {
    await("host1 has let go of it, and is unfenced", [] {
      return fleet_->ask({"fence", "--list"}).at("fences").as_array().empty();
    });
  }
  static std::unique_ptr<Fleet> fleet_;
};

std::unique_ptr<Fleet> HostLoss::fleet_;

TEST_F(HostLoss, TheVmOfADeadHostRunsElsewhereOnceThatIsFencedAndStaysOneWhenItComesBack) {
  const auto address = fleet_->add_vm("web1", "host1");
  fleet_->virsh("host1", {"autostart", "web1"});
  fleet_->keep("web1", "host2");
  power("host1", "off");
  await("its loss is known", [] { return !up("host1"); });

  const auto early = fleet_->ctl({"restart", "web1"});
  EXPECT_NE(early.status, 0) << "a silent host is not a dead one";
  EXPECT_THAT(early.err, HasSubstr("umbractl fence host1"));
  const auto without = fleet_->ctl({"fence", "host1"});
  EXPECT_NE(without.status, 0);
  EXPECT_THAT(without.err, HasSubstr("--confirmed"));

  take_over("web1");
  await("routes follow it", [&] { return fleet_->route("edge1", address).find("10.77.0.2") != std::string::npos; });

  power("host1", "on");
  EXPECT_NE(fleet_->domain("host1", "web1"), "running") << "libvirt's autostart was withheld";
  await_unfenced();
  EXPECT_THAT(fleet_->domain("host1", "web1"), IsEmpty()) << "undefined there";
  EXPECT_EQ(fleet_->domain("host2", "web1"), "running");
  EXPECT_EQ(fleet_->vm("web1").at("host").as_string(), "host2");
  fleet_->lab({"vm", "stop", "web1"});
}

TEST_F(HostLoss, AHostThatBootsAgainRunsItsOwnVmsAndNobodyElses) {
  fleet_->add_vm("mine1", "host1");
  const auto address = fleet_->add_vm("web2", "host1");
  for (const char* vm : {"mine1", "web2"}) fleet_->virsh("host1", {"autostart", vm});
  power("host1", "off");
  await("its loss is known", [] { return !up("host1"); });
  take_over("web2");
  power("host1", "on");
  EXPECT_EQ(fleet_->domain("host1", "mine1"), "running") << "the guard made its tap";
  await_unfenced();
  EXPECT_EQ(fleet_->domain("host2", "web2"), "running");
  await("its routes lead to host2",
        [&] { return fleet_->route("edge1", address).find("10.77.0.2") != std::string::npos; });
  EXPECT_THAT(fleet_->domain("host1", "web2"), IsEmpty());
  for (const char* vm : {"mine1", "web2"}) fleet_->lab({"vm", "stop", vm});
}

TEST_F(HostLoss, WithoutTheControllerAHostStartsNothingThatMayHaveBeenTakenOver) {
  fleet_->add_vm("web3", "host1");
  fleet_->virsh("host1", {"autostart", "web3"});
  power("host1", "off");
  await("its loss is known", [] { return !up("host1"); });
  take_over("web3");
  fleet_->lab({"service", "controller", "controller", "stop"});
  power("host1", "on");
  EXPECT_EQ(fleet_->domain("host1", "web3"), "shut off") << "its policy is leave, but a person may have started it";
  EXPECT_THAT(fleet_->virsh("host1", {"dominfo", "web3"}), ContainsRegex("Autostart: +disable"))
      << "it is shut off by the guard's doing";
  fleet_->lab({"service", "controller", "controller", "start"});
  await_unfenced();
  EXPECT_EQ(fleet_->domain("host2", "web3"), "running");
  EXPECT_THAT(fleet_->domain("host1", "web3"), IsEmpty());
  fleet_->lab({"vm", "stop", "web3"});
}

}  // namespace
}  // namespace umbra::test
