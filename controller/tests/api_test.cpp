// What people see and may do, on a live fleet of fake agents.
#include "controller/tests/live_fleet.hpp"

namespace umbra::controller {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class Api : public TwoZones {
 protected:
  /// Asks for a shadow of vm1, and waits for it if told to. @return why it will not be
  std::optional<Error> keep_vm1(const std::string& to = "", bool wait = true, v1::Tier tier = {}) {
    v1::PinShadowRequest request;
    request.set_vm("vm1");
    request.set_to(to);
    request.set_wait(wait);
    request.set_tier(tier);
    std::optional<Error> error;
    all(client().keep_shadow(std::move(request), 10s), &error);
    return error;
  }
  void fill_other_hosts(std::uint64_t free) {
    for (auto* host : {host2, host3, host4}) host->capacity.set_memory_free_bytes(free);
    for (const auto* name : {"host2", "host3", "host4"})
      until([&] { return core().inventory.node(name)->capacity.memory_free_bytes() == free; });
  }
  void set_vm1(v1::VmState state) {
    host1->vm(uuid_of("vm1"))->set_state(state);
    until([&] { return vm("vm1")->vm.state() == state; });
  }
  v1::TelemetrySample sample(const std::string& vm_name, const std::string& metric, UnixMillis at, double value) {
    v1::TelemetrySample sample;
    sample.set_vm(vm_name);
    sample.set_metric(metric);
    sample.set_at_unix_ms(at);
    sample.set_value(value);
    return sample;
  }
};

TEST_F(Api, ShowsHostsVmsAndZones) {
  const auto listed = ask(client().list_hosts({}, 5s)).value();
  ASSERT_EQ(listed.hosts_size(), 5);
  EXPECT_EQ(listed.hosts(1).node().name(), "host1");
  EXPECT_EQ(listed.hosts(1).vms(), 2u);
  EXPECT_TRUE(listed.hosts(1).up());
  const auto vms = ask(client().list_vms({}, 5s)).value();
  ASSERT_EQ(vms.vms_size(), 2);
  EXPECT_EQ(vms.vms(0).host(), "host1");
  EXPECT_EQ(vms.vms(0).zone(), "a");
  EXPECT_EQ(vms.vms(0).epoch(), 1u);
  const auto zones = ask(client().list_zones({}, 5s)).value();
  ASSERT_EQ(zones.zones_size(), 2);
  EXPECT_EQ(zones.zones(0).vms(), 2u);
  EXPECT_EQ(zones.zones(0).health(), 1);
}

TEST_F(Api, CallsAVmOfASilentHostUnknownNotGone) {
  host1->disconnect();
  until([&] { return !core().inventory.node("host1")->up; });
  const auto vms = ask(client().list_vms({}, 5s)).value();
  ASSERT_EQ(vms.vms_size(), 2);
  EXPECT_EQ(vms.vms(0).vm().state(), v1::VM_STATE_UNKNOWN);
  EXPECT_EQ(vms.vms(0).host(), "host1");
}

TEST_F(Api, LetsViewersLookAndNotTouch) {
  auto viewer = client(v1::ROLE_VIEWER, "guest");
  EXPECT_TRUE(ask(viewer.list_vms({}, 5s)));
  v1::SetZoneRequest request;
  request.set_zone("a");
  const auto denied = ask(viewer.set_zone(std::move(request), 5s));
  ASSERT_FALSE(denied);
  EXPECT_EQ(denied.error().code, Errc::kDenied);
}

TEST_F(Api, SaysWhichOfSeveralVmsOfOneName) {
  host2->add_vm("vm9", "10.1.0.9");
  host2->vm(uuid_of("vm9"))->set_name("vm1");
  until([&] { return core().inventory.vm(uuid_of("vm9")) != nullptr; });
  v1::ListVmsRequest request;
  request.set_vm("vm1");
  const auto found = ask(client().list_vms(request, 5s));
  ASSERT_FALSE(found);
  EXPECT_THAT(found.error().text(), HasSubstr(fmt::format("2 VMs are named 'vm1': {} on host1, {} on host2",
                                                          uuid_of("vm1"), uuid_of("vm9"))));
  request.set_vm(uuid_of("vm9"));
  EXPECT_TRUE(ask(client().list_vms(request, 5s)));
}

TEST_F(Api, SetsAZonesHealthAndWritesDownWho) {
  v1::SetZoneRequest request;
  request.set_zone("b");
  request.set_health(0.95);
  request.set_reason("a door was left open");
  const auto zone = ask(client().set_zone(request, 5s));
  ASSERT_TRUE(zone);
  EXPECT_EQ(zone->health(), 0.95);
  EXPECT_EQ(zone->set_by(), "ops");
  const auto events = core().events.events(1000, "", 0).value();
  const auto audit =
      std::ranges::find_if(events, [](const auto& event) { return event.kind() == v1::EVENT_KIND_AUDIT; });
  ASSERT_NE(audit, events.end());
  EXPECT_EQ(audit->actor(), "ops");
  EXPECT_THAT(audit->text(), HasSubstr("a door was left open"));

  request.set_health(1.5);
  const auto wrong = ask(client().set_zone(request, 5s));
  ASSERT_FALSE(wrong);
  EXPECT_EQ(wrong.error().code, Errc::kInvalid);
  EXPECT_EQ(wrong.error().remedy, "0 is dead, 1 is fine");
  request.set_zone("z");
  EXPECT_EQ(ask(client().set_zone(request, 5s)).error().text(), "no zone 'z' (see umbractl zones)");
}

TEST_F(Api, KeepsAndForgetsMaintenance) {
  v1::AddMaintenanceRequest request;
  auto& window = *request.mutable_window();
  window.set_host_or_zone("b");
  window.set_begins_unix_ms(clock.unix_ms() + 24 * 3'600'000);
  window.set_ends_unix_ms(clock.unix_ms() + 25 * 3'600'000);
  const auto added = ask(client().add_maintenance(request, 5s)).value();
  EXPECT_EQ(ask(client().list_maintenance({}, 5s)).value().windows_size(), 1);
  v1::RemoveMaintenanceRequest removal;
  removal.set_id(added.id());
  EXPECT_TRUE(ask(client().remove_maintenance(removal, 5s)));
  const auto unknown = ask(client().remove_maintenance(removal, 5s));
  ASSERT_FALSE(unknown);
  EXPECT_EQ(unknown.error().code, Errc::kNotFound);
  EXPECT_EQ(unknown.error().text(),
            fmt::format("no maintenance window {} (see umbractl maintenance list)", added.id()));
  window.set_ends_unix_ms(window.begins_unix_ms());
  const auto backwards = ask(client().add_maintenance(request, 5s));
  ASSERT_FALSE(backwards);
  EXPECT_EQ(backwards.error().code, Errc::kInvalid);
  for (const auto* option : {"--begins", "--ends", "--for"})
    EXPECT_THAT(backwards.error().remedy, HasSubstr(option)) << "the options that umbractl has";
  window.set_host_or_zone("nowhere");
  const auto nowhere = ask(client().add_maintenance(request, 5s));
  ASSERT_FALSE(nowhere);
  EXPECT_EQ(nowhere.error().code, Errc::kNotFound);
  EXPECT_EQ(nowhere.error().text(), "no host or zone 'nowhere' (see umbractl hosts and umbractl zones)");
}

TEST_F(Api, RefusesBadTelemetryWholeAndNamesTheSample) {
  const auto now = clock.unix_ms();
  const auto refused = [&](const v1::TelemetrySample& bad) {
    v1::ImportTelemetryRequest request;
    *request.add_samples() = sample("vm1", "cpu", now - 1000, 0.5);
    *request.add_samples() = bad;
    const auto answer = ask(client().import_telemetry(std::move(request), 5s));
    EXPECT_FALSE(answer);
    return answer ? std::string() : answer.error().text();
  };
  EXPECT_THAT(refused(sample("vmx", "cpu", now, 1)),
              HasSubstr("sample 2, nothing of the batch was stored: no VM 'vmx'"));
  EXPECT_THAT(refused(sample("vm1", "cpus", now, 1)), HasSubstr("no metric 'cpus' (known are cpu, memory"));
  EXPECT_THAT(refused(sample("vm1", "cpu", now + 3'600'000, 1)), HasSubstr("is not in the past"));
  EXPECT_THAT(refused(sample("vm1", "cpu", now, std::nan(""))), HasSubstr("is not a number"));
  EXPECT_THAT(refused(sample("vm1", "cpu", now, -1)), HasSubstr("value -1"));
  v1::ImportTelemetryRequest large;
  for (int i = 0; i < 5001; ++i) *large.add_samples() = sample("vm1", "cpu", now - i, 1);
  EXPECT_THAT(ask(client().import_telemetry(std::move(large), 30s)).error().text(), HasSubstr("at most 5000"));
  EXPECT_TRUE(core().store.telemetry.history(uuid_of("vm1"), "cpu", 0, now + 1, 1s).value().empty());
}

TEST_F(Api, TellsEventsAsTheyCome) {
  auto fleet_client = client();
  std::vector<std::string> texts;
  bool ended = false;
  v1::WatchEventsRequest request;
  request.set_follow(true);
  request.set_vm("vm1");
  const auto watch = [&]() -> asio::awaitable<void> {
    auto stream = co_await fleet_client.watch_events(request, rpc::kNoDeadline);
    while (stream && texts.size() < 2) {
      auto next = co_await stream->next();
      if (!next || !*next) break;
      texts.push_back((*next)->text());
    }
    ended = true;
  };
  asio::co_spawn(io, watch(), asio::detached);
  until([&] { return texts.size() == 1; });
  EXPECT_THAT(texts[0], HasSubstr("found on host1"));
  host1->vm(uuid_of("vm2"))->set_state(v1::VM_STATE_SHUT_OFF);  // another VM's
  host1->vm(uuid_of("vm1"))->set_state(v1::VM_STATE_PAUSED);
  until([&] { return ended; });
  EXPECT_EQ(texts.at(1), "is paused");
}

TEST_F(Api, PinsOnlyWhatCanBeKept) {
  const auto refused = [&](const std::string& to, v1::Tier tier) {
    const auto error = keep_vm1(to, false, tier);
    EXPECT_TRUE(error);
    return error ? error->text() : std::string();
  };
  EXPECT_THAT(refused("hostx", v1::TIER_WARM), HasSubstr("no host 'hostx'"));
  EXPECT_THAT(refused("edge1", v1::TIER_WARM), HasSubstr("no host 'edge1'"));
  EXPECT_THAT(refused("host1", v1::TIER_WARM), HasSubstr("host1 cannot take vm1: it has it already"));
  EXPECT_THAT(refused("host1", v1::TIER_WARM), HasSubstr("leave --to out to let the controller choose"));
  EXPECT_THAT(refused("host2", v1::TIER_PROFILE), HasSubstr("that tier cannot be kept"));
  v1::PinShadowRequest seldom;
  seldom.set_vm("vm1");
  seldom.set_refresh_interval_ms(Milliseconds(24h).count() + 1);
  std::optional<Error> error;
  all(client().keep_shadow(std::move(seldom), 10s), &error);
  ASSERT_TRUE(error);
  EXPECT_EQ(error->message, "the refresh interval is longer than a day");
  host2->proven = false;
  until([&] { return !core().inventory.node("host2")->proof.proven(); });
  EXPECT_THAT(refused("host2", v1::TIER_WARM), HasSubstr("host2 cannot take vm1: it has not proven the hold"));
}

TEST_F(Api, TellsWhoWaitsForAShadowThatNoHostFitsAndWhy) {
  fill_other_hosts(100ULL << 20);
  const auto error = keep_vm1();
  ASSERT_TRUE(error);
  EXPECT_EQ(error->message,
            "vm1: no host for its shadow: host2 has 100 MiB for a shadow that needs 320 MiB; host3 has 100 MiB for a "
            "shadow that needs 320 MiB; host4 has 100 MiB for a shadow that needs 320 MiB");
  EXPECT_EQ(error->remedy,
            "make one of them fit, or name one with --to; it stays pinned until umbractl shadow drop vm1");
  EXPECT_FALSE(keep_vm1("", false)) << "who does not wait has it as soon as a host fits";
  fill_other_hosts(4ULL << 30);
  until([&] { return vm("vm1")->shadow && vm("vm1")->shadow->phase() == v1::SHADOW_PHASE_WARM; });
}

TEST_F(Api, TellsWhoWaitsForAShadowThatTheVmsHostIsDown) {
  host1->disconnect();
  until([&] { return !core().inventory.node("host1")->up; });
  const auto error = keep_vm1("host3");
  ASSERT_TRUE(error);
  EXPECT_THAT(error->message, HasSubstr("vm1: host1 is down"));
  EXPECT_THAT(error->remedy, HasSubstr("umbractl doctor"));
}

TEST_F(Api, KeepsNoShadowOfAVmThatDoesNotRunAndSaysHowToStartIt) {
  for (const auto& [state, cause, remedy] :
       {std::tuple{v1::VM_STATE_SHUT_OFF, "shut off", "start it first, on host1: virsh start vm1"},
        std::tuple{v1::VM_STATE_PAUSED, "paused",
                   "umbractl events and resolve vm1 tell why; virsh resume vm1, on host1, if nothing there speaks "
                   "against it"}}) {
    set_vm1(state);
    for (const auto* to : {"", "host3"})
      for (const bool wait : {true, false}) {
        const auto error = keep_vm1(to, wait);
        ASSERT_TRUE(error) << cause;
        EXPECT_EQ(error->code, Errc::kConflict);
        EXPECT_EQ(error->message, fmt::format("vm1 does not run: it is {}", cause));
        EXPECT_EQ(error->remedy, remedy);
        EXPECT_EQ(core().pilot.pin(uuid_of("vm1")), nullptr);
      }
  }
  host1->vm(uuid_of("vm1"))->set_state(v1::VM_STATE_RUNNING);  // which its host has yet to tell
  EXPECT_FALSE(keep_vm1());
}

/// Ticks only when something is asked.
class ApiOfASlowBrain : public Api {
 protected:
  ApiOfASlowBrain() { settings.brain.tick = 1h; }
};

TEST_F(ApiOfASlowBrain, DoesNotAnswerWithWhatStoodInTheWayBefore) {
  fill_other_hosts(100ULL << 20);
  ASSERT_TRUE(keep_vm1());
  fill_other_hosts(4ULL << 30);
  const auto error = keep_vm1();
  EXPECT_FALSE(error) << error->text();
}

TEST_F(Api, TellsWhoWaitsForAShadowWhyTheStandbyRefusesIt) {
  host1->standby_refusal = "host3 has a domain vm1 of its own already";
  const auto error = keep_vm1("host3");
  ASSERT_TRUE(error);
  EXPECT_THAT(error->message, HasSubstr("host3 has a domain vm1 of its own already"));
  EXPECT_THAT(error->remedy, HasSubstr("it stays pinned until umbractl shadow drop vm1"));

  const auto asked = host1->keeps;
  until([&] { return host1->keeps >= asked + 2; });
  const auto events = core().events.events(1000, "vm1", 0).value();
  const auto told = std::ranges::count_if(events, [](const v1::Event& event) {
    return event.kind() == v1::EVENT_KIND_SHADOW && event.text().find("of its own") != std::string::npos;
  });
  EXPECT_EQ(told, 1) << "it is tried on, and told once";

  host1->standby_refusal.clear();
  EXPECT_FALSE(keep_vm1("host3")) << "what failed before somebody asked anew does not count";
}

class ApiWithManyReports : public Api {
 protected:
  ApiWithManyReports() { settings.heartbeat = {20ms, 25}; }
};

TEST_F(ApiWithManyReports, TellsWhoWaitsForAShadowThatNothingComesOfIt) {
  host1->shadows_stall = true;
  v1::PinShadowRequest request;
  request.set_vm("vm1");
  request.set_to("host3");
  request.set_wait(true);
  std::optional<Error> error;
  all(client().keep_shadow(std::move(request), rpc::kNoDeadline), &error);
  ASSERT_TRUE(error);
  EXPECT_EQ(error->code, Errc::kTimeout);
  EXPECT_THAT(error->message, HasSubstr("the shadow of vm1 got no further for"));
}

TEST_F(Api, DropsAShadowForGood) {
  v1::UnpinShadowRequest drop;
  drop.set_vm("vmx");
  EXPECT_EQ(ask(client().drop_shadow(drop, 5s)).error().text(), "no VM 'vmx' (see umbractl vms)");
  drop.set_vm("vm1");
  EXPECT_EQ(ask(client().drop_shadow(drop, 5s)).error().text(), "vm1 has no shadow (see umbractl shadows)");
  v1::PinShadowRequest pin;
  pin.set_vm("vm1");
  pin.set_wait(true);
  all(client().keep_shadow(std::move(pin), 10s));
  ASSERT_TRUE(ask(client().drop_shadow(drop, 5s)));
  until([&] { return !vm("vm1")->shadow; });
  EXPECT_EQ(core().pilot.pin(uuid_of("vm1")), nullptr);
  v1::WhyRequest why;
  why.set_vm("vm1");
  const auto told = ask(client().why(std::move(why), 5s)).value();
  const auto dropped = std::ranges::find(told.decisions(), "drop its shadow", &v1::Decision::action);
  ASSERT_NE(dropped, told.decisions().end());
  EXPECT_EQ(dropped->reason(), "asked by ops; it is not pinned any more");
}

TEST_F(Api, DiagnosesAllHostsAndItself) {
  host4->disconnect();
  host3->proven = false;
  until([&] { return !core().inventory.node("host4")->up; });
  const auto doctor = ask(client().doctor({}, 10s)).value();
  const auto find = [&](const std::string& node, const std::string& name) -> const v1::Check* {
    for (const auto& check : doctor.checks())
      if (check.node() == node && check.name() == name) return &check;
    return nullptr;
  };
  ASSERT_NE(find("host4", "connection"), nullptr);
  EXPECT_FALSE(find("host4", "connection")->ok());
  EXPECT_THAT(find("host4", "connection")->remedy(), HasSubstr("umbra-agentd"));
  EXPECT_TRUE(find("host1", "hold")->ok());
  EXPECT_FALSE(find("host3", "hold")->ok());
  EXPECT_TRUE(find("controller", "zones")->ok());
}

TEST_F(Api, MovesNeitherOfTwoVmsWithOneAddressAndSaysWhy) {
  host2->add_vm("vm9", "10.1.0.1");
  until([&] { return core().inventory.vm(uuid_of("vm9")) != nullptr && !vm("vm9")->objection.empty(); });
  const auto doctor = ask(client().doctor({}, 10s)).value();
  std::vector<std::string> found;
  for (const auto& check : doctor.checks())
    if (check.name() == "address" && !check.ok()) found.push_back(check.detail());
  ASSERT_EQ(found.size(), 2u);
  EXPECT_THAT(found, testing::Contains(HasSubstr("vm9 has address 10.1.0.1, which is that of vm1 on host1 too")));

  for (const auto* name : {"vm1", "vm9"}) {
    v1::ListVmsRequest which;
    which.set_vm(name);
    EXPECT_THAT(ask(client().list_vms(std::move(which), 5s)).value().vms(0).vm().refusal(), HasSubstr("10.1.0.1"));
    v1::MigrateRequest request;
    request.set_vm(name);
    request.set_to("host3");
    std::optional<Error> error;
    all(client().migrate(std::move(request), 10s), &error);
    ASSERT_TRUE(error) << name;
    EXPECT_THAT(error->message, AllOf(HasSubstr("cannot be moved"), HasSubstr("10.1.0.1")));
  }
  EXPECT_FALSE(core().mover.migrate(uuid_of("vm1"), "host3", "", "")) << "by nobody";
  const auto plan = plan_evacuation(core().pilot.picture(), "host1", core().brain.settings()).value();
  EXPECT_EQ(plan.size(), 2u);
  for (const auto& planned : plan) EXPECT_EQ(planned.to().empty(), planned.vm() == "vm1") << planned.vm();

  host2->vm(uuid_of("vm9"))->set_addresses(0, "10.1.0.9");
  until([&] { return vm("vm1")->objection.empty() && vm("vm9")->objection.empty(); });
}

TEST_F(Api, GoesOnAboveAnEpochThatANodeLeavesAlone) {
  host2->newer_routes[uuid_of("vm1")] = 7;
  host2->add_vm("vm9", "10.1.0.9");  // so that routes are told anew
  until([&] { return vm("vm1")->owner_epoch > 7; });
  until([&] {
    return host2->routes && std::ranges::any_of(host2->routes->routes(), [](const v1::WantedRoute& route) {
             return route.vm_uuid() == uuid_of("vm1") && route.epoch() > 7;
           });
  });
  const auto events = core().events.events(100, "", 0).value();
  EXPECT_TRUE(std::ranges::any_of(events, [](const v1::Event& event) {
    return event.node() == "host2" && event.text().find("knows newer epochs") != std::string::npos;
  }));
}

TEST_F(Api, RefusesANodeThatIsNotWhatItsCertificateSays) {
  v1::Node liar;
  liar.set_name("host1");
  liar.set_role(v1::ROLE_AGENT);
  liar.set_zone("a");
  liar.set_underlay_address("192.0.2.66");
  const auto tls = fleet.node(v1::ROLE_AGENT, "host66");
  std::optional<Error> error;
  run([&]() -> asio::awaitable<void> {
    rpc::Services nothing;
    rpc::Expect expect{"", v1::ROLE_CONTROLLER};
    auto session = co_await rpc::connect(io.get_executor(), settings.listen, tls, expect, nothing, 5s);
    v1::RegistryClient registry(*session);
    v1::RegisterRequest request;
    *request.mutable_node() = liar;
    const auto reply = co_await registry.register_(request, 5s);
    if (!reply) error = reply.error();
  });
  ASSERT_TRUE(error);
  EXPECT_EQ(error->code, Errc::kDenied);
  EXPECT_THAT(error->text(), HasSubstr("host66"));
  EXPECT_EQ(core().inventory.node("host1")->node.underlay_address(), "192.0.2.1");
}

}  // namespace
}  // namespace umbra::controller
