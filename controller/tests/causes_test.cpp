#include "controller/brain/causes.hpp"

#include <gmock/gmock.h>

#include "controller/brain/capacity.hpp"
#include "controller/tests/pictures.hpp"

namespace umbra::controller {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

constexpr UnixMillis kMinute = 60'000;

v1::Cause with_probability(double p) {
  v1::Cause cause;
  cause.set_probability(p);
  return cause;
}

std::vector<const VmPicture*> guests(const Picture& picture) {
  std::vector<const VmPicture*> all;
  for (const auto& [uuid, vm] : picture.vms) all.push_back(&vm);
  return all;
}

TEST(NoisyOr, IsTheChanceThatAnyCauseComesTrue) {
  EXPECT_EQ(noisy_or({}), 0);
  const std::array causes{with_probability(0.5), with_probability(0.2)};
  EXPECT_NEAR(noisy_or(causes), 0.6, 1e-12);
  const std::array certain{with_probability(1), with_probability(0.3)};
  EXPECT_EQ(noisy_or(certain), 1);
}

TEST(LocationCauses, NameTheZoneThatFails) {
  auto picture = make_picture();
  picture.zones["a"] = {0.2, "smoke, says ops"};
  const auto causes = location_causes(picture, picture.hosts["host1"], {});
  ASSERT_EQ(causes.size(), 1u);
  EXPECT_NEAR(causes[0].probability(), 0.8, 1e-12);
  EXPECT_THAT(causes[0].detail(), HasSubstr("smoke, says ops"));
  EXPECT_THAT(location_causes(picture, picture.hosts["host3"], {}), IsEmpty());
}

TEST(Maintenance, PressesMoreAsItsStartNears) {
  BrainSettings settings;
  settings.maintenance_notice = 2h;
  settings.maintenance_lead = 30min;
  v1::Maintenance window;
  window.set_begins_unix_ms(1000 * kMinute);
  window.set_ends_unix_ms(1060 * kMinute);
  const auto at = [&](UnixMillis minute) { return maintenance_probability(window, minute * kMinute, settings); };
  EXPECT_EQ(at(880), 0);
  EXPECT_NEAR(at(925), 0.5, 1e-12);
  EXPECT_EQ(at(970), 1) << "within the lead time";
  EXPECT_EQ(at(1059), 1) << "while it goes on";
  EXPECT_EQ(at(1060), 0) << "when it is over";
}

TEST(Maintenance, OfAZoneConcernsItsHostsOnce) {
  auto picture = make_picture();
  for (const auto* target : {"a", "host1"}) {
    auto& window = picture.maintenance.emplace_back();
    window.set_host_or_zone(target);
    window.set_begins_unix_ms(picture.now + 195 * kMinute);  // half of the way from notice to lead
    window.set_ends_unix_ms(picture.now + 300 * kMinute);
  }
  const auto host1 = location_causes(picture, picture.hosts["host1"], {});
  ASSERT_EQ(host1.size(), 1u) << "overlapping windows are one cause";
  EXPECT_NEAR(host1[0].probability(), 0.5, 1e-9);
  EXPECT_THAT(host1[0].detail(), HasSubstr("begins in 195 min"));
  EXPECT_EQ(location_causes(picture, picture.hosts["host2"], {}).size(), 1u);
  EXPECT_THAT(location_causes(picture, picture.hosts["host3"], {}), IsEmpty());
}

TEST(HeartbeatHealth, FallsAtOnceAndRecoversSlowly) {
  HeartbeatHealth health(2min);
  std::chrono::steady_clock::time_point now{1h};
  EXPECT_EQ(health.update(1, now), 1);
  EXPECT_EQ(health.update(0.5, now += 5s), 0.5);
  EXPECT_NEAR(health.update(1, now += 2min), 0.75, 1e-9);
  EXPECT_EQ(health.update(0.5, now += 5s), 0.5) << "a flapping zone stays suspect";
  EXPECT_EQ(health.update(1, now += 1h), 1);
}

TEST(Capacity, IsBlamedOnTheVmWhoseLeavingHelpsMost) {
  auto picture = make_picture();
  picture.vms["uuid-vm1"].demand = steady_demand(0.5);
  auto& big = picture.vms["uuid-vm2"] = make_vm("vm2", "host1");
  big.demand = peaking_demand(0.8, 1.7, 0.6);
  const auto causes = capacity_causes(picture.hosts["host1"], guests(picture), {});
  ASSERT_EQ(causes.size(), 1u);
  EXPECT_EQ(causes.begin()->first, "uuid-vm2");
  EXPECT_NEAR(causes.begin()->second.probability(), 0.6, 1e-9);
  EXPECT_THAT(causes.begin()->second.detail(), HasSubstr("without vm2 0 %"));
  EXPECT_THAT(causes.begin()->second.detail(), HasSubstr("1970-01-01 00:00 UTC, see umbractl forecast host1"));
  EXPECT_EQ(causes.begin()->second.forecast_of(), "host1");
}

TEST(Capacity, IsNoCauseWhereDemandFits) {
  auto picture = make_picture();
  picture.vms["uuid-vm1"].demand = steady_demand(1.9);
  picture.vms["uuid-vm2"] = make_vm("vm2", "host1");  // nothing is known of it
  EXPECT_THAT(capacity_causes(picture.hosts["host1"], guests(picture), {}), IsEmpty());
}

TEST(Capacity, MovesAsManyAsItTakes) {
  auto picture = make_picture();
  for (const auto* name : {"vm1", "vm2", "vm3"}) {
    auto& vm = picture.vms[fmt::format("uuid-{}", name)] = make_vm(name, "host1");
    vm.demand = steady_demand(1.5);
  }
  picture.vms["uuid-vm1"].memory = gibibytes(1);
  picture.vms["uuid-vm3"].refusal = "has a host device";
  const auto causes = capacity_causes(picture.hosts["host1"], guests(picture), {});
  // Three of 1.5 on 2 cores: no single one helps, so nobody is sent away in vain.
  EXPECT_THAT(causes, IsEmpty());

  picture.vms["uuid-vm3"].demand = peaking_demand(0.1, 0.4, 0.5);
  const auto two = capacity_causes(picture.hosts["host1"], guests(picture), {});
  ASSERT_EQ(two.size(), 1u);
  EXPECT_EQ(two.begin()->first, "uuid-vm2") << "of equals the one with less memory";
}

TEST(Capacity, PrefersTheVmThatHasAShadow) {
  auto picture = make_picture();
  for (const auto* name : {"vm1", "vm2"}) {
    auto& vm = picture.vms[fmt::format("uuid-{}", name)] = make_vm(name, "host1");
    vm.demand = steady_demand(1.5);
  }
  auto& vm2 = picture.vms["uuid-vm2"];
  vm2.shadow = make_shadow(vm2, "host3", v1::TIER_WARM, v1::SHADOW_PHASE_WARM);
  EXPECT_EQ(capacity_causes(picture.hosts["host1"], guests(picture), {}).begin()->first, "uuid-vm2");
}

}  // namespace
}  // namespace umbra::controller
