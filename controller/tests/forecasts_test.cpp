// Forecasts of demand, asked of a live controller.
#include <cmath>
#include <numbers>

#include "controller/tests/live_fleet.hpp"

namespace umbra::controller {
namespace {

using testing::HasSubstr;

constexpr UnixMillis kStep = 300'000;

class Forecasts : public TwoZones {
 protected:
  /// Four days of a daily wave around `cores` that end with the last step that is over.
  void import(const std::string& name, double cores) {
    if (end == 0) end = core().demand.end_at(clock.unix_ms());
    v1::ImportTelemetryRequest request;
    for (UnixMillis i = 4 * 288; i > 0; --i) {
      auto* sample = request.add_samples();
      sample->set_vm(name);
      sample->set_metric("cpu");
      sample->set_at_unix_ms(end - i * kStep);
      sample->set_value(cores * (1 + 0.5 * std::sin(2 * std::numbers::pi * static_cast<double>(-i) / 288)));
    }
    const auto stored = ask(client().import_telemetry(std::move(request), 30s));
    ASSERT_TRUE(stored) << stored.error().text();
  }
  /// Steps that have ended since: the clock does not wait for tests.
  UnixMillis passed(const v1::ForecastReply& reply) const { return (reply.begins_unix_ms() - end) / kStep; }
  std::size_t learned_by_end(const v1::ForecastReply& reply) const {
    return reply.learned_steps() - static_cast<std::size_t>(passed(reply));
  }
  UnixMillis end = 0;

  Result<v1::ForecastReply> forecast(const std::string& name, v1::Scope scope = v1::SCOPE_UNSPECIFIED,
                                     double capacity = 0) {
    v1::ForecastRequest request;
    request.set_name(name);
    request.set_scope(scope);
    request.set_horizon_ms(7'200'000);
    request.set_capacity(capacity);
    for (const auto level : {0.025, 0.975}) request.add_levels(level);
    request.set_history_ms(3'600'000);
    return ask(client().forecast(std::move(request), 30s));
  }
  void learned(std::initializer_list<std::string> uuids) {
    until([&] {
      return std::ranges::all_of(uuids, [&](const std::string& uuid) { return core().demand.of(uuid) != nullptr; });
    });
  }
};

TEST_F(Forecasts, OfAVmContinueItsDay) {
  import("vm1", 0.8);
  learned({uuid_of("vm1")});
  const auto reply = forecast("vm1");
  ASSERT_TRUE(reply) << reply.error().text();
  EXPECT_EQ(reply->scope(), v1::SCOPE_VM);
  EXPECT_EQ(reply->vms(), 1u);
  EXPECT_EQ(learned_by_end(*reply), 4u * 288);
  ASSERT_EQ(reply->steps_size(), 24);
  for (int i = 0; i < 24; ++i) {
    const auto& step = reply->steps(i);
    EXPECT_NEAR(step.mean(),
                0.8 * (1 + 0.5 * std::sin(2 * std::numbers::pi * static_cast<double>(i + passed(*reply)) / 288)), 0.05)
        << i;
    ASSERT_EQ(step.quantiles_size(), 2);
    EXPECT_LE(step.quantiles(0), step.mean() + 0.01) << i;
    EXPECT_GE(step.quantiles(1), step.mean() - 0.01) << i;
  }
  ASSERT_EQ(reply->history_size(), 12);
  EXPECT_NEAR(reply->history(10), 0.8, 0.03);
}

TEST_F(Forecasts, OfHostAccountAndZoneAreThoseOfTheirVms) {
  host1->vm(uuid_of("vm1"))->set_account("acme");
  import("vm1", 0.8);
  import("vm2", 0.4);
  learned({uuid_of("vm1"), uuid_of("vm2")});
  until([&] { return vm("vm1")->vm.account() == "acme"; });
  Result<v1::ForecastReply> one, other, host, zone, account;
  do {  // until no step ends in between
    one = forecast("vm1"), other = forecast("vm2"), host = forecast("host1"), zone = forecast("a");
    account = forecast("acme");
    ASSERT_TRUE(one && other && host && zone && account);
  } while (one->begins_unix_ms() != account->begins_unix_ms());
  EXPECT_EQ(host->scope(), v1::SCOPE_HOST);
  EXPECT_EQ(host->vms(), 2u);
  EXPECT_EQ(zone->scope(), v1::SCOPE_ZONE);
  EXPECT_EQ(zone->vms(), 2u);
  EXPECT_EQ(account->scope(), v1::SCOPE_ACCOUNT);
  EXPECT_EQ(account->vms(), 1u);
  EXPECT_EQ(account->growth_probability(), one->growth_probability()) << "it has no other VM";
  EXPECT_EQ(host->growth_probability(), 0);
  EXPECT_EQ(account->capacity(), 0) << "nobody says what an account may use";
  for (int i = 0; i < 24; ++i) {
    EXPECT_NEAR(host->steps(i).mean(), one->steps(i).mean() + other->steps(i).mean(), 1e-9) << i;
    EXPECT_NEAR(zone->steps(i).mean(), host->steps(i).mean(), 1e-9) << i;
    EXPECT_NEAR(account->steps(i).mean(), one->steps(i).mean(), 1e-9) << i;
  }
  EXPECT_NEAR(host->history(10), one->history(10) + other->history(10), 1e-9);
  EXPECT_GT(forecast("host1", v1::SCOPE_HOST, 1.0)->exceed_probability(), 0.9);
  EXPECT_LT(forecast("host1", v1::SCOPE_HOST, 3.0)->exceed_probability(), 0.1);
  const auto empty = forecast("host3");
  ASSERT_TRUE(empty);
  EXPECT_EQ(empty->vms(), 0u);
  EXPECT_EQ(empty->steps_size(), 0);
}

TEST_F(Forecasts, SayWhatIsNotKnown) {
  const auto nobody = forecast("web9");
  ASSERT_FALSE(nobody);
  EXPECT_THAT(nobody.error().text(), HasSubstr("no VM, host, account or zone 'web9'"));
  const auto no_host = forecast("vm1", v1::SCOPE_HOST);
  ASSERT_FALSE(no_host);
  EXPECT_THAT(no_host.error().text(), HasSubstr("no host 'vm1'"));

  host1->vm(uuid_of("vm1"))->set_account("host1");
  until([&] { return vm("vm1")->vm.account() == "host1"; });
  const auto which = forecast("host1");
  ASSERT_FALSE(which);
  EXPECT_EQ(which.error().code, Errc::kConflict);
  EXPECT_THAT(which.error().text(), HasSubstr("'host1' is a host and an account"));
  EXPECT_TRUE(forecast("host1", v1::SCOPE_HOST));

  const auto young = forecast("vm2");
  ASSERT_TRUE(young);
  EXPECT_EQ(young->vms_unknown(), 1u);
  EXPECT_EQ(young->steps_size(), 0);
}

TEST_F(Forecasts, RefuseWhatCannotBeAsked) {
  const auto refused = [&](const std::function<void(v1::ForecastRequest&)>& spoil) {
    v1::ForecastRequest request;
    request.set_name("vm1");
    request.set_horizon_ms(3'600'000);
    spoil(request);
    const auto reply = ask(client().forecast(std::move(request), 5s));
    return !reply && reply.error().code == Errc::kInvalid && !reply.error().remedy.empty();
  };
  EXPECT_FALSE(refused([](auto&) {}));
  EXPECT_TRUE(refused([](auto& request) { request.set_horizon_ms(0); }));
  EXPECT_TRUE(refused([](auto& request) { request.set_horizon_ms(std::numeric_limits<std::int64_t>::max()); }));
  EXPECT_TRUE(refused([](auto& request) { request.set_history_ms(-1); }));
  EXPECT_TRUE(refused([](auto& request) { request.add_levels(1.5); }));
  EXPECT_TRUE(refused([](auto& request) { request.add_levels(std::nan("")); }));
  EXPECT_TRUE(refused([](auto& request) {
    request.add_levels(0.9);
    request.add_levels(0.1);
  }));
  EXPECT_TRUE(refused([](auto& request) { request.set_capacity(-1); }));
}

TEST_F(Forecasts, LearnEachSampleOnce) {
  import("vm1", 0.8);
  learned({uuid_of("vm1")});
  EXPECT_EQ(learned_by_end(*forecast("vm1")), 4u * 288);
  EXPECT_EQ(learned_by_end(*forecast("vm1")), 4u * 288) << "looking teaches nothing";
  import("vm1", 0.8);  // the same again: learned anew from the start, not twice
  until([&] { return core().demand.of(uuid_of("vm1")) != nullptr; });
  EXPECT_EQ(learned_by_end(*forecast("vm1")), 4u * 288);
}

}  // namespace
}  // namespace umbra::controller
