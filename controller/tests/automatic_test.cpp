// What the controller does of its own accord, on a live fleet of fake agents.
#include <fstream>

#include "controller/tests/live_fleet.hpp"

namespace umbra::controller {
namespace {

using testing::AnyOf;
using testing::HasSubstr;

class Automatic : public TwoZones {
 protected:
  Automatic() {
    settings.zone_feed = fleet.directory() / "zones.json";
    settings.brain.tick = 20ms;
  }
  void feed(const std::string& text) {
    // Moved into place whole, as a good writer does.
    const auto next = settings.zone_feed.string() + ".next";
    std::ofstream(next) << text;
    std::filesystem::rename(next, settings.zone_feed);
  }
  v1::WhyReply why(const std::string& name) {
    v1::WhyRequest request;
    request.set_vm(name);
    return ask(client().why(std::move(request), 5s)).value();
  }
};

TEST_F(Automatic, WarmsAndThenMovesOutOfAZoneThatSinks) {
  feed(R"({"zones": {"a": {"health": 0.6, "reason": "smoke"}}})");
  until([&] { return vm("vm1")->shadow && vm("vm1")->shadow->phase() == v1::SHADOW_PHASE_WARM; });
  EXPECT_THAT(vm("vm1")->shadow->standby(), AnyOf("host3", "host4"));
  EXPECT_EQ(host_of("vm1"), "host1") << "warm is not moved";

  feed(R"({"zones": {"a": {"health": 0.05, "reason": "fire"}}})");
  until([&] { return host_of("vm1") != "host1" && host_of("vm2") != "host1"; });
  EXPECT_THAT(host_of("vm1"), AnyOf("host3", "host4"));

  const auto told = why("vm1");
  std::vector<std::string> actions;
  for (const auto& decision : told.decisions()) actions.push_back(decision.action());
  EXPECT_THAT(actions, testing::Contains(HasSubstr("tier warm on host")));
  const auto cutover =
      std::ranges::find_if(told.decisions(), [](const auto& d) { return d.action().starts_with("cutover to"); });
  ASSERT_NE(cutover, told.decisions().end());
  EXPECT_THAT(cutover->reason(), HasSubstr("zone a: health 0.05, fire, says feed"));
  EXPECT_THAT(cutover->outcome(), HasSubstr("moved in epoch"));
  ASSERT_EQ(cutover->causes_size(), 1);
  EXPECT_NEAR(cutover->causes(0).probability(), 0.95, 1e-9);
}

TEST_F(Automatic, KeepsTheHealthItHadWhenTheFeedIsBroken) {
  feed(R"({"zones": {"a": {"health": 0.6}}})");
  until([&] { return core().zones.picture()["a"].health == 0.6; });
  feed(R"({"zones": {"a": {"health": "bad"}}})");
  until([&] { return has_event("gives no health for zone a"); });
  EXPECT_EQ(core().zones.picture()["a"].health, 0.6);
}

/// At a fixed time of a fixed weekday, the next one that its certificates see: what a forecast says must not depend on
/// when the test runs.
class AutomaticOnAWednesday : public Automatic {
 protected:
  AutomaticOnAWednesday() {
    const auto today = std::chrono::floor<std::chrono::days>(std::chrono::system_clock::now());
    const auto ahead = std::chrono::Wednesday - std::chrono::weekday(today);
    clock.set_wall(today + std::chrono::days(7) + ahead + 9h + 4min);
  }
};

TEST_F(AutomaticOnAWednesday, MovesWhenAForecastFromRealHistorySaysTheHostWillRunShort) {
  // Three days of an EC2 instance (percent of a core-and-a-half) end now; vm2 keeps a steady 1.3 cores.
  std::ifstream trace(UMBRA_TRACES "/ec2_cpu_utilization_5f5533.csv");
  ASSERT_TRUE(trace);
  std::vector<double> percent;
  std::string line;
  for (std::getline(trace, line); std::getline(trace, line) && percent.size() < 3 * 288;)
    percent.push_back(std::stod(line.substr(line.find(',') + 1)));
  const auto now = clock.unix_ms();
  v1::ImportTelemetryRequest request;
  for (std::size_t i = 0; i < percent.size(); ++i) {
    const auto at = now - static_cast<UnixMillis>(percent.size() - i) * 300'000;
    for (const auto& [name, cores] : {std::pair{"vm1", 1.5 * percent[i] / 100}, std::pair{"vm2", 1.3}}) {
      auto* sample = request.add_samples();
      sample->set_vm(name);
      sample->set_metric("cpu");
      sample->set_at_unix_ms(at);
      sample->set_value(cores);
    }
  }
  for (const auto& uuid : {uuid_of("vm1"), uuid_of("vm2")}) host1->vm(uuid)->set_vcpus(2);
  until([&] { return vm("vm2")->vm.vcpus() == 2; });
  const auto stored = ask(client().import_telemetry(std::move(request), 30s));
  ASSERT_TRUE(stored) << stored.error().text();
  EXPECT_EQ(stored->stored(), 2 * percent.size());
  EXPECT_EQ(stored->replaced(), 0u);

  until([&] { return host_of("vm1") != "host1" || host_of("vm2") != "host1"; });
  const std::string moved = host_of("vm1") != "host1" ? "vm1" : "vm2";
  const auto told = why(moved);
  const auto cutover =
      std::ranges::find_if(told.decisions(), [](const auto& d) { return d.action().starts_with("cutover to"); });
  ASSERT_NE(cutover, told.decisions().end());
  EXPECT_THAT(cutover->reason(), HasSubstr("demand exceeds its 2 cores within 30 min"));
  until([&] { return !vm(moved)->moving(); });
  EXPECT_TRUE(host_of("vm1") == "host1" || host_of("vm2") == "host1") << "without one of them the host has enough";
}

TEST_F(Automatic, EmptiesAHostBeforeItsMaintenance) {
  v1::AddMaintenanceRequest request;
  request.mutable_window()->set_host_or_zone("host1");
  request.mutable_window()->set_begins_unix_ms(clock.unix_ms() + 60'000);
  request.mutable_window()->set_ends_unix_ms(clock.unix_ms() + 3'600'000);
  request.mutable_window()->set_reason("new kernel");
  ASSERT_TRUE(ask(client().add_maintenance(std::move(request), 5s)));
  until([&] { return host_of("vm1") != "host1" && host_of("vm2") != "host1"; });
  EXPECT_TRUE(has_event("new kernel"));
}

TEST_F(Automatic, TakesASilentHostForASignOfItsZone) {
  until([&] { return core().zones.picture()["a"].health == 1; });
  host2->disconnect();
  until([&] { return has_event("is down"); });
  until([&] { return core().zones.picture()["a"].health == 0.5; });
  until([&] { return vm("vm1")->shadow && vm("vm1")->shadow->phase() == v1::SHADOW_PHASE_WARM; });
  EXPECT_EQ(host_of("vm1"), "host1");
}

TEST_F(Automatic, DropsTheShadowWhenAllIsWellAgain) {
  feed(R"({"zones": {"a": {"health": 0.6}}})");
  until([&] { return vm("vm1")->shadow.has_value(); });
  feed(R"({"zones": {"a": {"health": 1}}})");
  until([&] { return host1->drops == 2 && !vm("vm1")->shadow; });
}

TEST_F(Automatic, TriesAnotherHostWhenOneFails) {
  // The agent answers for host3 only with an error, and for host4 as it should.
  feed(R"({"zones": {"a": {"health": 0.6}}})");
  host1->keep_shadow_error = Error{Errc::kExhausted, "no ports left", "free some"};
  until([&] { return has_event("on host3 cannot be kept: no ports left"); });
  until([&] { return has_event("on host4 cannot be kept: no ports left"); });
  until([&] { return has_event("hold back: no host for its shadow"); });
}

TEST_F(Automatic, KeepsAProfileOfEveryVmInEveryZone) {
  until([&] { return core().store.fleet.profiles(uuid_of("vm1")).value().size() == 2; });
  const auto told = why("vm1");
  ASSERT_EQ(told.profiles_size(), 2);
  EXPECT_EQ(told.profiles(0).zone(), "a");
  EXPECT_EQ(told.profiles(0).memory_bytes(), 256ULL << 20);
}

}  // namespace
}  // namespace umbra::controller
