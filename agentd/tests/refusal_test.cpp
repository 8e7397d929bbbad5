// What cannot be done is refused with its reason and its remedy, and leaves the VM alone.
#include <gmock/gmock.h>

#include "agentd/shadow/describe.hpp"
#include "agentd/tests/two_hosts.hpp"

namespace umbra::agent::test {
namespace {

using namespace std::chrono_literals;
using shadow::Phase;
using testing::HasSubstr;

void expect_untouched(TwoHosts& world) {
  EXPECT_TRUE(world.runs(world.source));
  const auto& commands = world.qemu(world.source)->commands();
  EXPECT_EQ(std::count(commands.begin(), commands.end(), "stop"), 0);
  EXPECT_EQ(std::count(commands.begin(), commands.end(), "migrate"), 0);
  EXPECT_EQ(world.qemu(world.standby), nullptr);
  EXPECT_FALSE(world.standby.kernel.link(TwoHosts::kTap)) << "nothing is left on the standby";
}

TEST(Refusal, OfAVmThatIsNotThere) {
  TwoHosts world;
  v1::KeepShadowRequest wish;
  wish.set_vm_uuid("11111111-2222-3333-4444-555555555599");
  *wish.mutable_standby() = world.standby.node;
  wish.set_tier(v1::TIER_WARM);
  const auto kept = world.ask(&world.source, world.source.process->host()->keep_shadow(wish), 1s);
  ASSERT_FALSE(kept);
  EXPECT_EQ(kept.error().code, Errc::kNotFound);
}

TEST(Refusal, OfAVmThatDoesNotRun) {
  TwoHosts world;
  ASSERT_TRUE(world.ask(nullptr, world.source.hypervisor->destroy(TwoHosts::kVm, virt::Ending::kOrdinary, 1s)));
  const auto kept = world.keep(world.source, world.standby, v1::TIER_WARM);
  ASSERT_FALSE(kept);
  EXPECT_EQ(kept.error().message, "web1 does not run");
  EXPECT_THAT(kept.error().remedy, HasSubstr("virsh start"));
}

TEST(Refusal, OfAVmWithADeviceOfThisHost) {
  TwoHosts world;
  ASSERT_TRUE(world.ask(nullptr, world.source.hypervisor->destroy(TwoHosts::kVm, virt::Ending::kOrdinary, 1s)));
  auto xml = TwoHosts::domain_xml(mebibytes(64));
  xml.insert(xml.find("<devices>") + 9, "<hostdev mode='subsystem' type='pci'/>");
  ASSERT_TRUE(world.source.hypervisor->start(xml, true));
  world.pass(100ms);
  const auto kept = world.keep(world.source, world.standby, v1::TIER_WARM);
  ASSERT_FALSE(kept);
  EXPECT_EQ(kept.error().code, Errc::kUnsupported);
  EXPECT_THAT(kept.error().message, HasSubstr("(hostdev, pci)"));
}

TEST(Refusal, OfAShadowBesideItsPrimary) {
  TwoHosts world;
  const auto kept = world.keep(world.source, world.source, v1::TIER_WARM);
  ASSERT_FALSE(kept);
  EXPECT_EQ(kept.error().code, Errc::kInvalid);
}

TEST(Refusal, WhereTheHoldIsNotProven) {
  TwoHosts world;
  for (auto* one : {&world.source, &world.standby}) {
    one->proof.set_proven(false);
    one->proof.set_detail("QEMU 7.2 is too old: 8.1 is needed");
  }
  world.restart_in_order(world.standby);
  world.pass(3s, 10ms);
  ASSERT_TRUE(world.keep(world.source, world.standby, v1::TIER_WARM)) << "the source itself is fit";
  world.pass(2s, 5ms);
  EXPECT_THAT(world.shadow(world.source).detail(), HasSubstr("host2 takes no shadows: QEMU 7.2 is too old"));
  EXPECT_THAT(world.shadow(world.source).detail(), HasSubstr("umbractl doctor")) << "the remedy";
  expect_untouched(world);

  world.restart_in_order(world.source);
  world.pass(3s, 10ms);
  const auto kept = world.keep(world.source, world.standby, v1::TIER_WARM);
  ASSERT_FALSE(kept);
  EXPECT_EQ(kept.error().code, Errc::kUnsupported);
  EXPECT_THAT(kept.error().message, HasSubstr("host1 keeps no shadows: QEMU 7.2 is too old"));

  world.source.proof.set_proven(true);  // QEMU was upgraded
  world.source.proof.set_detail("held");
  world.pass(61s, 100ms);
  EXPECT_TRUE(world.keep(world.source, world.standby, v1::TIER_WARM)) << "the proof is tried again";
}

TEST(Refusal, OfAFullStandbyHost) {
  TwoHosts::Options options;
  options.standby_memory = mebibytes(300);  // of which 256 MiB are kept free
  TwoHosts world(options);
  ASSERT_TRUE(world.keep(world.source, world.standby, v1::TIER_WARM));
  world.pass(2s);
  EXPECT_THAT(world.shadow(world.source).detail(),
              HasSubstr("host2 has 44.0 MiB free for shadows, web1 needs 64.0 MiB"));
  EXPECT_THAT(world.shadow(world.source).detail(), HasSubstr("choose another host"));
  EXPECT_EQ(world.phase(world.source), Phase::kDropped);
  expect_untouched(world);

  v1::StageRequest stage;
  stage.mutable_vm()->set_uuid(TwoHosts::kVm);
  stage.mutable_vm()->set_name("web1");
  stage.mutable_vm()->set_memory_bytes(mebibytes(64).count);
  const auto staged = world.ask(&world.standby, world.standby_of(world.standby).stage(stage), 1s);
  ASSERT_FALSE(staged);
  EXPECT_EQ(staged.error().code, Errc::kExhausted);
}

TEST(Refusal, OfAStandbyThatHasADomainOfThatNameOfItsOwn) {
  TwoHosts world;
  ASSERT_TRUE(world.ask(nullptr, world.standby.hypervisor->define(TwoHosts::domain_xml(mebibytes(64)), 1s)));
  ASSERT_TRUE(world.keep(world.source, world.standby, v1::TIER_WARM));
  world.pass(2s);
  EXPECT_THAT(world.shadow(world.source).detail(), HasSubstr("host2 has a domain web1 of its own already"));
  EXPECT_THAT(world.shadow(world.source).detail(), HasSubstr("virsh undefine"));
  EXPECT_TRUE(world.domain(world.standby)) << "which is not ours to remove";
  EXPECT_TRUE(world.runs(world.source));

  for (int again = 0; again < 20; ++again) {  // as the controller does
    ASSERT_TRUE(world.keep(world.source, world.standby, v1::TIER_WARM));
    world.pass(5s, 10ms);
  }
  const auto told = std::ranges::count_if(
      world.events(), [](const v1::Event& event) { return event.text().find("of its own") != std::string::npos; });
  EXPECT_EQ(told, 1) << "the same refusal is told once";
  EXPECT_LT(world.record(world.source, shadow::Side::kSource)->number, 30U) << "its pauses grow, whoever asks again";
}

TEST(Refusal, OfAStandbyWithoutLibvirtd) {
  TwoHosts world;
  world.standby.hypervisor->set_connected(false);
  ASSERT_TRUE(world.keep(world.source, world.standby, v1::TIER_WARM));
  world.pass(3s);
  EXPECT_THAT(world.shadow(world.source).detail(), HasSubstr("libvirtd cannot be reached"));
  EXPECT_THAT(world.shadow(world.source).detail(), HasSubstr("start libvirtd"));
  expect_untouched(world);
  world.standby.hypervisor->set_connected(true);
  EXPECT_TRUE(world.until([&] { return world.phase(world.source) == Phase::kWarm; }, 60s, 5ms))
      << "it is built as soon as it can be";
}

TEST(Refusal, OfACutoverWhileTheSourcesLibvirtdIsAway) {
  TwoHosts world;
  world.warm();
  const auto refuses = [&](std::shared_ptr<Move> move) {
    ASSERT_TRUE(world.until([&] { return move->end.has_value(); }, 10s)) << "it is refused, and not kept for later";
    ASSERT_FALSE(*move->end);
    EXPECT_THAT(move->end->error().message, HasSubstr("libvirtd on host1 cannot be reached"));
    EXPECT_THAT(move->end->error().remedy, HasSubstr("start libvirtd"));
  };
  world.source.hypervisor->set_connected(false);
  refuses(world.cutover(world.source, world.standby));
  world.source.hypervisor->set_connected(true);
  world.pass(30s, 10ms);
  EXPECT_TRUE(world.runs(world.source)) << "nor carried out later";
  EXPECT_EQ(world.disorder(), "");
}

TEST(Refusal, OfACutoverWhileItsShadowIsBeingDropped) {
  for (const std::string during : {"qmp migrate_cancel", "annotate", "discard"}) {
    TwoHosts world;
    world.warm();
    std::shared_ptr<Move> late;
    world.set_fate([&](const Moment& moment) {
      if (moment.what == during && moment.node == "host1" && !late) late = world.cutover(world.source, world.standby);
      return Verdict{};
    });
    world.drop(world.source, "not needed");
    ASSERT_TRUE(world.until([&] { return late && late->end.has_value(); }, 5s)) << during << ": it waits for ever";
    ASSERT_FALSE(*late->end);
    EXPECT_THAT(late->end->error().message, HasSubstr("being dropped"));
    EXPECT_TRUE(world.runs(world.source));
  }
}

TEST(Refusal, OfAPrimaryWhoseOwnQemuIsTooOld) {
  TwoHosts world;
  world.qemu(world.source)
      ->fail("migrate-set-capabilities", Error{Errc::kConflict, "Invalid parameter 'switchover-ack'", ""});
  ASSERT_TRUE(world.keep(world.source, world.standby, v1::TIER_WARM));
  ASSERT_TRUE(
      world.until([&] { return world.shadow(world.source).detail().find("8.1 or newer") != std::string::npos; }, 1s))
      << world.describe();
  ASSERT_TRUE(world.until([&] { return world.qemu(world.standby) == nullptr; }, 900ms)) << "nor tried again at once";
  expect_untouched(world);
}

TEST(Refusal, OfAStandbyWhoseAgentIsDown) {
  TwoHosts world;
  world.crash(world.standby);
  ASSERT_TRUE(world.keep(world.source, world.standby, v1::TIER_WARM));
  world.pass(5s);
  EXPECT_THAT(world.shadow(world.source).detail(), HasSubstr("connection refused"));
  world.start(world.standby);
  EXPECT_TRUE(world.until([&] { return world.phase(world.source) == Phase::kWarm; }, 60s, 5ms));
}

TEST(CutoverRefusal, WithoutAShadow) {
  TwoHosts world;
  const auto move = world.cutover(world.source, world.standby);
  world.pass(100ms);
  ASSERT_TRUE(move->end);
  ASSERT_FALSE(*move->end);
  EXPECT_EQ((*move->end).error().code, Errc::kNotFound);
  EXPECT_THAT((*move->end).error().remedy, HasSubstr("umbractl shadow keep"));
}

TEST(CutoverRefusal, OfAShadowThatIsOnlyStaged) {
  TwoHosts world;
  ASSERT_TRUE(world.keep(world.source, world.standby, v1::TIER_STAGED));
  ASSERT_TRUE(world.until([&] { return world.phase(world.source) == Phase::kStaged; }, 5s));
  const auto move = world.cutover(world.source, world.standby);
  world.pass(100ms);
  ASSERT_TRUE(move->end && !*move->end);
  EXPECT_EQ((*move->end).error().message, "the shadow of web1 is staged");
}

TEST(CutoverRefusal, ToAnotherHostThanTheShadows) {
  TwoHosts world;
  world.warm();
  auto request = world.cutover_request(world.source, world.standby);
  request.mutable_standby()->set_name("host3");
  const auto move = world.cutover(world.source, request);
  world.pass(100ms);
  ASSERT_TRUE(move->end && !*move->end);
  EXPECT_EQ((*move->end).error().message, "the shadow of web1 is on host2, not on host3");
}

TEST(CutoverRefusal, OfASecondOneWhileTheFirstRuns) {
  TwoHosts world;
  world.warm();
  const auto first = world.cutover(world.source, world.standby);
  world.pass(2ms);
  const auto second = world.cutover(world.source, world.standby);
  world.pass(1s);
  ASSERT_TRUE(second->end && !*second->end);
  EXPECT_EQ((*second->end).error().code, Errc::kConflict);
  ASSERT_TRUE(first->end && *first->end);
  EXPECT_EQ((*first->end)->outcome(), v1::OUTCOME_MOVED);
}

/// R3: whoever comes with an epoch that is over is refused, wherever it comes.
TEST(OldEpoch, IsRefusedEverywhere) {
  TwoHosts world;
  const auto old = world.next_epoch();
  world.warm();
  const auto moved = world.cutover(world.source, world.standby);
  ASSERT_TRUE(world.until([&] { return moved->end.has_value(); }, 5s));
  ASSERT_EQ((*moved->end)->outcome(), v1::OUTCOME_MOVED);
  world.pass(5s, 5ms);
  ASSERT_TRUE(world.keep(world.standby, world.source, v1::TIER_WARM));
  ASSERT_TRUE(world.until([&] { return world.phase(world.standby) == Phase::kWarm; }, 10s)) << world.describe();

  auto back = world.cutover_request(world.standby, world.source);
  back.set_epoch(old);
  const auto move = world.cutover(world.standby, back);
  world.pass(5s, 5ms);
  ASSERT_TRUE(move->end && !*move->end) << "by the host that got the VM in a newer epoch";
  EXPECT_EQ((*move->end).error().code, Errc::kConflict);
  EXPECT_THAT((*move->end).error().message, HasSubstr("is not newer than"));

  v1::AcceptRequest accept;
  accept.set_vm_uuid(TwoHosts::kVm);
  accept.set_epoch(old);
  const auto accepted = world.ask(&world.source, world.standby_of(world.source).accept(accept), 1s);
  ASSERT_FALSE(accepted) << "by the host that gave the VM away in a newer epoch";
  EXPECT_EQ(accepted.error().code, Errc::kConflict);

  v1::PointRequest point;
  point.set_vm_uuid(TwoHosts::kVm);
  point.add_addresses(TwoHosts::kAddress);
  point.set_epoch(old);
  point.set_host("host1");
  point.set_underlay_address("10.0.0.1");
  for (auto* one : {&world.standby, &world.edge}) {
    const auto pointed = one->process->network().point(point);
    ASSERT_FALSE(pointed) << one->name();
    EXPECT_EQ(pointed.error().code, Errc::kConflict);
  }
  EXPECT_TRUE(world.violations().empty());
  EXPECT_TRUE(world.runs(world.standby));
}

/// As a source asks that has lost its journal, or a message that is late. The record of the older epoch must stand,
/// across a restart too: its refusal means that this QEMU is dead.
TEST(NewerEpoch, IsNotRefusedOverOneThatIsAccepted) {
  TwoHosts world;
  world.warm();
  v1::AcceptRequest accept;
  accept.set_vm_uuid(TwoHosts::kVm);
  accept.set_epoch(world.next_epoch());
  accept.set_source(world.source.name());
  *accept.mutable_vm() = shadow::describe(*world.domain(world.source));
  ASSERT_TRUE(world.ask(&world.standby, world.standby_of(world.standby).accept(accept), 1s));
  v1::RefuseRequest newer, older;
  newer.set_vm_uuid(TwoHosts::kVm);
  newer.set_epoch(world.next_epoch());
  EXPECT_FALSE(world.ask(&world.standby, world.standby_of(world.standby).refuse(newer), 1s));
  EXPECT_EQ(world.record(world.standby, shadow::Side::kStandby)->epoch, accept.epoch());

  world.restart(world.standby, 10ms);
  world.pass(2s, 5ms);
  older.set_vm_uuid(TwoHosts::kVm);
  older.set_epoch(accept.epoch());
  const auto refused = world.ask(&world.standby, world.standby_of(world.standby).refuse(older), 1s);
  ASSERT_TRUE(refused && refused->refused());
  EXPECT_EQ(world.qemu(world.standby), nullptr) << "refused, and its QEMU lives";
}

TEST(OldEpoch, IsRefusedAfterARestartToo) {
  TwoHosts world;
  world.warm();
  const auto moved = world.cutover(world.source, world.standby);
  ASSERT_TRUE(world.until([&] { return moved->end.has_value(); }, 5s));
  world.pass(5s, 5ms);
  world.restart_in_order(world.source);
  world.restart_in_order(world.standby);
  world.pass(5s, 5ms);
  ASSERT_TRUE(world.keep(world.standby, world.source, v1::TIER_WARM));
  ASSERT_TRUE(world.until([&] { return world.phase(world.standby) == Phase::kWarm; }, 10s)) << world.describe();
  auto back = world.cutover_request(world.standby, world.source);
  back.set_epoch((*moved->end)->epoch());
  const auto move = world.cutover(world.standby, back);
  world.pass(5s, 5ms);
  ASSERT_TRUE(move->end && !*move->end);
  EXPECT_THAT((*move->end).error().message, HasSubstr("is not newer than"));
}

}  // namespace
}  // namespace umbra::agent::test
