// What goes wrong is told with its remedy, and the guest that runs is left alone.
#include <gmock/gmock.h>

#include <vector>

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
    qemu_ = fleet_->qemu("host1", "web1");
  }
  static void TearDownTestSuite() { fleet_.reset(); }
  void SetUp() override { ASSERT_TRUE(fleet_) << "the lab did not come up"; }
  /// Whatever the trouble was, it is not web1's.
  void TearDown() override {
    ASSERT_TRUE(fleet_);
    EXPECT_EQ(fleet_->domain("host1", "web1"), "running") << "the primary was touched";
    EXPECT_EQ(fleet_->qemu("host1", "web1"), qemu_) << "the primary was started anew";
    EXPECT_EQ(fleet_->damage("web1"), 0);
  }

  /// The shadow of web1 that was held by that QEMU on host2 still is, and is refreshed.
  static void goes_on(const std::string& qemu) {
    fleet_->await_refresh("web1");
    EXPECT_EQ(fleet_->shadow_phase("web1"), "warm");
    EXPECT_EQ(fleet_->qemu("host2", "web1"), qemu) << "it was built anew";
  }

  static std::unique_ptr<Fleet> fleet_;
  static std::string qemu_;
};

std::unique_ptr<Fleet> Trouble::fleet_;
std::string Trouble::qemu_;

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
  EXPECT_THAT(done.err, AllOf(HasSubstr("host3 cannot take web1"), HasSubstr("MiB for a shadow that needs"),
                              HasSubstr("name another host")));
  EXPECT_THAT(fleet_->domain("host3", "web1"), IsEmpty());
}

TEST_F(Trouble, AStandbyHostWithoutLibvirtdIsRefusedAndUsableOnceItIsBack) {
  fleet_->lab({"service", "host2", "libvirtd", "stop"});
  await("its loss is known", [&] { return !fleet_->host_usable("host2"); });
  const auto done = fleet_->ctl({"migrate", "web1", "--to", "host2"});
  EXPECT_NE(done.status, 0);
  EXPECT_THAT(done.err, AllOf(HasSubstr("host2 cannot take web1"), HasSubstr("libvirtd does not answer"),
                              HasSubstr("name another host")));

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

TEST_F(Trouble, AnAgentThatIsGivenNonsenseDoesNotStartAndSaysWhatToDoWhileGuestAndShadowWaitForIt) {
  fleet_->keep("web1", "host2");
  const auto shadow = fleet_->qemu("host2", "web1");
  const auto directory = Fleet::directory_of_this_process();
  const auto log = directory + "/nodes/host1/agent.log";
  const auto settings = directory + "/nodes/host1/umbra.toml";
  const struct {
    std::string file, content;
    Words told;
  } nonsense[] = {
      {directory + "/certificates/host1/cert.pem", "garbage\n", {"cert.pem holds no PEM certificate", "umbractl pki"}},
      {settings,
       text_of(settings) + "\n[telemetry]\ninterval = \"5 parsecs\"\n",
       {"umbra.toml:", "telemetry.interval: '5 parsecs' is not a duration", "write it like 250ms"}}};
  for (const auto& [file, content, told] : nonsense) {
    SCOPED_TRACE(file);
    {
      const Spoilt spoilt(file, content);
      const auto before = text_of(log).size();
      fleet_->lab({"service", "host1", "agent", "restart"});
      await("the agent has ended", [] { return !fleet_->serves("host1", "agent"); });
      for (const auto& words : told) EXPECT_THAT(text_of(log).substr(before), HasSubstr(words));
      EXPECT_EQ(fleet_->domain("host1", "web1"), "running");
      EXPECT_EQ(fleet_->domain("host2", "web1"), "paused");
    }
    fleet_->lab({"service", "host1", "agent", "start"});
    goes_on(shadow);
  }
  fleet_->ctl({"shadow", "drop", "web1"});
}

TEST_F(Trouble, BytesThatAreNoTlsEndThatConnectionAloneAndTheHoldGoesOn) {
  fleet_->keep("web1", "host2");
  const auto shadow = fleet_->qemu("host2", "web1");
  // `cat` ends when the agent has closed the connection; 124 is the status of a `timeout` that ran out.
  fleet_->in("host2", {"bash", "-c",
                       "exec 3<>/dev/tcp/10.77.0.1/7701; head -c 4096 /dev/urandom >&3; "
                       "timeout 10 cat <&3 >/dev/null; [ $? != 124 ]"});
  EXPECT_TRUE(fleet_->serves("host1", "agent"));
  goes_on(shadow);
  fleet_->ctl({"shadow", "drop", "web1"});
}

TEST_F(Trouble, APeerThatIsGoneWhenALibraryWritesToItEndsNoDaemon) {
  const auto directory = Fleet::directory_of_this_process();
  for (const auto& [node, service] :
       {std::pair<std::string, std::string>{"host1", "agent"}, {"controller", "controller"}}) {
    fleet_->in(node,
               {"sh", "-c", "kill -PIPE $(cut -d ' ' -f 1 " + directory + "/nodes/" + node + "/" + service + ".pid)"});
    EXPECT_TRUE(fleet_->serves(node, service)) << service << " on " << node;
  }
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
