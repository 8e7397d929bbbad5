// What virsh and backups do to a guest while its shadow is held, on real libvirt and QEMU.
#include <gmock/gmock.h>

#include "tests/integration/fleet.hpp"

namespace umbra::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

class Definition : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    fleet_ = std::make_unique<Fleet>();
    fleet_->lab(
        {"vm", "add", "web1", "--memory", "128", "--host", "host1", "--canary", "16:64", "--disk", "shared:64M"});
  }
  static void TearDownTestSuite() { fleet_.reset(); }
  void SetUp() override { ASSERT_TRUE(fleet_) << "the lab did not come up"; }

  static std::string home() { return std::string(fleet_->vm("web1").at("host").as_string()); }
  static std::string other(const std::string& host) { return host == "host1" ? "host2" : "host1"; }
  static std::string image(const std::string& host) {
    const auto listed = fleet_->virsh(host, {"domblklist", "web1"});
    const auto slash = listed.find('/');
    return slash == std::string::npos ? "" : listed.substr(slash, listed.find('\n', slash) - slash);
  }
  static void warm_to(const std::string& to) { fleet_->keep("web1", to, "warm"); }
  /// The shadow on that host is another one than `qemu`, and warm.
  static void await_anew(const std::string& to, const std::string& qemu) {
    await(
        "the shadow is made anew",
        [&] {
          return fleet_->shadow_phase("web1") == "warm" && fleet_->domain(to, "web1") == "paused" &&
                 fleet_->qemu(to, "web1") != qemu;
        },
        90s);
  }
  static void moves_to(const std::string& to) {
    const auto done = fleet_->ctl({"cutover", "web1"});
    ASSERT_EQ(done.status, 0) << done.err;
    ASSERT_EQ(home(), to);
    EXPECT_EQ(fleet_->damage("web1"), 0);
    fleet_->ctl({"shadow", "drop", "web1"});
    await("the old host has let go of it", [&] { return fleet_->domain(other(to), "web1").empty(); });
  }

  static std::unique_ptr<Fleet> fleet_;
};

std::unique_ptr<Fleet> Definition::fleet_;

TEST_F(Definition, AGuestNeverWakesUpOnTheImageBeforeASnapshot) {
  const auto from = home(), to = other(from);
  warm_to(to);
  const auto shadow = fleet_->qemu(to, "web1");
  const auto before = image(from);
  const auto overlay = before + ".overlay";
  fleet_->virsh(from, {"snapshot-create-as", "web1", "backup", "--disk-only", "--no-metadata", "--diskspec",
                       "vda,file=" + overlay});
  const auto refused = fleet_->ctl({"cutover", "web1"});  // at once: nothing has looked yet
  if (refused.status == 0)
    EXPECT_EQ(image(home()), overlay) << "moved without its newest writes";
  else
    EXPECT_EQ(home(), from);
  await_anew(to, shadow);
  moves_to(to);
  EXPECT_EQ(image(to), overlay);

  // And back, after the backup has merged its overlay.
  warm_to(from);
  const auto second = fleet_->qemu(from, "web1");
  fleet_->virsh(to, {"blockcommit", "web1", "vda", "--active", "--pivot", "--wait"});
  await_anew(from, second);
  moves_to(from);
  EXPECT_EQ(image(from), before);
}

TEST_F(Definition, WhatLibvirtKeepsOfAGuestFollowsItAndNothingStaysBehind) {
  const auto from = home(), to = other(from);
  fleet_->virsh(from, {"autostart", "web1"});
  warm_to(to);
  const auto shadow = fleet_->qemu(to, "web1");
  fleet_->virsh(from, {"desc", "web1", "--title", "--live", "--config", "--new-desc", "a new title"});
  fleet_->virsh(from,
                {"metadata", "web1", "urn:note", "--live", "--config", "--key", "note", "--set", "<note>kept</note>"});
  fleet_->virsh(from, {"setvcpus", "web1", "2", "--config", "--maximum"});
  fleet_->await_refresh("web1");
  EXPECT_EQ(fleet_->qemu(to, "web1"), shadow) << "the shadow was made anew for what can be carried";
  moves_to(to);
  await("it is defined there", [&] {
    return fleet_->virsh(to, {"dominfo", "web1"}).find("Autostart:      enable") != std::string::npos;
  });
  EXPECT_THAT(fleet_->virsh(to, {"desc", "web1", "--title"}), HasSubstr("a new title"));
  EXPECT_THAT(fleet_->virsh(to, {"metadata", "web1", "urn:note"}), HasSubstr("kept"));
  EXPECT_THAT(fleet_->virsh(to, {"dumpxml", "web1", "--inactive"}),
              AllOf(HasSubstr("a new title"), HasSubstr(">2</vcpu>"), Not(HasSubstr("[umbra]"))));
  EXPECT_THAT(fleet_->in(from, {"ls", "/etc/libvirt/qemu/autostart", "/etc/libvirt/qemu"}), Not(HasSubstr("web1")));
}

TEST_F(Definition, SnapshotsAndCheckpointsFollowAndDoNotBlockTheWayBack) {
  const auto from = home(), to = other(from);
  fleet_->virsh(from,
                {"snapshot-create-as", "web1", "s1", "--disk-only", "--diskspec", "vda,file=" + image(from) + ".s1"});
  fleet_->virsh(from, {"checkpoint-create-as", "web1", "c1"});
  warm_to(to);
  moves_to(to);
  await("its snapshot is there", [&] {
    return fleet_->virsh(to, {"snapshot-list", "web1", "--name"}).find("s1") != std::string::npos;
  });
  EXPECT_THAT(fleet_->virsh(to, {"checkpoint-list", "web1", "--name"}), HasSubstr("c1"));
  EXPECT_THAT(fleet_->virsh(to, {"snapshot-current", "web1", "--name"}), HasSubstr("s1"));
  warm_to(from);
  moves_to(from);
  await("and back", [&] {
    return fleet_->virsh(from, {"snapshot-list", "web1", "--name"}).find("s1") != std::string::npos;
  });
}

}  // namespace
}  // namespace umbra::test
