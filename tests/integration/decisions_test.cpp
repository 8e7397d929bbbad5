// What the controller does by itself, and what it does with a whole host.
#include <gmock/gmock.h>

#include <algorithm>
#include <fstream>
#include <map>

#include "tests/integration/fleet.hpp"

namespace umbra::test {
namespace {

using testing::Contains;
using testing::HasSubstr;

class Decisions : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    // The feed must lie in the lab's directory, whose name is this process's.
    fleet_ = std::make_unique<Fleet>(Words{"--set", "controller.brain.tick=\"1s\"", "--set",
                                           "controller.zones.feed=\"" + feed() + "\"", "--set",
                                           "controller.brain.cooldown=\"1s\""});
    fleet_->add_vm("web1", "host1");
  }
  static void TearDownTestSuite() { fleet_.reset(); }
  void SetUp() override { ASSERT_TRUE(fleet_) << "the lab did not come up"; }

  static std::string feed() { return Fleet::directory_of_this_process() + "/zones.json"; }
  static void say(double health) {
    std::ofstream(feed()) << R"({"zones": {"a": {"health": )" << health << R"(, "reason": "power is lost"}}})";
  }
  static std::string home(const std::string& vm) { return std::string(fleet_->vm(vm).at("host").as_string()); }

  static std::unique_ptr<Fleet> fleet_;
};

std::unique_ptr<Fleet> Decisions::fleet_;

TEST_F(Decisions, AGuestLeavesAZoneWhoseHealthSinksBeforeAnybodyAsks) {
  Traffic traffic(*fleet_, "web1");
  say(0.1);
  await(
      "it runs in the other zone", [&] { return home("web1") == "host2"; }, 90s);
  const auto seen = traffic.finish();
  EXPECT_LE(seen.lost, 1);
  EXPECT_TRUE(seen.session_survived) << seen.error;
  EXPECT_EQ(fleet_->damage("web1"), 0);
  EXPECT_THAT(fleet_->events("decision", "web1"), Contains(HasSubstr("cutover to host2")));

  const auto why = fleet_->ask({"why", "web1"});
  const auto& decisions = why.at("decisions").as_array();
  const auto* cutover = std::ranges::find_if(
      decisions, [](const auto& made) { return made.at("action").as_string() == "cutover to host2"; });
  ASSERT_NE(cutover, decisions.end());
  EXPECT_THAT(std::string(cutover->at("reason").as_string()), HasSubstr("power is lost"));
  EXPECT_THAT(std::string(cutover->at("outcome").as_string()), HasSubstr("moved"));
  EXPECT_NEAR(cutover->at("migration_probability").to_number<double>(), 0.9, 0.01);
  say(1);
  await("zone a is trusted again", [&] {
    const auto zones = fleet_->list("zones");
    return std::ranges::all_of(zones,
                               [](const auto& zone) { return zone.at("health").template to_number<double>() == 1; });
  });
}

TEST_F(Decisions, AnEvacuationDoesWhatItsDryRunSays) {
  if (home("web1") != "host2") fleet_->ask({"migrate", "web1", "--to", "host2"});
  fleet_->add_vm("web2", "host2");

  const auto plan = fleet_->ask({"evacuate", "host2", "--dry-run"}).at("plan").as_array();
  std::map<std::string, std::string> planned, done;
  for (const auto& move : plan) planned.emplace(move.at("vm").as_string().c_str(), move.at("to").as_string().c_str());
  EXPECT_EQ(planned, (std::map<std::string, std::string>{{"web1", "host1"}, {"web2", "host1"}}));
  EXPECT_EQ(home("web1"), "host2") << "a dry run moves nothing";

  const auto report = fleet_->ask({"evacuate", "host2"}, 180s);
  for (const auto& move : report.at("moves").as_array()) {
    EXPECT_EQ(move.at("outcome").as_string(), "moved") << move;
    done.emplace(move.at("vm").as_string().c_str(), move.at("to").as_string().c_str());
  }
  EXPECT_EQ(done, planned);
  EXPECT_TRUE(report.at("complete").as_bool());
  for (const auto* name : {"web1", "web2"}) {
    EXPECT_EQ(home(name), "host1");
    EXPECT_EQ(fleet_->domain("host1", name), "running");
    EXPECT_EQ(fleet_->damage(name), 0);
  }
}

}  // namespace
}  // namespace umbra::test
