// Forecasts of demand from a real store, with time in the test's hands.
#include "controller/brain/demand.hpp"

#include <gmock/gmock.h>
#include <unistd.h>

#include <cmath>
#include <numbers>

#include "base/temporary_directory.hpp"

namespace umbra::controller {
namespace {

using testing::SizeIs;

constexpr UnixMillis kStep = 300'000;
constexpr UnixMillis kDay = 288 * kStep;
constexpr UnixMillis kStart = 1'700'006'400'000;  // a midnight in UTC

class DemandTest : public testing::Test {
 protected:
  DemandTest() { add("vm1"); }

  void add(const std::string& name, unsigned vcpus = 4) {
    auto& record = vms["uuid-" + name];
    record.vm.set_uuid("uuid-" + name);
    record.vm.set_name(name);
    record.vm.set_vcpus(vcpus);
  }
  void sample(const std::string& name, UnixMillis at, double cores) {
    const auto uuid = "uuid-" + name;
    const std::array points{TelemetryPoint{uuid, "cpu", at, cores}};
    ASSERT_TRUE(store->telemetry.add(points));
  }
  /// A step's sample for each of [from, to).
  void history(const std::string& name, UnixMillis from, UnixMillis to,
               const std::function<double(UnixMillis)>& cores) {
    const auto uuid = "uuid-" + name;
    std::vector<TelemetryPoint> points;
    for (auto at = from; at < to; at += kStep) points.push_back({uuid, "cpu", at + 1000, cores(at)});
    ASSERT_TRUE(store->telemetry.add(points));
  }
  static double wave(UnixMillis at) {
    return 1 + 0.5 * std::sin(2 * std::numbers::pi * static_cast<double>(at % kDay) / kDay);
  }
  void refresh(UnixMillis now) { demand.refresh(vms, zone_of, now + 10'000, 1h); }
  std::size_t learned(const std::string& name, UnixMillis now) {
    const auto look = demand.look(vms["uuid-" + name], demand.end_at(now + 10'000), 1, {});
    return look ? look->learned : 0;
  }

  TemporaryDirectory directory{std::move(*TemporaryDirectory::make("umbra-demand-test-"))};
  std::unique_ptr<Store> store = std::move(*Store::open(directory.path()));
  BrainSettings settings;
  Demand demand{store->telemetry, settings};
  std::map<std::string, VmRecord> vms;
  Demand::ZoneOf zone_of = [](const std::string&) { return "a"; };
};

TEST_F(DemandTest, LearnsWhatIsStoredAndThenStepByStep) {
  history("vm1", kStart, kStart + 3 * kDay, wave);
  refresh(kStart + 3 * kDay);
  EXPECT_EQ(learned("vm1", kStart + 3 * kDay), 3u * 288);
  ASSERT_TRUE(demand.of("uuid-vm1"));
  EXPECT_EQ(demand.of("uuid-vm1")->start(), kStart + 3 * kDay);
  EXPECT_EQ(demand.of("uuid-vm1")->steps(), 7u) << "30 min, and the step that is not over";
  EXPECT_NEAR(demand.of("uuid-vm1")->mean()[0], wave(0), 0.03);

  sample("vm1", kStart + 3 * kDay + 1000, wave(0));
  refresh(kStart + 3 * kDay + kStep - 1);
  EXPECT_EQ(learned("vm1", kStart + 3 * kDay), 3u * 288) << "a step counts when it is over and late samples have come";
  refresh(kStart + 3 * kDay + kStep);
  EXPECT_EQ(learned("vm1", kStart + 3 * kDay + kStep), 3u * 288 + 1);
}

TEST_F(DemandTest, ShowsEachStepOnce) {
  history("vm1", kStart, kStart + kDay, wave);
  refresh(kStart + kDay);
  // What was learned is not read again: the store could say anything of it now.
  history("vm1", kStart, kStart + kDay, [](UnixMillis) { return 3.9; });
  refresh(kStart + kDay);
  refresh(kStart + kDay + kStep);
  EXPECT_NEAR(demand.of("uuid-vm1")->mean()[0], 1, 0.2);
  demand.history_changed("uuid-vm1");
  refresh(kStart + kDay + kStep);
  EXPECT_NEAR(demand.of("uuid-vm1")->mean()[0], 3.9, 0.05) << "unless it is told";
}

TEST_F(DemandTest, GoesOnAfterARestartWithWhatItKnew) {
  history("vm1", kStart, kStart + kDay, wave);
  refresh(kStart + kDay);
  history("vm1", kStart, kStart + kDay, [](UnixMillis) { return 3.9; });
  // Stored at the end of the day; what came since is read from the history.
  history("vm1", kStart + kDay, kStart + kDay + 2 * kStep, wave);
  refresh(kStart + kDay + 2 * kStep);
  Demand restarted{store->telemetry, settings};
  restarted.refresh(vms, zone_of, kStart + kDay + 2 * kStep + 10'000, 1h);
  ASSERT_TRUE(restarted.of("uuid-vm1"));
  EXPECT_EQ(restarted.of("uuid-vm1")->mean(), demand.of("uuid-vm1")->mean());
  EXPECT_EQ(restarted.of("uuid-vm1")->quantile(3, 0.9), demand.of("uuid-vm1")->quantile(3, 0.9));
}

TEST_F(DemandTest, LearnsAnewWhatItCannotRead) {
  history("vm1", kStart, kStart + kDay, wave);
  refresh(kStart + kDay);
  const auto learns_anew = [&](const char* why, const TelemetryStore::Knowledge& knowledge, BrainSettings with) {
    SCOPED_TRACE(why);
    ASSERT_TRUE(store->telemetry.save_knowledge("uuid-vm1", "cpu", knowledge));
    Demand restarted{store->telemetry, with};
    restarted.refresh(vms, zone_of, kStart + kDay + 10'000, 1h);
    ASSERT_TRUE(restarted.of("uuid-vm1"));
    EXPECT_NEAR(restarted.of("uuid-vm1")->mean()[0], 3.9, 0.05);
  };
  const auto known = **store->telemetry.knowledge("uuid-vm1", "cpu");
  history("vm1", kStart, kStart + kDay, [](UnixMillis) { return 3.9; });
  auto damaged = known;
  damaged.state[damaged.state.size() / 2] ^= 1;
  learns_anew("damaged", damaged, settings);
  learns_anew("of a time to come", {known.at + kDay, known.state}, settings);
  learns_anew("of another time than it says", {known.at - kStep, known.state}, settings);
  auto hourly = settings;
  hourly.forecast_step = 10min;
  learns_anew("of other steps", known, hourly);
}

TEST_F(DemandTest, ExpectsOfANewVmWhatItsPeersDo) {
  const auto office = [](UnixMillis at) { return at % kDay < kDay / 2 ? 0.2 : 2.0; };
  for (const auto* name : {"vm1", "vm2"}) {
    add(name);
    history(name, kStart, kStart + 5 * kDay, office);
  }
  const auto morning = kStart + 5 * kDay + kDay / 2 - 6 * kStep;  // half an hour before it begins
  for (const auto* name : {"vm1", "vm2"}) history(name, kStart + 5 * kDay, morning, office);
  refresh(morning);
  add("vm3");
  history("vm3", morning - 6 * kStep, morning, [&](UnixMillis at) { return office(at) / 2; });
  refresh(morning);
  const auto look = demand.look(vms["uuid-vm3"], morning, 24, {});
  ASSERT_TRUE(look);
  EXPECT_LT(look->forecast.mean()[2], 0.3);
  EXPECT_GT(look->forecast.mean()[15], 0.4) << "it has never been seen above 0.1";
}

TEST_F(DemandTest, ExpectsOfANewVmWhatItsApplicationDoesForOthers) {
  const auto office = [](UnixMillis at) { return at % kDay < kDay / 2 ? 0.2 : 2.0; };
  const auto batch = [&](UnixMillis at) { return 2.2 - office(at); };
  const auto begin = kStart + 5 * kDay + kDay / 2 - 6 * kStep;
  for (int i = 1; i <= 6; ++i) {
    const auto name = fmt::format("vm{}", i);
    add(name);
    vms["uuid-" + name].vm.set_account(fmt::format("customer{}", i));
    vms["uuid-" + name].vm.set_profile(i % 2 == 0 ? "web" : "batch");
    history(name, kStart, begin, i % 2 == 0 ? std::function(office) : std::function(batch));
  }
  refresh(begin);
  const auto expected = [&](const std::string& name, const std::string& profile) {
    add(name);
    vms["uuid-" + name].vm.set_account("somebody new");
    vms["uuid-" + name].vm.set_profile(profile);
    history(name, begin - 6 * kStep, begin, [](UnixMillis) { return 1; });
    refresh(begin);
    return demand.look(vms["uuid-" + name], begin, 24, {})->forecast.mean()[15];
  };
  const auto web = expected("vm7", "web"), unknown = expected("vm8", ""), night = expected("vm9", "batch");
  EXPECT_GT(web, unknown + 0.2) << "the office opens";
  EXPECT_LT(night, unknown - 0.1);
}

TEST_F(DemandTest, StaysBetweenNothingAndAllOfTheVmsCpus) {
  add("vm1", 1);
  history("vm1", kStart, kStart + 2 * kDay, [](UnixMillis at) { return at / kStep % 3 == 0 ? 1.2 : 0.01; });
  refresh(kStart + 2 * kDay);
  const auto& forecast = *demand.of("uuid-vm1");
  EXPECT_EQ(forecast.exceedance(1, 30min), 0);
  EXPECT_GE(forecast.quantile(3, 0), 0);
}

TEST_F(DemandTest, SaysNothingOfAVmWithoutHistory) {
  refresh(kStart);
  EXPECT_EQ(demand.of("uuid-vm1"), nullptr);
  EXPECT_FALSE(demand.look(vms["uuid-vm1"], kStart, 3, {}));
  EXPECT_FALSE(demand.look(VmRecord{}, kStart, 3, {}));
}

TEST_F(DemandTest, KeepsALastForecastWhileOthersTakeTheTime) {
  for (const auto* name : {"vm1", "vm2", "vm3"}) {
    add(name);
    history(name, kStart, kStart + kDay, wave);
  }
  const auto known = [&] {
    return std::ranges::count_if(vms, [&](const auto& entry) { return demand.of(entry.first) != nullptr; });
  };
  refresh(kStart + kDay);
  const auto last = demand.of("uuid-vm1");
  add("vm4");
  history("vm4", kStart, kStart + kDay, wave);
  // No time at all is enough for a part of one of them at a call; a fortnight of five minutes is 14 parts.
  int calls = 0;
  for (; known() < 4 && calls < 100; ++calls) {
    demand.refresh(vms, zone_of, kStart + kDay + 10'000, 0ms);
    EXPECT_EQ(demand.of("uuid-vm1"), last);
  }
  EXPECT_EQ(calls, 14);
}

TEST_F(DemandTest, AlignsForecastsThatBeginAtDifferentMoments) {
  history("vm1", kStart, kStart + 3 * kDay, wave);
  refresh(kStart + 3 * kDay);
  const auto level = std::array{0.5};
  const auto later = demand.look(vms["uuid-vm1"], kStart + 3 * kDay + 2 * kStep, 4, level);
  const auto now = demand.look(vms["uuid-vm1"], kStart + 3 * kDay, 6, level);
  const auto earlier = demand.look(vms["uuid-vm1"], kStart + 3 * kDay - kStep, 7, level);
  ASSERT_TRUE(later && now && earlier);
  EXPECT_THAT(later->forecast.mean(), SizeIs(4));
  EXPECT_THAT(earlier->quantiles, SizeIs(7));
  EXPECT_EQ(later->forecast.mean()[0], now->forecast.mean()[2]);
  EXPECT_EQ(earlier->forecast.mean()[1], now->forecast.mean()[0]);
  EXPECT_EQ(earlier->forecast.mean()[0], now->forecast.mean()[0]);
}

TEST_F(DemandTest, TellsOfGrowthThatWasNotExpectedOnce) {
  std::uint64_t noise = 1;
  const auto noisy = [&](UnixMillis at) {
    noise = noise * 6364136223846793005 + 1442695040888963407;
    return wave(at) / 2 + static_cast<double>(noise >> 40) / static_cast<double>(1 << 24) * 0.1;
  };
  history("vm1", kStart, kStart + 3 * kDay, noisy);
  auto now = kStart + 3 * kDay;
  refresh(now);
  const auto pass = [&](int steps, double more) {
    for (int i = 0; i < steps; ++i) {
      sample("vm1", now + 1000, noisy(now) + more * (i + 1));
      now += kStep;
      refresh(now);
    }
  };
  pass(200, 0);
  EXPECT_THAT(demand.take_growing(), SizeIs(0));
  pass(60, 0.04);
  const auto growing = demand.take_growing();
  ASSERT_THAT(growing, SizeIs(1)) << "its zone has no other VM";
  EXPECT_EQ(growing.front().scope, v1::SCOPE_VM);
  EXPECT_EQ(growing.front().name, "uuid-vm1");
  EXPECT_GE(growing.front().probability, 0.9);
  EXPECT_GE(growing.front().since, kStart + 3 * kDay + 195 * kStep);
  EXPECT_LE(growing.front().since, now);
}

/// vm1 to vm3 are acme's, on host1 in zone a; vm4 and vm5 are bolt's, on host2 in zone b. Each uses a core, and up to a
/// fifth more.
class DemandOfGroups : public DemandTest {
 protected:
  void SetUp() override {
    zone_of = [](const std::string& host) { return host == "host1" ? "a" : "b"; };
    for (const auto* name : {"vm1", "vm2", "vm3"}) belongs(name, "acme", "host1");
    for (const auto* name : {"vm4", "vm5"}) belongs(name, "bolt", "host2");
    for (const auto& [uuid, record] : vms)
      history(record.vm.name(), kStart, now, [this](UnixMillis) { return usual(); });
    refresh(now);
    pass(120);
    EXPECT_THAT(told(), SizeIs(0));
  }
  void belongs(const std::string& name, const std::string& account, const std::string& host) {
    add(name);
    vms["uuid-" + name].vm.set_account(account);
    vms["uuid-" + name].host = host;
  }
  double usual() {
    noise_ = noise_ * 6364136223846793005 + 1442695040888963407;
    return 1 + static_cast<double>(noise_ >> 40) / static_cast<double>(1 << 24) * 0.2;
  }
  /// @param cores of a VM in the step of that index; NaN for no sample
  void pass(int steps, const std::function<double(const std::string& name, int i)>& cores) {
    for (int i = 0; i < steps; ++i) {
      for (const auto& [uuid, record] : vms)
        if (const auto used = cores(record.vm.name(), i); std::isfinite(used))
          sample(record.vm.name(), now + 1000, used);
      now += kStep;
      refresh(now);
    }
  }
  void pass(int steps) {
    pass(steps, [this](const std::string&, int) { return usual(); });
  }
  std::vector<std::pair<v1::Scope, std::string>> told() {
    std::vector<std::pair<v1::Scope, std::string>> told;
    for (const auto& growth : demand.take_growing()) told.emplace_back(growth.scope, growth.name);
    return told;
  }

  UnixMillis now = kStart + kDay;

 private:
  std::uint64_t noise_ = 1;
};

const std::pair<v1::Scope, std::string> kAcme{v1::SCOPE_ACCOUNT, "acme"}, kZoneA{v1::SCOPE_ZONE, "a"};

TEST_F(DemandOfGroups, GrowsTogetherBeforeItShowsInAnyOfThem) {
  for (int more = 6; more < 16; ++more) {
    const auto name = fmt::format("vm{}", more);
    belongs(name, "acme", "host1");
    history(name, kStart, now, [this](UnixMillis) { return usual(); });
  }
  pass(60);
  ASSERT_THAT(told(), SizeIs(0));
  const auto begun = now;
  std::vector<Demand::Growth> growing;
  for (int i = 0; i < 60 && growing.empty(); ++i) {
    pass(1, [&](const std::string& name, int) { return usual() + (name != "vm4" && name != "vm5" ? 0.008 * i : 0); });
    growing = demand.take_growing();
  }
  ASSERT_THAT(growing, SizeIs(2));
  EXPECT_EQ(std::pair(growing[0].scope, growing[0].name), kAcme);
  EXPECT_EQ(std::pair(growing[1].scope, growing[1].name), kZoneA);
  EXPECT_GE(growing[0].probability, 0.9);
  EXPECT_GE(growing[0].since, begun - 5 * kStep);
  EXPECT_LE(growing[0].since, now);
  EXPECT_GE(demand.growth_probability(v1::SCOPE_ACCOUNT, "acme"), 0.9);
  EXPECT_LT(demand.growth_probability(v1::SCOPE_ACCOUNT, "bolt"), 0.1);
  EXPECT_EQ(demand.growth_probability(v1::SCOPE_ACCOUNT, "nobody"), 0);
}

TEST_F(DemandOfGroups, IsNotExpectedOfVmsThatAreNew) {
  for (const auto* name : {"vm6", "vm7"}) belongs(name, "acme", "host1");
  refresh(now);
  pass(60);
  EXPECT_THAT(told(), testing::UnorderedElementsAre(kAcme, kZoneA)) << "once, and not of the new ones themselves";
  EXPECT_LT(demand.growth_probability(v1::SCOPE_ACCOUNT, "acme"), 0.1) << "by now they are expected";
}

TEST_F(DemandOfGroups, IsNoGrowthWhenAVmThatIsKnownJoinsOrLeaves) {
  belongs("vm5", "acme", "host1");
  pass(30);
  belongs("vm1", "bolt", "host2");
  belongs("vm2", "bolt", "host2");
  pass(30);
  vms.erase("uuid-vm3");
  pass(30);
  EXPECT_THAT(told(), SizeIs(0));
}

TEST_F(DemandOfGroups, NeitherCollapsesNorGrowsWhereSamplesAreMissing) {
  const auto without = [this](const std::string& missing) {
    pass(30, [&](const std::string& name, int) {
      return name == missing ? std::numeric_limits<double>::quiet_NaN() : usual();
    });
  };
  without("vm2");
  pass(30);
  without("vm1");
  EXPECT_THAT(told(), SizeIs(0));
  belongs("vm6", "acme", "host1");
  refresh(now);
  without("vm2");
  EXPECT_THAT(told(), testing::UnorderedElementsAre(kAcme, kZoneA)) << "what is missing makes up for no growth";
}

}  // namespace
}  // namespace umbra::controller
