// What the agent relies on in a hypervisor, held against FakeHypervisor and against a real libvirtd of the test's own.
#include "agentd/virt/tests/hypervisor_world.hpp"

namespace umbra::virt {
namespace {

using qmp::MigrationStatus;

enum class Kind { kFake, kReal };

class HypervisorContract : public testing::TestWithParam<Kind> {
 protected:
  using Body = Task<void> (*)(World&);
  void check(Body body) {
    const auto world = GetParam() == Kind::kFake ? make_fake_world() : make_real_world();
    run_task(world->io(), [](World& opened, Body inner) -> Task<void> {
      UMBRA_CO_CHECK(co_await opened.open());
      co_return co_await inner(opened);
    }(*world, body));
  }
};

TEST_P(HypervisorContract, TellsTheHostAndItsVersions) {
  check([](World& world) -> Task<void> {
    UMBRA_CO_TRY(const auto host, co_await world.hypervisor().host(kSoon));
    EXPECT_GT(host.cpus, 0U);
    EXPECT_GT(host.memory_total.count, host.memory_free.count);
    EXPECT_GT(host.memory_free.count, 0U);
    EXPECT_TRUE(host.hypervisor_version.starts_with("10.")) << host.hypervisor_version;
    EXPECT_FALSE(host.libvirt_version.empty());
    co_return Result<void>{};
  });
}

TEST_P(HypervisorContract, ADomainLivesFromCreationToDestruction) {
  check([](World& world) -> Task<void> {
    auto& hypervisor = world.hypervisor();
    UMBRA_CO_CHECK(co_await world.run(kFirst));
    UMBRA_CO_TRY(const auto running, co_await hypervisor.domain(kFirst.uuid, kSoon));
    EXPECT_EQ(running.state, DomainState::kRunning);
    EXPECT_EQ(running.name, kFirst.name);
    EXPECT_EQ(running.memory, mebibytes(32));
    EXPECT_FALSE(running.persistent);
    EXPECT_FALSE(running.incoming);
    EXPECT_EQ(running.refusal, "");
    UMBRA_CO_CHECK(co_await hypervisor.suspend(kFirst.uuid, kSoon));
    UMBRA_CO_TRY(const auto paused, co_await hypervisor.domains(kSoon));
    CO_ASSERT(paused.size() == 1);
    EXPECT_EQ(paused[0].state, DomainState::kPaused);
    UMBRA_CO_CHECK(co_await hypervisor.destroy(kFirst.uuid, Ending::kOrdinary, kSoon));
    const auto gone = co_await hypervisor.domain(kFirst.uuid, kSoon);
    CO_ASSERT(!gone);
    EXPECT_EQ(gone.error().code, Errc::kNotFound);
    UMBRA_CO_CHECK(co_await world.until([&world] { return world.told("stopped:destroyed"); }));
    EXPECT_EQ(world.lifecycle, (std::vector<std::string>{"started:booted", "suspended:paused", "resumed:unpaused",
                                                         "suspended:paused", "shutdown:host", "stopped:destroyed"}));
    co_return Result<void>{};
  });
}

TEST_P(HypervisorContract, TheImageOfADomainThatMovedAwayKeepsItsOwner) {
  check([](World& world) -> Task<void> {
    UMBRA_CO_CHECK(co_await world.run(kFirst, "", world.disk()));
    const auto given = world.owner_of_disk();
    EXPECT_NE(given, world.root()) << "libvirt gives it to QEMU";
    UMBRA_CO_TRY(const auto found, co_await world.hypervisor().tend(kFirst.uuid, kSoon));
    EXPECT_TRUE(found.empty()) << fmt::format("{}", fmt::join(found, "; "));
    UMBRA_CO_CHECK(co_await world.hypervisor().destroy(kFirst.uuid, Ending::kMovedAway, kSoon));
    EXPECT_EQ(world.owner_of_disk(), given);

    UMBRA_CO_CHECK(co_await world.run(kSecond, "", world.disk()));
    world.take_disk();
    UMBRA_CO_TRY(const auto taken, co_await world.hypervisor().tend(kSecond.uuid, kSoon));
    EXPECT_EQ(taken.size(), 1U);
    EXPECT_EQ(world.owner_of_disk(), world.root()) << "which may be somebody's intent";
    co_return Result<void>{};
  });
}

TEST_P(HypervisorContract, AShadowLeavesTheOwnerOfItsPrimarysImageAlone) {
  check([](World& world) -> Task<void> {
    auto& hypervisor = world.hypervisor();
    UMBRA_CO_CHECK(co_await world.run(kFirst, "", world.disk()));
    const auto given = world.owner_of_disk();
    UMBRA_CO_TRY(const auto shadow, shadow_xml(world.xml(kSecond, "", world.disk())));
    UMBRA_CO_CHECK(co_await hypervisor.create_paused(shadow, kSoon));
    EXPECT_EQ(world.owner_of_disk(), given);

    world.take_disk();  // as it would be given back after a move
    UMBRA_CO_TRY(const auto taken, co_await hypervisor.tend(kSecond.uuid, kSoon));
    EXPECT_EQ(taken.size(), 1U);
    EXPECT_EQ(world.owner_of_disk(), given);

    UMBRA_CO_CHECK(co_await hypervisor.destroy(kSecond.uuid, Ending::kOrdinary, kSoon));
    EXPECT_EQ(world.owner_of_disk(), given);
    co_return Result<void>{};
  });
}

TEST_P(HypervisorContract, TellsThatAGuestBootsAgain) {
  check([](World& world) -> Task<void> {
    UMBRA_CO_CHECK(co_await world.run(kFirst));
    boost::json::object none;
    UMBRA_CO_CHECK(co_await world.hypervisor().monitor(kFirst.uuid)->execute("system_reset", none, kSoon));
    UMBRA_CO_CHECK(co_await world.until([&world] { return world.told("reset:reset"); }));
    co_return Result<void>{};
  });
}

TEST_P(HypervisorContract, RefusesBrokenXmlAndASecondDomainOfTheSameName) {
  check([](World& world) -> Task<void> {
    auto& hypervisor = world.hypervisor();
    const auto broken = co_await hypervisor.create_paused("<domain><name>x</nome></domain>", kSoon);
    CO_ASSERT(!broken);
    EXPECT_EQ(broken.error().code, Errc::kInvalid);
    UMBRA_CO_CHECK(co_await world.run(kFirst));
    const auto again = co_await hypervisor.create_paused(world.xml(kFirst), kSoon);
    CO_ASSERT(!again);
    EXPECT_EQ(again.error().code, Errc::kConflict) << again.error().text();
    const Vm namesake{kFirst.name, kSecond.uuid};
    const auto same_name = co_await hypervisor.create_paused(world.xml(namesake), kSoon);
    CO_ASSERT(!same_name);
    EXPECT_EQ(same_name.error().code, Errc::kConflict) << same_name.error().text();
    co_return Result<void>{};
  });
}

TEST_P(HypervisorContract, KnowsNothingOfADomainThatIsNotThere) {
  check([](World& world) -> Task<void> {
    auto& hypervisor = world.hypervisor();
    EXPECT_EQ((co_await hypervisor.domain(kFirst.uuid, kSoon)).error().code, Errc::kNotFound);
    EXPECT_EQ((co_await hypervisor.resume(kFirst.uuid, kSoon)).error().code, Errc::kNotFound);
    EXPECT_EQ((co_await hypervisor.destroy(kFirst.uuid, Ending::kOrdinary, kSoon)).error().code, Errc::kNotFound);
    EXPECT_EQ((co_await hypervisor.undefine(kFirst.uuid, kSoon)).error().code, Errc::kNotFound);
    qmp::Client monitor(hypervisor.monitor(kFirst.uuid));
    EXPECT_EQ((co_await monitor.status(kSoon)).error().code, Errc::kUnavailable);
    co_return Result<void>{};
  });
}

TEST_P(HypervisorContract, DefinitionsOutliveTheirDomains) {
  check([](World& world) -> Task<void> {
    auto& hypervisor = world.hypervisor();
    UMBRA_CO_CHECK(co_await hypervisor.define(world.xml(kFirst), kSoon));
    UMBRA_CO_TRY(const auto defined, co_await hypervisor.domain(kFirst.uuid, kSoon));
    EXPECT_EQ(defined.state, DomainState::kShutOff);
    EXPECT_TRUE(defined.persistent);
    EXPECT_EQ((co_await hypervisor.resume(kFirst.uuid, kSoon)).error().code, Errc::kConflict);

    UMBRA_CO_CHECK(co_await world.run(kFirst));
    UMBRA_CO_TRY(const auto running, co_await hypervisor.domain(kFirst.uuid, kSoon));
    EXPECT_EQ(running.state, DomainState::kRunning);
    EXPECT_TRUE(running.persistent);
    UMBRA_CO_TRY(const auto xml, co_await hypervisor.inactive_xml(kFirst.uuid, kSoon));
    EXPECT_EQ(parse_domain(xml).value().uuid, kFirst.uuid);

    UMBRA_CO_CHECK(co_await hypervisor.undefine(kFirst.uuid, kSoon));
    UMBRA_CO_TRY(const auto transient, co_await hypervisor.domain(kFirst.uuid, kSoon));
    EXPECT_EQ(transient.state, DomainState::kRunning);
    EXPECT_FALSE(transient.persistent);
    EXPECT_EQ((co_await hypervisor.inactive_xml(kFirst.uuid, kSoon)).error().code, Errc::kNotFound);
    UMBRA_CO_CHECK(co_await hypervisor.destroy(kFirst.uuid, Ending::kOrdinary, kSoon));
    EXPECT_EQ((co_await hypervisor.domain(kFirst.uuid, kSoon)).error().code, Errc::kNotFound);
    UMBRA_CO_CHECK(co_await world.until([&world] { return world.told("stopped:destroyed"); }));
    EXPECT_TRUE(world.told("defined:added"));
    EXPECT_TRUE(world.told("undefined:removed"));
    co_return Result<void>{};
  });
}

TEST_P(HypervisorContract, AnnotationsComeAndGoAndLeaveTheOperatorsTextAlone) {
  check([](World& world) -> Task<void> {
    auto& hypervisor = world.hypervisor();
    UMBRA_CO_CHECK(co_await world.run(kFirst, "<description>web server</description>"));
    UMBRA_CO_CHECK(co_await hypervisor.annotate(kFirst.uuid, "held on host2", kSoon));
    UMBRA_CO_TRY(const auto held, co_await hypervisor.definition(kFirst.uuid, kSoon));
    EXPECT_NE(held.live_xml.find("web server\n[umbra] held on host2"), std::string::npos);
    UMBRA_CO_CHECK(co_await hypervisor.annotate(kFirst.uuid, "", kSoon));
    UMBRA_CO_TRY(const auto free, co_await hypervisor.definition(kFirst.uuid, kSoon));
    EXPECT_EQ(free.live_xml.find("[umbra]"), std::string::npos);
    EXPECT_NE(free.live_xml.find("<description>web server</description>"), std::string::npos);

    UMBRA_CO_CHECK(co_await world.run(kSecond));  // has no description at all
    UMBRA_CO_CHECK(co_await hypervisor.annotate(kSecond.uuid, "", kSoon));
    UMBRA_CO_CHECK(co_await hypervisor.annotate(kSecond.uuid, "held", kSoon));
    UMBRA_CO_CHECK(co_await hypervisor.annotate(kSecond.uuid, "", kSoon));
    co_return Result<void>{};
  });
}

TEST_P(HypervisorContract, AFingerprintDiffersWhenAnythingThatLibvirtKeepsDoes) {
  check([](World& world) -> Task<void> {
    auto& hypervisor = world.hypervisor();
    UMBRA_CO_CHECK(co_await world.run(kFirst));
    std::set<std::string> seen;
    const auto look = [&]() -> Task<void> {
      UMBRA_CO_TRY(const auto first, co_await hypervisor.fingerprint(kFirst.uuid, kSoon));
      UMBRA_CO_TRY(const auto again, co_await hypervisor.fingerprint(kFirst.uuid, kSoon));
      EXPECT_EQ(first, again);
      EXPECT_TRUE(seen.insert(first).second) << first;
      co_return Result<void>{};
    };
    UMBRA_CO_CHECK(co_await look());
    UMBRA_CO_CHECK(co_await hypervisor.annotate(kFirst.uuid, "held on host2", kSoon));
    UMBRA_CO_CHECK(co_await look());  // of the live XML
    Definition kept;
    kept.inactive_xml = world.xml(kFirst, "<title>stored</title>");
    UMBRA_CO_CHECK(co_await hypervisor.keep_as(kFirst.uuid, kept, kSoon));
    UMBRA_CO_CHECK(co_await look());  // of the stored one
    kept.snapshots.push_back(
        "<domainsnapshot><name>before</name><state>shutoff</state><creationTime>1</creationTime>"
        "<domain type='qemu'><name>first</name><uuid>" +
        kFirst.uuid +
        "</uuid><memory unit='MiB'>32</memory><vcpu>1</vcpu><os><type arch='x86_64' machine='q35'>hvm</type></os>"
        "</domain></domainsnapshot>");
    UMBRA_CO_CHECK(co_await hypervisor.keep_as(kFirst.uuid, kept, kSoon));
    UMBRA_CO_CHECK(co_await look());
    UMBRA_CO_CHECK(co_await hypervisor.set_autostart(kFirst.uuid, true, kSoon));
    UMBRA_CO_TRY(const auto now, co_await hypervisor.fingerprint(kFirst.uuid, kSoon));
    EXPECT_TRUE(seen.contains(now)) << "a cutover withdraws autostart itself";
    co_return Result<void>{};
  });
}

TEST_P(HypervisorContract, WhatLibvirtKeepsOfADomainCanBeMadeSoElsewhere) {
  check([](World& world) -> Task<void> {
    auto& hypervisor = world.hypervisor();
    const std::string snapshot =
        "<domainsnapshot><name>before</name><state>shutoff</state><creationTime>1</creationTime>"
        "<domain type='qemu'><name>first</name><uuid>" +
        kFirst.uuid +
        "</uuid><memory unit='MiB'>32</memory><vcpu>1</vcpu><os><type arch='x86_64' machine='q35'>hvm</type></os>"
        "</domain></domainsnapshot>";
    UMBRA_CO_CHECK(co_await world.run(kFirst));
    EXPECT_EQ((co_await hypervisor.set_autostart(kFirst.uuid, true, kSoon)).error().code, Errc::kConflict)
        << "it is transient";
    Definition wanted;
    wanted.live_xml = world.xml(kFirst,
                                "<title>a title</title><description>words</description><metadata><u:vm xmlns:u='urn:u'>"
                                "<u:address>10.0.0.1</u:address></u:vm></metadata>");
    wanted.inactive_xml = world.xml(kFirst, "<title>stored</title>");
    wanted.autostart = true;
    wanted.snapshots.push_back(snapshot);
    wanted.current_snapshot = "before";
    for (int twice = 0; twice < 2; ++twice) UMBRA_CO_CHECK(co_await hypervisor.keep_as(kFirst.uuid, wanted, kSoon));

    UMBRA_CO_TRY(const auto kept, co_await hypervisor.definition(kFirst.uuid, kSoon));
    UMBRA_CO_TRY(const auto annotations, annotations_of(kept.live_xml));
    EXPECT_EQ(annotations.title, "a title");
    EXPECT_EQ(annotations.description, "words");
    CO_ASSERT(annotations.metadata.size() == 1);
    EXPECT_EQ(annotations.metadata[0].uri, "urn:u");
    EXPECT_NE(annotations.metadata[0].xml.find("10.0.0.1"), std::string::npos);
    EXPECT_NE(kept.inactive_xml.find("<title>stored</title>"), std::string::npos);
    EXPECT_TRUE(kept.autostart);
    UMBRA_CO_TRY(const bool starts_at_boot, co_await hypervisor.autostart(kFirst.uuid, kSoon));
    EXPECT_TRUE(starts_at_boot);
    CO_ASSERT(kept.snapshots.size() == 1);
    EXPECT_NE(kept.snapshots[0].find("<name>before</name>"), std::string::npos);
    EXPECT_EQ(kept.current_snapshot, "before");

    UMBRA_CO_CHECK(co_await hypervisor.set_autostart(kFirst.uuid, false, kSoon));
    UMBRA_CO_CHECK(co_await hypervisor.undefine(kFirst.uuid, kSoon));
    UMBRA_CO_CHECK(co_await hypervisor.destroy(kFirst.uuid, Ending::kOrdinary, kSoon));
    EXPECT_EQ((co_await hypervisor.domain(kFirst.uuid, kSoon)).error().code, Errc::kNotFound)
        << "its snapshots leave nothing behind";
    co_return Result<void>{};
  });
}

TEST_P(HypervisorContract, CountsWhatDomainsUse) {
  check([](World& world) -> Task<void> {
    auto& hypervisor = world.hypervisor();
    UMBRA_CO_CHECK(co_await world.run(kFirst));
    UMBRA_CO_CHECK(co_await hypervisor.measure_dirty_rate(kFirst.uuid, 1s, kSoon));
    std::optional<DomainStats> stats;
    for (int tries = 0; tries < 100 && !(stats && stats->dirty_rate); ++tries) {
      UMBRA_CO_CHECK(co_await world.pass(50ms));
      UMBRA_CO_TRY(const auto all, co_await hypervisor.stats(kSoon));
      CO_ASSERT(all.size() == 1);
      stats = all[0];
    }
    EXPECT_EQ(stats->uuid, kFirst.uuid);
    EXPECT_EQ(stats->vcpus, 1U);
    EXPECT_GT(stats->memory_used.count, 0U);
    EXPECT_TRUE(stats->dirty_rate);
    co_return Result<void>{};
  });
}

/// @error kTimeout the migration does not come to what is wanted
Task<void> until_migration(World& world, qmp::Client& client, bool (*wanted)(const qmp::MigrationInfo&)) {
  for (int tries = 0; tries < 2000; ++tries) {
    UMBRA_CO_TRY(const auto info, co_await client.migration(kSoon));
    if (wanted(info)) co_return Result<void>{};
    UMBRA_CO_CHECK(co_await world.pass(5ms));
  }
  co_return fail(Errc::kTimeout, "the migration does not get there");
}

/// @error kTimeout QEMU does not come to that state
Task<void> until_state(World& world, qmp::Client& client, qmp::RunState wanted) {
  for (int tries = 0; tries < 2000; ++tries) {
    UMBRA_CO_TRY(const auto status, co_await client.status(kSoon));
    if (status.state == wanted) co_return Result<void>{};
    UMBRA_CO_CHECK(co_await world.pass(5ms));
  }
  co_return fail(Errc::kTimeout, "QEMU does not get to that state");
}

TEST_P(HypervisorContract, AShadowWaitsUntilItsMemoryHasCome) {
  check([](World& world) -> Task<void> {
    auto& hypervisor = world.hypervisor();
    UMBRA_CO_CHECK(co_await world.run(kFirst));
    UMBRA_CO_TRY(const auto shadow_of_second, shadow_xml(world.xml(kSecond)));
    UMBRA_CO_TRY(const auto uuid, co_await hypervisor.create_paused(shadow_of_second, kSoon));
    EXPECT_EQ(uuid, kSecond.uuid);
    UMBRA_CO_TRY(const auto waiting, co_await hypervisor.domain(kSecond.uuid, kSoon));
    EXPECT_EQ(waiting.state, DomainState::kPaused);
    EXPECT_TRUE(waiting.incoming);
    EXPECT_NE(waiting.refusal.find("shadow"), std::string::npos);

    const auto source_transport = hypervisor.monitor(kFirst.uuid), shadow_transport = hypervisor.monitor(kSecond.uuid);
    std::vector<std::string> source_events, shadow_events;
    record(*source_transport, source_events);
    record(*shadow_transport, shadow_events);
    qmp::Client source(source_transport), shadow(shadow_transport);
    std::vector<std::string> on{"return-path", "pause-before-switchover", "late-block-activate", "events"}, off;
    UMBRA_CO_CHECK(co_await shadow.set_capabilities(on, off, kSoon));
    // Without parking, a source that tells its events tells of more passes than libvirtd can take: libvirtd queues
    // each one to each of its clients.
    on.back() = "switchover-ack";
    off.emplace_back("events");
    UMBRA_CO_CHECK(co_await source.set_capabilities(on, off, kSoon));
    const std::string uri = "tcp:127.0.0.1:49152";
    UMBRA_CO_CHECK(co_await shadow.migrate_incoming(uri, kSoon));
    UMBRA_CO_CHECK(co_await source.migrate(uri, kSoon));
    UMBRA_CO_CHECK(co_await until_migration(world, source,
                                            [](const qmp::MigrationInfo& info) { return info.dirty_sync_count >= 2; }));

    UMBRA_CO_CHECK(co_await hypervisor.suspend(kFirst.uuid, kSoon));
    UMBRA_CO_CHECK(co_await until_migration(
        world, source, [](const qmp::MigrationInfo& info) { return info.status == MigrationStatus::kPreSwitchover; }));
    UMBRA_CO_CHECK(co_await source.migrate_continue(kSoon));
    UMBRA_CO_CHECK(co_await world.until([&] { return !shadow_events.empty() && shadow_events.back() == "completed"; }));
    UMBRA_CO_CHECK(co_await hypervisor.resume(kSecond.uuid, kSoon));
    UMBRA_CO_CHECK(co_await world.until([&] { return shadow_events.back() == "RESUME"; }));
    EXPECT_EQ(source_events, std::vector<std::string>{"STOP"});
    EXPECT_EQ(shadow_events, (std::vector<std::string>{"setup", "active", "completed", "RESUME"}));
    UMBRA_CO_CHECK(co_await until_migration(
        world, source, [](const qmp::MigrationInfo& info) { return info.status == MigrationStatus::kCompleted; }));

    UMBRA_CO_TRY(const auto serving, co_await hypervisor.domain(kSecond.uuid, kSoon));
    EXPECT_EQ(serving.state, DomainState::kRunning);
    EXPECT_FALSE(serving.incoming);
    EXPECT_EQ(serving.refusal, "");
    UMBRA_CO_TRY(const auto left, co_await hypervisor.domain(kFirst.uuid, kSoon));
    EXPECT_EQ(left.state, DomainState::kPaused);
    UMBRA_CO_CHECK(co_await until_state(world, source, qmp::RunState::kPostMigrate));
    UMBRA_CO_CHECK(co_await hypervisor.suspend(kSecond.uuid, kSoon));  // paused by hand it is no shadow again
    UMBRA_CO_TRY(const auto by_hand, co_await hypervisor.domain(kSecond.uuid, kSoon));
    EXPECT_FALSE(by_hand.incoming);
    co_return Result<void>{};
  });
}

TEST_P(HypervisorContract, ARefusalOfQemusIsNotLostOnTheWay) {
  check([](World& world) -> Task<void> {
    UMBRA_CO_CHECK(co_await world.run(kFirst));
    const auto monitor = world.hypervisor().monitor(kFirst.uuid);
    boost::json::object none;
    const auto unknown = co_await monitor->execute("umbra-does-not-exist", none, kSoon);
    CO_ASSERT(!unknown);
    EXPECT_EQ(unknown.error().code, Errc::kUnsupported);
    qmp::Client client(monitor);
    const auto early = co_await client.migrate_continue(kSoon);
    CO_ASSERT(!early);
    EXPECT_EQ(early.error().code, Errc::kConflict);
    EXPECT_EQ(early.error().message, "migrate-continue: Migration not in expected state: none");
    co_return Result<void>{};
  });
}

TEST_P(HypervisorContract, AQemuThatEndsIsToldOfAndUnavailable) {
  check([](World& world) -> Task<void> {
    UMBRA_CO_CHECK(co_await world.run(kFirst));
    qmp::Client client(world.hypervisor().monitor(kFirst.uuid));
    UMBRA_CO_CHECK(co_await client.status(kSoon));
    (void)co_await client.quit(kSoon);  // its answer may be lost with it
    // libvirt takes it for a failure where it sees the monitor's end before QEMU's word of a shutdown.
    UMBRA_CO_CHECK(
        co_await world.until([&world] { return world.told("stopped:shutdown") || world.told("stopped:failed"); }));
    EXPECT_EQ((co_await client.status(kSoon)).error().code, Errc::kUnavailable);
    EXPECT_EQ((co_await world.hypervisor().domain(kFirst.uuid, kSoon)).error().code, Errc::kNotFound);
    co_return Result<void>{};
  });
}

TEST_P(HypervisorContract, DomainsSurviveALibvirtdThatGoesAndComesBack) {
  check([](World& world) -> Task<void> {
    auto& hypervisor = world.hypervisor();
    UMBRA_CO_CHECK(co_await world.run(kFirst));
    const auto monitor = hypervisor.monitor(kFirst.uuid);
    std::vector<std::string> events;
    record(*monitor, events);
    qmp::Client client(monitor);
    UMBRA_CO_CHECK(co_await client.status(kSoon));

    world.lose_libvirtd();
    UMBRA_CO_CHECK(co_await world.until([&world] { return world.connection == std::vector<bool>{false}; }));
    const auto down = co_await hypervisor.domains(kSoon);
    CO_ASSERT(!down);
    EXPECT_EQ(down.error().code, Errc::kUnavailable);
    EXPECT_NE(down.error().remedy.find("libvirtd"), std::string::npos);
    EXPECT_EQ((co_await client.status(kSoon)).error().code, Errc::kUnavailable);

    world.bring_libvirtd_back();
    UMBRA_CO_CHECK(co_await world.until([&world] { return world.connection == std::vector<bool>{false, true}; }));
    UMBRA_CO_TRY(const auto domain, co_await hypervisor.domain(kFirst.uuid, kSoon));
    EXPECT_EQ(domain.state, DomainState::kRunning);
    UMBRA_CO_TRY(const auto status, co_await client.status(kSoon));
    EXPECT_TRUE(status.running);
    world.lifecycle.clear();
    UMBRA_CO_CHECK(co_await hypervisor.suspend(kFirst.uuid, kSoon));
    UMBRA_CO_CHECK(co_await world.until([&] { return world.told("suspended:paused") && !events.empty(); }));
    EXPECT_EQ(events, std::vector<std::string>{"STOP"});
    co_return Result<void>{};
  });
}

INSTANTIATE_TEST_SUITE_P(Hypervisor, HypervisorContract, testing::Values(Kind::kFake, Kind::kReal),
                         [](const auto& kind) { return kind.param == Kind::kFake ? "Fake" : "Real"; });

}  // namespace
}  // namespace umbra::virt
