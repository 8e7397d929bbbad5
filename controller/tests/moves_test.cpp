// Moves as operators ask for them, on a live fleet of fake agents.
#include "controller/tests/live_fleet.hpp"

namespace umbra::controller {
namespace {

using testing::Contains;
using testing::HasSubstr;
using testing::UnorderedElementsAre;

class Moves : public TwoZones {
 protected:
  std::vector<v1::MoveProgress> migrate(const std::string& vm_name, const std::string& to,
                                        std::optional<Error>* error = nullptr) {
    v1::MigrateRequest request;
    request.set_vm(vm_name);
    request.set_to(to);
    return all(client().migrate(std::move(request), rpc::kNoDeadline), error);
  }
  /// As the controller does before it asks the source: of vm1, to host3. @return its epoch
  std::uint64_t write_down_a_cutover() {
    v1::CutoverResult open;
    open.set_vm_uuid(uuid_of("vm1"));
    open.set_from("host1");
    open.set_to("host3");
    open.set_epoch(core().inventory.take_epoch(uuid_of("vm1")).value());
    EXPECT_TRUE(core().store.log.save_cutover(open));
    return open.epoch();
  }
  std::vector<v1::MoveProgress> cutover(const std::string& vm_name, std::optional<Error>* error = nullptr) {
    v1::StartCutoverRequest request;
    request.set_vm(vm_name);
    return all(client().cutover(std::move(request), rpc::kNoDeadline), error);
  }
  void keep_shadow(const std::string& vm_name, const std::string& to, v1::Tier tier = v1::TIER_WARM) {
    v1::PinShadowRequest request;
    request.set_vm(vm_name);
    request.set_to(to);
    request.set_tier(tier);
    request.set_wait(true);
    const auto seen = all(client().keep_shadow(std::move(request), rpc::kNoDeadline));
    ASSERT_FALSE(seen.empty());
    EXPECT_EQ(seen.back().phase(), tier == v1::TIER_HOT ? v1::SHADOW_PHASE_HOT : v1::SHADOW_PHASE_WARM);
    EXPECT_EQ(seen.back().standby(), to);
  }
  /// What the source of vm1's shadow was told last.
  std::vector<std::string> routers_told() {
    std::vector<std::string> names;
    for (const auto& node : host1->kept[uuid_of("vm1")].routers()) names.push_back(node.name());
    return names;
  }
};

TEST_F(Moves, WarmAShadowThenCutOverToIt) {
  const auto seen = migrate("vm1", "host3");
  ASSERT_TRUE(seen.back().has_result());
  const auto& result = seen.back().result();
  EXPECT_EQ(result.outcome(), v1::OUTCOME_MOVED);
  EXPECT_EQ(result.to(), "host3");
  EXPECT_EQ(host_of("vm1"), "host3");
  EXPECT_EQ(vm("vm1")->owner_epoch, result.epoch());
  EXPECT_TRUE(host3->runs(uuid_of("vm1")));
  std::vector<std::string> phases;
  phases.reserve(seen.size());
  for (const auto& progress : seen) phases.push_back(progress.phase());
  EXPECT_THAT(phases, Contains("staged"));
  EXPECT_TRUE(has_event("moved from host1 to host3"));
}

TEST_F(Moves, AskEveryOtherNodeToFlipItsRoute) {
  migrate("vm1", "host3");
  ASSERT_EQ(host1->cutovers.size(), 1u);
  std::vector<std::string> routers;
  for (const auto& node : host1->cutovers[0].routers()) routers.push_back(node.name());
  EXPECT_THAT(routers, UnorderedElementsAre("host2", "host4", "edge1"));
}

TEST_F(Moves, PushTheNewRouteWithItsEpochToEveryNode) {
  migrate("vm1", "host3");
  const auto epoch = vm("vm1")->owner_epoch;
  for (const auto& agent : agents)
    until([&] {
      if (!agent->routes) return false;
      return std::ranges::any_of(agent->routes->routes(), [&](const v1::WantedRoute& route) {
        return route.vm_uuid() == uuid_of("vm1") && route.host() == "host3" && route.epoch() == epoch &&
               route.underlay_address() == "192.0.2.3";
      });
    });
  EXPECT_FALSE(edge1->routes->complete()) << "a controller that has just started removes nothing";
}

TEST_F(Moves, GoToThePinnedShadow) {
  keep_shadow("vm1", "host4");
  const auto seen = cutover("vm1");
  EXPECT_EQ(seen.back().result().outcome(), v1::OUTCOME_MOVED);
  EXPECT_EQ(host_of("vm1"), "host4");
  EXPECT_EQ(core().pilot.pin(uuid_of("vm1"))->standby, "") << "the pin cannot stay where the VM is now";
}

TEST_F(Moves, AreWrittenDownWithTheirEventAndAuditBeforeTheSourceIsAsked) {
  keep_shadow("vm1", "host3");
  const auto other = Store::open(settings.state_dir).value();  // sees what is committed
  std::vector<v1::CutoverResult> open;
  std::vector<v1::Event> events;
  host1->on_cutover = [&] {
    open = other->log.open_cutovers().value();
    events = other->log.events(2, "vm1", 0).value();
  };
  const auto epoch = vm("vm1")->epoch;
  cutover("vm1");
  ASSERT_EQ(open.size(), 1u);
  EXPECT_EQ(open[0].epoch(), epoch + 1);
  ASSERT_EQ(events.size(), 2u);
  EXPECT_THAT(events[0].text(), HasSubstr("cutover from host1 to host3 in epoch"));
  EXPECT_EQ(events[1].text(), "cutover to host3");
  EXPECT_EQ(events[1].actor(), "ops");
  const auto all_told = core().store.log.events(100, "vm1", 0).value();
  EXPECT_EQ(std::ranges::count(all_told, "cutover to host3", &v1::Event::text), 1);
}

TEST_F(Moves, ThatCannotBeOrderedAtOnceAreAuditedAllTheSame) {
  keep_shadow("vm1", "host3");
  host1->disconnect();
  until([&] { return !core().inventory.session("host1"); });
  std::optional<Error> error;
  cutover("vm1", &error);
  EXPECT_TRUE(error);
  EXPECT_TRUE(has_event("cutover to host3"));
  host1->connect();
}

TEST_F(Moves, OfAHotShadowFindTheirSourceInTouchWithWhatTheyFlip) {
  keep_shadow("vm1", "host4", v1::TIER_HOT);
  EXPECT_THAT(routers_told(), UnorderedElementsAre("host2", "host3", "edge1"));
  add_node("edge2", "b", v1::ROLE_EDGE);
  until([&] { return host1->kept[uuid_of("vm1")].routers_size() == 4; });
  EXPECT_THAT(routers_told(), UnorderedElementsAre("host2", "host3", "edge1", "edge2"));
  host1->kept.clear();
  host1->disconnect();
  host1->connect();
  until([&] { return host1->kept.contains(uuid_of("vm1")); });
  EXPECT_EQ(routers_told().size(), 4u) << "an agent that was restarted has forgotten them";
}

TEST_F(Moves, OfAWarmShadowCostNoConnectionsBeforehand) {
  keep_shadow("vm1", "host4");
  EXPECT_THAT(routers_told(), testing::IsEmpty());
}

TEST_F(Moves, SayWhatToDoWithoutAWarmShadow) {
  std::optional<Error> error;
  cutover("vm1", &error);
  ASSERT_TRUE(error);
  EXPECT_EQ(error->code, Errc::kConflict);
  EXPECT_THAT(error->text(), HasSubstr("vm1 has no shadow"));
  EXPECT_EQ(error->remedy, "warm one first: umbractl shadow keep vm1, or umbractl migrate vm1 --to HOST");

  host1->vm(uuid_of("vm1"))->set_state(v1::VM_STATE_SHUT_OFF);
  until([&] { return vm("vm1")->vm.state() == v1::VM_STATE_SHUT_OFF; });
  cutover("vm1", &error);
  EXPECT_EQ(error->text(), "vm1 does not run: it is shut off (start it first, on host1: virsh start vm1)");
}

TEST_F(Moves, RefuseAHostWithoutRoomAndSayWhy) {
  host3->capacity.set_memory_free_bytes(100ULL << 20);
  until([&] { return core().inventory.node("host3")->capacity.memory_free_bytes() == 100ULL << 20; });
  std::optional<Error> error;
  migrate("vm1", "host3", &error);
  ASSERT_TRUE(error);
  EXPECT_THAT(error->text(), HasSubstr("host3 cannot take vm1: it has 100 MiB for a shadow that needs 320 MiB"));
  EXPECT_EQ(error->remedy, "name another host; umbractl hosts shows what they have free")
      << "a migration cannot leave the choice to the controller";
}

TEST_F(Moves, NameWhatDoesNotExist) {
  std::optional<Error> error;
  migrate("vmx", "host3", &error);
  ASSERT_TRUE(error);
  EXPECT_EQ(error->text(), "no VM 'vmx' (see umbractl vms)");
  migrate("vm1", "hostx", &error);
  EXPECT_EQ(error->text(), "no host 'hostx' (see umbractl hosts)");
}

TEST_F(Moves, OfAVmThatNoHostOwnsSayHowToSettleIt) {
  host4->disconnect();
  until([&] { return !is_up("host4"); });
  restart_controller();  // which takes no VM for anybody's before host4 has told its epochs
  until([&] { return is_up("host1") && is_up("host2") && is_up("host3"); });
  host1->add_vm("vm9", "10.1.0.9");
  host2->add_vm("vm9", "10.1.0.9");
  until([&] { return vm("vm9") != nullptr && vm("vm9")->alerted; });
  ASSERT_EQ(host_of("vm9"), "");
  std::optional<Error> error;
  migrate("vm9", "host3", &error);
  ASSERT_TRUE(error);
  EXPECT_EQ(
      error->text(),
      "vm9 has no host: nobody can say who may run it (umbractl resolve vm9 shows what each host knows of it, and "
      "settles it)");
  error.reset();
  cutover("vm9", &error);
  ASSERT_TRUE(error);
  EXPECT_THAT(error->message, HasSubstr("vm9 has no host"));
  v1::PinShadowRequest keep;
  keep.set_vm("vm9");
  keep.set_wait(true);
  error.reset();
  all(client().keep_shadow(std::move(keep), 10s), &error);
  ASSERT_TRUE(error);
  EXPECT_THAT(error->message, HasSubstr("vm9 has no host"));
  v1::RestartVmRequest restart;
  restart.set_vm("vm9");
  EXPECT_THAT(ask(client().restart_vm(std::move(restart), 10s)).error().message,
              HasSubstr("host1 has vm9, which is running there"));
}

TEST_F(Moves, EndWhenTheSourceIsDown) {
  host1->disconnect();
  until([&] { return !is_up("host1"); });
  std::optional<Error> error;
  migrate("vm1", "host3", &error);
  ASSERT_TRUE(error);
  EXPECT_THAT(error->message, HasSubstr("host1 is down"));
}

class MovesWithManyReports : public Moves {
 protected:
  MovesWithManyReports() { settings.heartbeat = {20ms, 25}; }
};

TEST_F(MovesWithManyReports, EndWhenTheShadowGetsNoFurther) {
  host1->shadows_stall = true;
  std::optional<Error> error;
  migrate("vm1", "host3", &error);
  ASSERT_TRUE(error);
  EXPECT_EQ(error->code, Errc::kTimeout);
  EXPECT_FALSE(vm("vm1")->moving());
}

TEST_F(Moves, AreOnePerVm) {
  host1->pause_before_cutover = true;
  keep_shadow("vm1", "host3");
  ASSERT_TRUE(core().mover.cutover(uuid_of("vm1"), "first", "test"));
  const auto second = core().mover.cutover(uuid_of("vm1"), "second", "test");
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, Errc::kConflict);
  EXPECT_THAT(second.error().message, HasSubstr("moving to host3 already"));
  v1::PinShadowRequest keep;
  keep.set_vm("vm1");
  keep.set_wait(true);
  std::optional<Error> refused;
  all(client().keep_shadow(std::move(keep), 10s), &refused);
  ASSERT_TRUE(refused);
  EXPECT_EQ(refused->text(), "vm1 is moving to host3 (wait for the move to end)");
  host1->pause_before_cutover = false;
  until([&] { return host_of("vm1") == "host3"; });
}

TEST_F(Moves, LeaveTheOwnerWhenTheCutoverIsAborted) {
  host1->cutover_outcome = v1::OUTCOME_ABORTED;
  const auto seen = migrate("vm1", "host3");
  EXPECT_EQ(seen.back().result().outcome(), v1::OUTCOME_ABORTED);
  EXPECT_EQ(host_of("vm1"), "host1");
  EXPECT_FALSE(vm("vm1")->moving());
  EXPECT_TRUE(has_event("was aborted, it stays on host1: as the test wants it")) << "it may have ended there";
  host1->cutover_outcome = v1::OUTCOME_MOVED;
  EXPECT_EQ(migrate("vm1", "host3").back().result().outcome(), v1::OUTCOME_MOVED);
}

TEST_F(Moves, EndWithTheAgentsErrorWhenNoShadowCanBeKept) {
  host1->keep_shadow_error = Error{Errc::kUnsupported, "vm1 has a host device", "detach it"};
  std::optional<Error> error;
  migrate("vm1", "host3", &error);
  ASSERT_TRUE(error);
  EXPECT_THAT(error->text(), HasSubstr("vm1 has a host device"));
  EXPECT_EQ(error->remedy, "detach it");
  EXPECT_EQ(host_of("vm1"), "host1");
}

TEST_F(Moves, AskHowItEndedWhenTheSourceHangsUp) {
  keep_shadow("vm1", "host3");
  host1->tell_cutovers_in_reports = false;
  host1->hang_up_in_cutover = true;
  host3->tell_served = false;
  const auto move = core().mover.cutover(uuid_of("vm1"), "test", "test").value();
  until([&] { return move->asking_since.has_value(); });
  EXPECT_EQ(host_of("vm1"), "host1") << "nothing is assumed";
  until([&] { return host3->runs(uuid_of("vm1")); });
  host1->connect();
  until([&] { return move->end.has_value(); });
  ASSERT_TRUE(*move->end);
  EXPECT_EQ((*move->end)->outcome(), v1::OUTCOME_MOVED);
  EXPECT_EQ(host_of("vm1"), "host3");
}

TEST_F(Moves, AreProvenByTheStandbyWhenTheSourceDiesBeforeItCouldTell) {
  keep_shadow("vm1", "host3");
  host1->hang_up_in_cutover = true;
  const auto move = core().mover.cutover(uuid_of("vm1"), "test", "test").value();
  until([&] { return move->end.has_value(); });
  ASSERT_TRUE(*move->end);
  EXPECT_EQ((*move->end)->outcome(), v1::OUTCOME_MOVED);
  EXPECT_THAT((*move->end)->detail(), HasSubstr("by the word of host3"));
  EXPECT_EQ(host_of("vm1"), "host3");
  EXPECT_EQ(vm("vm1")->owner_epoch, (*move->end)->epoch());
  EXPECT_FALSE(vm("vm1")->moving());
  host1->connect();
  until([&] { return is_up("host1"); });
  EXPECT_EQ(host_of("vm1"), "host3");
}

TEST_F(Moves, AreProvenByTheStandbyAfterARestartOfTheControllerToo) {
  keep_shadow("vm1", "host3");
  host1->hang_up_in_cutover = true;
  host1->pause_before_cutover = true;
  ASSERT_TRUE(core().mover.cutover(uuid_of("vm1"), "test", "test"));
  until([&] { return !host1->cutovers.empty(); });
  admin.reset();
  run([&]() -> asio::awaitable<void> { co_await controller->stop(); });
  controller.reset();
  host1->pause_before_cutover = false;
  until([&] { return host3->runs(uuid_of("vm1")); });
  start_controller();
  EXPECT_TRUE(vm("vm1")->moving());
  until([&] { return host_of("vm1") == "host3" && !vm("vm1")->moving(); });
  EXPECT_TRUE(core().store.log.open_cutovers().value().empty());
}

TEST_F(Moves, AreProvenRefusedByASourceThatHasTheVmAndForgotTheRest) {
  keep_shadow("vm1", "host3");
  host1->cutover_outcome = v1::OUTCOME_REFUSED;
  host1->hang_up_in_cutover = true;
  host1->deny_cutovers = true;
  host1->tell_cutovers_in_reports = false;
  const auto move = core().mover.cutover(uuid_of("vm1"), "test", "test").value();
  until([&] { return move->asking_since.has_value(); });
  host1->connect();
  until([&] { return move->end.has_value(); });
  EXPECT_EQ((*move->end)->outcome(), v1::OUTCOME_REFUSED);
  EXPECT_EQ(host_of("vm1"), "host1");
}

TEST_F(Moves, LearnFromAReportHowItEnded) {
  keep_shadow("vm1", "host3");
  host1->forget_cutovers = false;
  host1->hang_up_in_cutover = true;
  const auto move = core().mover.cutover(uuid_of("vm1"), "test", "test").value();
  until([&] { return host3->runs(uuid_of("vm1")); });
  host1->connect();
  until([&] { return move->end.has_value(); });
  EXPECT_EQ((*move->end)->outcome(), v1::OUTCOME_MOVED);
}

TEST_F(Moves, AreTakenUpAfterARestartOfTheController) {
  keep_shadow("vm1", "host3");
  host1->pause_before_cutover = true;
  ASSERT_TRUE(core().mover.cutover(uuid_of("vm1"), "test", "test"));
  until([&] { return !host1->cutovers.empty(); });
  admin.reset();
  restart_controller();
  EXPECT_TRUE(vm("vm1")->moving()) << "it is not known yet how it ended";
  EXPECT_EQ(host_of("vm1"), "host1");
  host1->pause_before_cutover = false;
  until([&] { return host_of("vm1") == "host3"; });
  EXPECT_FALSE(vm("vm1")->moving());
  EXPECT_TRUE(core().store.log.open_cutovers().value().empty());
}

TEST_F(Moves, ThatNeverBeganAreAbortedOnceTheSourceSaysSo) {
  keep_shadow("vm1", "host3");
  write_down_a_cutover();  // and the controller died before the source heard of it
  admin.reset();
  restart_controller();
  EXPECT_TRUE(vm("vm1")->moving());
  until([&] { return !vm("vm1")->moving(); });
  EXPECT_EQ(host_of("vm1"), "host1");
  EXPECT_TRUE(has_event("host1 never began it"));
}

TEST_F(Moves, AreNotTakenForNeverBegunByASourceThatHasItPausedAlone) {
  keep_shadow("vm1", "host3");
  const auto epoch = write_down_a_cutover();
  // The source lost its journal after it had stopped the guest, and the standby, which runs it, cannot be asked.
  host1->vm(uuid_of("vm1"))->set_state(v1::VM_STATE_PAUSED);
  host3->disconnect();
  admin.reset();
  restart_controller();
  until([&] { return is_up("host1"); });
  const auto asked_often = clock.steady() + 3s;
  until([&] { return clock.steady() > asked_often; });
  EXPECT_TRUE(vm("vm1")->moving()) << "host1 denies it, but does not run it";
  host3->served[uuid_of("vm1")] = epoch;
  host3->connect();
  until([&] { return !vm("vm1")->moving(); });
  EXPECT_EQ(host_of("vm1"), "host3");
}

TEST_F(Moves, AreNotTakenForNeverBegunWhileTheStandbyTakesPartInThem) {
  keep_shadow("vm1", "host3");
  write_down_a_cutover();
  // The source lost its journal after the standby had accepted.
  host1->vm(uuid_of("vm1"))->set_state(v1::VM_STATE_PAUSED);
  auto& held = host3->held[uuid_of("vm1")];
  held.set_vm_uuid(uuid_of("vm1"));
  held.set_phase(v1::SHADOW_PHASE_PROMISED);
  admin.reset();
  restart_controller();
  until([&] { return is_up("host1") && is_up("host3"); });
  const auto asked_often = clock.steady() + 3s;
  until([&] { return clock.steady() > asked_often; });
  EXPECT_TRUE(vm("vm1")->moving()) << "host3 may have all of it";
  host3->held.clear();
  until([&] { return !vm("vm1")->moving(); });
  EXPECT_EQ(host_of("vm1"), "host1");
}

TEST_F(Moves, OfWhichNeitherJournalTellsEndWhereTheGuestRunsIfTheOtherHasNoCopy) {
  keep_shadow("vm1", "host3");
  host1->hang_up_in_cutover = true;
  host1->deny_cutovers = true;
  host1->tell_cutovers_in_reports = false;
  host3->tell_served = false;
  const auto move = core().mover.cutover(uuid_of("vm1"), "test", "test").value();
  until([&] { return host3->runs(uuid_of("vm1")) && move->asking_since.has_value(); });
  host3->served.clear();
  host1->connect();
  until([&] { return move->end.has_value(); });
  EXPECT_EQ((*move->end)->outcome(), v1::OUTCOME_MOVED);
  EXPECT_THAT((*move->end)->detail(), HasSubstr("host1 has no copy of it"));
  EXPECT_EQ(host_of("vm1"), "host3");
}

class Evacuations : public Moves {
 protected:
  std::vector<v1::EvacuateProgress> evacuate(const std::string& what, bool dry_run) {
    v1::EvacuateRequest request;
    request.set_host_or_zone(what);
    request.set_dry_run(dry_run);
    return all(client().evacuate(std::move(request), rpc::kNoDeadline));
  }
};

TEST_F(Evacuations, DoWhatTheDryRunShowed) {
  const auto dry = evacuate("host1", true);
  ASSERT_EQ(dry.size(), 1u);
  ASSERT_EQ(dry[0].plan_size(), 2);
  EXPECT_EQ(host_of("vm1"), "host1") << "nothing has moved";
  const auto real = evacuate("host1", false);
  EXPECT_EQ(real.back().moved(), 2u);
  EXPECT_EQ(real.back().failed(), 0u);
  for (const auto& planned : dry[0].plan()) EXPECT_EQ(host_of(planned.vm()), planned.to());
}

TEST_F(Evacuations, OfAZoneLeaveTheZone) {
  evacuate("a", false);
  for (const auto* name : {"vm1", "vm2"}) EXPECT_THAT(host_of(name), testing::AnyOf("host3", "host4"));
}

TEST_F(Evacuations, GoOnWhenOneMoveFails) {
  host1->vm(uuid_of("vm2"))->set_refusal("it has a host device");
  until([&] { return !vm("vm2")->vm.refusal().empty(); });
  const auto seen = evacuate("host1", false);
  EXPECT_EQ(seen.back().moved(), 1u);
  EXPECT_EQ(seen.back().failed(), 1u);
  EXPECT_NE(host_of("vm1"), "host1");
  EXPECT_TRUE(has_event("was not evacuated: it cannot have a shadow: it has a host device"));
}

TEST_F(Evacuations, NameWhatDoesNotExist) {
  v1::EvacuateRequest request;
  request.set_host_or_zone("nowhere");
  std::optional<Error> error;
  all(client().evacuate(std::move(request), rpc::kNoDeadline), &error);
  ASSERT_TRUE(error);
  EXPECT_EQ(error->text(), "no host or zone 'nowhere' (see umbractl hosts and umbractl zones)");
}

}  // namespace
}  // namespace umbra::controller
