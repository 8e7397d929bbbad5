// What goes wrong is told with its remedy, and the guest that runs is left alone.
#include <gmock/gmock.h>

#include "tests/integration/fleet.hpp"

namespace umbra::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;

class Trouble : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    fleet_ = std::make_unique<Fleet>(Words{"--hosts", "3", "--host-capacity", "host3:memory=300MiB"});
    fleet_->add_vm("web1", "host1");
  }
  static void TearDownTestSuite() { fleet_.reset(); }
  void SetUp() override { ASSERT_TRUE(fleet_) << "the lab did not come up"; }
  void TearDown() override {
    ASSERT_TRUE(fleet_);
    EXPECT_EQ(fleet_->domain("host1", "web1"), "running") << "the primary was touched";
  }

  static std::unique_ptr<Fleet> fleet_;
};

std::unique_ptr<Fleet> Trouble::fleet_;

TEST_F(Trouble, NamesThatNobodyHasAreToldWithWhereToLook) {
  for (const auto& words : {Words{"cutover", "nobody"}, Words{"migrate", "nobody", "--to", "host2"},
                            Words{"shadow", "keep", "nobody"}, Words{"why", "nobody"}}) {
    const auto done = fleet_->ctl(words);
    EXPECT_NE(done.status, 0) << words.front();
    EXPECT_THAT(done.err, AllOf(HasSubstr("nobody"), HasSubstr("umbractl vms"))) << words.front();
  }
  for (const auto& words : {Words{"migrate", "web1", "--to", "nowhere"}, Words{"evacuate", "nowhere"},
                            Words{"shadow", "keep", "web1", "--to", "nowhere"}}) {
    const auto done = fleet_->ctl(words);
    EXPECT_NE(done.status, 0) << words.front();
    EXPECT_THAT(done.err, AllOf(HasSubstr("nowhere"), HasSubstr("umbractl hosts"))) << words.front();
  }
}

TEST_F(Trouble, ACutoverWithoutAShadowSaysHowToGetOne) {
  const auto done = fleet_->ctl({"cutover", "web1"});
  EXPECT_NE(done.status, 0);
  EXPECT_THAT(done.err, AllOf(HasSubstr("no shadow"), HasSubstr("umbractl shadow keep web1")));
}

TEST_F(Trouble, AFullStandbyHostRefusesTheShadowAndSaysWhatItLacks) {
  const auto done = fleet_->ctl({"migrate", "web1", "--to", "host3"});
  EXPECT_NE(done.status, 0);
  EXPECT_THAT(done.err, AllOf(HasSubstr("host3"), HasSubstr("MiB")));
  EXPECT_THAT(fleet_->domain("host3", "web1"), IsEmpty());
}

TEST_F(Trouble, AStandbyHostWithoutLibvirtdIsRefusedAndUsableOnceItIsBack) {
  fleet_->lab({"service", "host2", "libvirtd", "stop"});
  await("its loss is known", [&] { return !fleet_->host_usable("host2"); });
  const auto done = fleet_->ctl({"migrate", "web1", "--to", "host2"});
  EXPECT_NE(done.status, 0);
  EXPECT_THAT(done.err, AllOf(HasSubstr("host2"), HasSubstr("libvirt")));

  fleet_->lab({"service", "host2", "libvirtd", "start"});
  fleet_->ctl({"shadow", "drop", "web1"});
  await(
      "a shadow can be kept there",
      [&] {
        return fleet_->ctl({"shadow", "keep", "web1", "--to", "host2"}).status == 0;
      },
      90s);
  EXPECT_EQ(fleet_->shadow_phase("web1"), "warm");
  fleet_->ctl({"shadow", "drop", "web1"});
}

TEST_F(Trouble, AGuestThatDiesInTheHoldIsRunNowhere) {
  fleet_->add_vm("doomed", "host1");
  fleet_->keep("doomed", "host2");
  fleet_->in("host1", {"pkill", "-KILL", "-f", "guest=doomed,"});
  await("its shadow is gone", [&] { return fleet_->domain("host2", "doomed").empty(); });
  EXPECT_EQ(fleet_->domain("host1", "doomed"), "shut off");
  const auto done = fleet_->ctl({"cutover", "doomed"});
  EXPECT_NE(done.status, 0);
  EXPECT_THAT(done.err, HasSubstr("doomed"));
  fleet_->lab({"vm", "stop", "doomed"});
}

TEST_F(Trouble, AGuestThatDiesInItsCutoverIsMovedOrGoneAndTheAnswerSaysWhich) {
  fleet_->add_vm("brief", "host1");
  fleet_->keep("brief", "host2", "hot");
  Child cutover(fleet_->lab_words({"ctl", "cutover", "brief", "-o", "json"}));
  // Fails not if the guest has left already; the brackets keep the shell from finding itself.
  fleet_->in("host1", {"sh", "-c", "pkill -KILL -f '[g]uest=brief,' || :"});
  const auto told = cutover.finish(90s);
  if (told.status == 0) {  // the kill came too late
    EXPECT_THAT(told.out, HasSubstr("\"outcome\":\"moved\""));
    EXPECT_EQ(fleet_->domain("host2", "brief"), "running");
  } else {
    EXPECT_THAT(told.err + told.out, HasSubstr("brief"));
    await("its shadow is gone", [&] { return fleet_->domain("host2", "brief").empty(); });
    EXPECT_EQ(fleet_->domain("host1", "brief"), "shut off");
  }
}

}  // namespace
}  // namespace umbra::test
