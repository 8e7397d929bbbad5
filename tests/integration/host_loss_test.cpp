// A whole host dies with the guest on it: fence, restart, and what the host finds when it comes back.
#include <gmock/gmock.h>

#include "tests/integration/fleet.hpp"

namespace umbra::test {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

class HostLoss : public testing::Test {
 protected:
  static void SetUpTestSuite() { fleet_ = std::make_unique<Fleet>(Words{"--hosts", "2"}); }
  static void TearDownTestSuite() { fleet_.reset(); }
  void SetUp() override { ASSERT_TRUE(fleet_) << "the lab did not come up"; }
  static bool up(const std::string& host) {
    for (const auto& seen : fleet_->list("hosts"))
      if (seen.at("node").at("name").as_string() == host) return seen.at("up").as_bool();
    return false;
  }
  /// All that runs on the host ends at once; its disk stays.
  static void lose(const std::string& host, const std::string& vm) {
    fleet_->lab({"service", host, "agent", "kill"});
    fleet_->lab({"service", host, "libvirtd", "kill"});
    fleet_->in(host, {"sh", "-c", "pkill -KILL -f '[g]uest=" + vm + ",' || :"});
  }
  /// As systemd would: the guard, then libvirt, which starts what has autostart, then the agent.
  static void boot(const std::string& host) {
    fleet_->in(host, {"rm", "-f", "/run/libvirt/qemu/autostarted"});  // libvirt's mark that it has started this boot's
    fleet_->in(host, {UMBRA_BIN "/umbra-agentd", "--guard", "--config",
                      Fleet::directory_of_this_process() + "/nodes/" + host + "/umbra.toml"});
    fleet_->lab({"service", host, "libvirtd", "start"});
    fleet_->lab({"service", host, "agent", "start"});
  }
  static std::unique_ptr<Fleet> fleet_;
};

std::unique_ptr<Fleet> HostLoss::fleet_;

TEST_F(HostLoss, TheVmOfADeadHostRunsElsewhereOnceThatIsFencedAndStaysOneWhenItComesBack) {
  const auto address = fleet_->add_vm("web1", "host1");
  fleet_->virsh("host1", {"autostart", "web1"});
  fleet_->keep("web1", "host2");
  lose("host1", "web1");
  await("its loss is known", [] { return !up("host1"); });

  const auto early = fleet_->ctl({"restart", "web1"});
  EXPECT_NE(early.status, 0) << "a silent host is not a dead one";
  EXPECT_THAT(early.err, HasSubstr("umbractl fence host1"));
  const auto without = fleet_->ctl({"fence", "host1"});
  EXPECT_NE(without.status, 0);
  EXPECT_THAT(without.err, HasSubstr("--confirmed"));

  const auto fenced = fleet_->ctl({"fence", "host1", "--confirmed", "--reason", "its plug was pulled"});
  ASSERT_EQ(fenced.status, 0) << fenced.err;
  const auto restarted = fleet_->ctl({"restart", "web1", "--on", "host2"});
  ASSERT_EQ(restarted.status, 0) << restarted.err;
  EXPECT_EQ(fleet_->domain("host2", "web1"), "running");
  await("routes follow it", [&] { return fleet_->route("edge1", address).find("10.77.0.2") != std::string::npos; });

  boot("host1");
  EXPECT_NE(fleet_->domain("host1", "web1"), "running") << "libvirt's autostart was withheld";
  await("host1 has let go of it, and is unfenced", [] {
    return fleet_->ask({"fence", "--list"}).at("fences").as_array().empty();
  });
  EXPECT_THAT(fleet_->domain("host1", "web1"), IsEmpty()) << "undefined there";
  EXPECT_EQ(fleet_->domain("host2", "web1"), "running");
  EXPECT_EQ(fleet_->vm("web1").at("host").as_string(), "host2");
  fleet_->lab({"vm", "stop", "web1"});
}

}  // namespace
}  // namespace umbra::test
