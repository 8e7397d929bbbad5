// What a host does when another one is lost, and when a cutover is decided by the controller.
#include <gmock/gmock.h>

#include "agentd/tests/two_hosts.hpp"

namespace umbra::agent::test {
namespace {

using namespace std::chrono_literals;
using shadow::Phase;
using shadow::Side;
using testing::HasSubstr;

v1::ReportRequest report_of(Machine& machine) {
  v1::ReportRequest report;
  machine.process->report(report);
  return report;
}

v1::StartDefinitionRequest definition(std::uint64_t epoch) {
  v1::StartDefinitionRequest request;
  request.mutable_vm()->set_uuid(TwoHosts::kVm);
  request.set_xml(TwoHosts::domain_xml(mebibytes(64)));
  request.set_epoch(epoch);
  request.set_from("host1");
  return request;
}

Result<void> start(TwoHosts& world, v1::StartDefinitionRequest request) {
  auto* host = world.standby.process->host();
  return world.ask(&world.standby, host->start_definition(std::move(request)), 30s);
}

/// Host1 is lost with all that ran on it.
void lose_the_source(TwoHosts& world) {
  world.crash(world.source);
  ASSERT_TRUE(world.ask(nullptr, world.source.hypervisor->destroy(TwoHosts::kVm, virt::Ending::kOrdinary, 1s)));
}

TEST(HostLoss, AVmOfALostHostStartsFromItsDefinitionOnceHoweverOftenItIsAskedFor) {
  TwoHosts world;
  lose_the_source(world);
  const auto epoch = world.next_epoch();
  const auto started = start(world, definition(epoch));
  ASSERT_TRUE(started) << started.error().text();
  EXPECT_TRUE(world.runs(world.standby));
  EXPECT_TRUE(world.domain(world.standby)->persistent);
  ASSERT_TRUE(world.record(world.standby, Side::kStandby));
  EXPECT_EQ(world.record(world.standby, Side::kStandby)->epoch, epoch);
  const auto qemu = world.qemu(world.standby);
  EXPECT_TRUE(start(world, definition(epoch))) << "the answer was lost, perhaps";
  EXPECT_EQ(world.qemu(world.standby), qemu);
  EXPECT_TRUE(world.until([&] { return world.route(world.standby) == "tap"; }, 10s, 20ms)) << world.describe();
  const auto report = report_of(world.standby);
  ASSERT_EQ(report.served_size(), 1);
  EXPECT_EQ(report.served(0).epoch(), epoch);
  EXPECT_TRUE(report.served(0).active());
}

TEST(HostLoss, AnEpochThatIsKnownStartsNothing) {
  TwoHosts world;
  lose_the_source(world);
  const auto old = world.next_epoch(), epoch = world.next_epoch();
  ASSERT_TRUE(start(world, definition(epoch)));
  ASSERT_TRUE(world.ask(nullptr, world.standby.hypervisor->destroy(TwoHosts::kVm, virt::Ending::kOrdinary, 1s)));
  const auto late = start(world, definition(old));
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().code, Errc::kConflict);
  EXPECT_FALSE(world.runs(world.standby));
}

TEST(HostLoss, AStartThatFailsLeavesTheHostAsItWas) {
  TwoHosts world;
  const auto epoch = world.next_epoch();
  world.standby.hypervisor->fail("create_paused", Error{Errc::kConflict, "Failed to get \"write\" lock", ""});
  const auto started = start(world, definition(epoch));
  ASSERT_FALSE(started);
  EXPECT_FALSE(world.domain(world.standby)) << "no definition is left";
  EXPECT_EQ(report_of(world.standby).served_size(), 0) << "it has never run there";
  EXPECT_EQ(world.record(world.standby, Side::kStandby)->phase, shadow::Phase::kDropped);
  EXPECT_FALSE(start(world, definition(epoch))) << "its epoch is over";
  world.warm();
  EXPECT_EQ(world.phase(world.source), shadow::Phase::kWarm) << world.describe();
}

TEST(HostLoss, WhatCannotRunHereIsRefusedBeforeAnythingIsDone) {
  TwoHosts world;
  lose_the_source(world);
  auto request = definition(world.next_epoch());
  request.mutable_vm()->set_uuid("11111111-2222-3333-4444-555555555599");
  EXPECT_FALSE(start(world, request)) << "the definition of another VM";
  request = definition(world.next_epoch());
  request.set_xml(std::string(300'000, 'x'));
  EXPECT_FALSE(start(world, request));
  EXPECT_FALSE(world.domain(world.standby));
}

TEST(HostLoss, TheControllerIsToldDefinitionsWhenTheyChange) {
  TwoHosts world;
  world.pass(1s, 20ms);
  auto* host = world.source.process->host();
  const auto first = report_of(world.source);
  ASSERT_EQ(first.definitions_size(), 1);
  EXPECT_THAT(first.definitions(0).xml(), HasSubstr("<name>web1</name>"));
  host->delivered(first);
  EXPECT_EQ(report_of(world.source).definitions_size(), 0);
  host->introduced({});  // a controller that may have lost its store
  EXPECT_EQ(report_of(world.source).definitions_size(), 1);
}

TEST(HostLoss, AVmThatStartsAtBootIsToldSoAndStartsAtBootOnItsNewHost) {
  TwoHosts world;
  const auto told = [&] { return report_of(world.source).definitions(0).autostart(); };
  world.pass(1s, 20ms);
  ASSERT_EQ(report_of(world.source).definitions_size(), 1);
  EXPECT_FALSE(told());
  world.source.process->host()->delivered(report_of(world.source));
  ASSERT_TRUE(world.ask(nullptr, world.source.hypervisor->set_autostart(TwoHosts::kVm, true, 1s)));
  EXPECT_TRUE(world.until([&] { return report_of(world.source).definitions_size() == 1; }, 90s, 100ms));
  EXPECT_TRUE(told());
  lose_the_source(world);
  auto request = definition(world.next_epoch());
  request.set_autostart(true);
  ASSERT_TRUE(start(world, std::move(request)));
  EXPECT_TRUE(world.standby.hypervisor->starts_at_boot(TwoHosts::kVm));
}

TEST(HostLoss, AutostartThatACutoverHasWithdrawnIsToldAsItIsSet) {
  TwoHosts world;
  ASSERT_TRUE(world.ask(nullptr, world.source.hypervisor->set_autostart(TwoHosts::kVm, true, 1s)));
  world.warm();
  bool parted = false;
  world.set_fate([&](const Moment& moment) {
    if (moment.kind != Moment::Kind::kRequest || moment.what != "released") return Verdict{};
    parted = true;
    world.lan().part("host1", "host2");
    return Verdict{Verdict::Kind::kLose};
  });
  const auto move = world.cutover(world.source, world.standby);
  ASSERT_TRUE(world.until([&] { return parted; }, 40s));
  world.pass(70s, 50ms);
  ASSERT_EQ(world.phase(world.source), Phase::kPromised) << world.describe();
  EXPECT_FALSE(world.source.hypervisor->starts_at_boot(TwoHosts::kVm));
  world.source.process->host()->introduced({});
  world.pass(1s, 20ms);
  const auto report = report_of(world.source);
  ASSERT_EQ(report.definitions_size(), 1);
  EXPECT_TRUE(report.definitions(0).autostart());
}

TEST(HostLoss, AHostThatComesBackUndefinesWhatWasTakenOver) {
  TwoHosts world;
  lose_the_source(world);
  world.start(world.source);
  ASSERT_TRUE(world.domain(world.source)) << "defined still";
  v1::RegisterReply reply;
  auto* taken = reply.add_taken_over();
  taken->set_vm_uuid(TwoHosts::kVm);
  taken->set_vm("web1");
  taken->set_host("host2");
  taken->set_epoch(9);
  world.source.process->host()->introduced(reply);
  EXPECT_TRUE(world.until([&] { return !world.domain(world.source); }, 10s, 20ms)) << world.describe();
  EXPECT_EQ(report_of(world.source).vms_size(), 0);
}

TEST(HostLoss, AutostartThatTheGuardWithheldIsSetAgainOnceTheVmIsKnownToBeThisHosts) {
  TwoHosts world;
  world.crash(world.source);
  const auto file = withheld_file(world.source.config.state_dir);
  ASSERT_TRUE(write_withheld(file, {{TwoHosts::kVm, "web1", "the controller could not be reached"},
                                    {"11111111-2222-3333-4444-555555555599", "gone", "likewise"}}));
  world.start(world.source);
  auto* host = world.source.process->host();
  ASSERT_EQ(host->question().vm_uuids_size(), 2);
  world.pass(5s, 20ms);
  EXPECT_FALSE(world.source.hypervisor->starts_at_boot(TwoHosts::kVm)) << "nobody has said yet whose it is";
  v1::WhoseVmsReply reply;
  reply.add_owners()->set_vm_uuid(TwoHosts::kVm);
  reply.mutable_owners(0)->set_yours(true);
  reply.add_owners()->set_vm_uuid("11111111-2222-3333-4444-555555555599");
  host->answered(reply);
  EXPECT_TRUE(world.until([&] { return world.source.hypervisor->starts_at_boot(TwoHosts::kVm); }, 10s, 20ms));
  EXPECT_TRUE(world.until([&] { return !std::filesystem::exists(file); }, 10s, 20ms));
}

TEST(HostLoss, AHostThatStillRunsWhatWasTakenOverEndsNothingAndAlerts) {
  TwoHosts world;
  v1::RegisterReply reply;
  auto* taken = reply.add_taken_over();
  taken->set_vm_uuid(TwoHosts::kVm);
  taken->set_host("host2");
  world.source.process->host()->introduced(reply);
  world.pass(12s, 50ms);
  EXPECT_TRUE(world.runs(world.source));
  EXPECT_TRUE(world.told(v1::SEVERITY_ALERT, "it runs twice"));
}

/// What host1 is to let go of, as the controller says with each answer.
struct TakenOverFromHost1 : testing::Test {
  TakenOverFromHost1() {
    auto& taken = *reply.add_taken_over();
    taken.set_vm_uuid(TwoHosts::kVm);
    taken.set_vm("web1");
    taken.set_host("host2");
    taken.set_epoch(9);
    reply.set_taken_over_known(true);
  }
  void registers() {
    v1::RegisterReply registered;
    *registered.mutable_taken_over() = reply.taken_over();
    world.source.process->host()->introduced(registered);
  }
  void says_nothing_is_taken_over() {
    v1::ReportReply nothing;
    nothing.set_taken_over_known(true);
    world.source.process->host()->heed(nothing);
  }
  void shut_off() {
    ASSERT_TRUE(world.ask(nullptr, world.source.hypervisor->destroy(TwoHosts::kVm, virt::Ending::kOrdinary, 1s)));
  }
  TwoHosts world;
  v1::ReportReply reply;
};

TEST_F(TakenOverFromHost1, WhatIsNotTakenOverAnyMoreIsKept) {
  registers();
  world.pass(2s, 20ms);
  EXPECT_TRUE(world.told(v1::SEVERITY_ALERT, "it runs twice"));
  says_nothing_is_taken_over();
  world.pass(2s, 20ms);
  EXPECT_TRUE(world.told(v1::SEVERITY_WARNING, "the copy here may be the only one"));
  shut_off();
  world.pass(25s, 50ms);
  EXPECT_TRUE(world.domain(world.source));
}

TEST_F(TakenOverFromHost1, OldWordUndefinesNothing) {
  registers();
  world.pass(15s, 50ms);
  shut_off();
  world.pass(25s, 50ms);
  EXPECT_TRUE(world.domain(world.source)) << "host2 may have let go of it since";
  world.source.process->host()->heed(reply);
  EXPECT_TRUE(world.until(
      [&] {
        world.source.process->host()->heed(reply);
        return !world.domain(world.source);
      },
      15s, 20ms));
}

TEST_F(TakenOverFromHost1, WhatIsShutOffThereDoesNotRunTwice) {
  reply.mutable_taken_over(0)->set_shut_off(true);
  registers();
  world.pass(5s, 20ms);
  EXPECT_FALSE(world.told(v1::SEVERITY_ALERT, "it runs twice"));
  EXPECT_TRUE(world.runs(world.source));
}

TEST(HostLoss, AHostTellsTheEpochsOfItsJournalWhenItRegisters) {
  TwoHosts world;
  world.warm();
  const auto move = world.cutover(world.source, world.standby);
  ASSERT_TRUE(world.until([&] { return move->end.has_value(); }, 40s));
  const auto epoch = (**move->end).epoch();
  for (auto* one : {&world.source, &world.standby}) {
    world.pass(2s, 10ms);
    world.crash(*one);
    one->hypervisor->set_connected(false);
    world.start(*one);
    v1::RegisterRequest request;
    one->process->host()->fill(request);
    EXPECT_TRUE(request.epochs_known());
    ASSERT_EQ(request.known_epochs_size(), 1) << one->name();
    EXPECT_EQ(request.known_epochs(0).epoch(), epoch) << one->name() << ", though libvirt cannot be asked";
    one->hypervisor->set_connected(true);
  }
}

/// The network parts the hosts as the source's word leaves: neither can decide.
struct Undecided : testing::Test {
  void SetUp() override {
    world.warm();
    world.set_fate([this](const Moment& moment) {
      if (moment.kind != Moment::Kind::kRequest || moment.what != "released") return Verdict{};
      parted = true;
      world.lan().part("host1", "host2");
      return Verdict{Verdict::Kind::kLose};
    });
    move = world.cutover(world.source, world.standby);
    ASSERT_TRUE(world.until([&] { return parted; }, 40s));
    world.pass(40s, 20ms);
    ASSERT_EQ(world.phase(world.source), Phase::kPromised) << world.describe();
    ASSERT_FALSE(world.runs(world.source) || world.runs(world.standby)) << world.describe();
  }
  v1::VmAccount account(Machine& machine) {
    return world.ask(&machine, machine.process->host()->account(TwoHosts::kVm), 10s).value();
  }
  Result<void> yield(Machine& machine, std::uint64_t epoch) {
    v1::YieldRequest request;
    request.set_vm_uuid(TwoHosts::kVm);
    request.set_epoch(epoch);
    request.set_to("the other");
    return world.ask(&machine, machine.process->host()->yield(std::move(request)), 40s);
  }
  Result<void> resolve(Machine& machine, std::uint64_t epoch) {
    v1::ResolveRequest request;
    request.set_vm_uuid(TwoHosts::kVm);
    request.set_epoch(epoch);
    return world.ask(&machine, machine.process->host()->resolve(std::move(request)), 40s);
  }
  TwoHosts world;
  bool parted = false;
  std::shared_ptr<Move> move;
};

TEST_F(Undecided, TheSourceRunsAgainOnceTheStandbyHasYielded) {
  EXPECT_EQ(account(world.source).source_phase(), "promised");
  EXPECT_TRUE(account(world.source).can_run());
  EXPECT_EQ(account(world.standby).standby_phase(), "armed");
  const auto epoch = world.next_epoch();
  const auto yielded = yield(world.standby, epoch);
  ASSERT_TRUE(yielded) << yielded.error().text();
  EXPECT_TRUE(world.until([&] { return !world.qemu(world.standby); }, 10s, 10ms));
  EXPECT_TRUE(yield(world.standby, epoch)) << "told twice";
  const auto resolved = resolve(world.source, epoch);
  ASSERT_TRUE(resolved) << resolved.error().text() << world.describe();
  EXPECT_TRUE(world.runs(world.source));
  EXPECT_TRUE(world.violations().empty()) << world.describe();
}

TEST_F(Undecided, ASourceThatYieldsHasNoCopyLeft) {
  const auto yielded = yield(world.source, world.next_epoch());
  ASSERT_TRUE(yielded) << yielded.error().text() << world.describe();
  EXPECT_FALSE(world.qemu(world.source));
  EXPECT_FALSE(world.domain(world.source));
  EXPECT_EQ(world.record(world.source, Side::kSource)->phase, Phase::kDropped);
}

}  // namespace
}  // namespace umbra::agent::test
