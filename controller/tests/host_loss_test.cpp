// What is done when a host is lost, on a live fleet of fake agents.
#include <fstream>

#include "controller/tests/live_fleet.hpp"

namespace umbra::controller {
namespace {

using testing::HasSubstr;

class HostLossTest : public TwoZones {
 protected:
  void SetUp() override {
    off = (fleet.directory() / "off").string();
    settings.fence.agents.push_back({.host = "host2", .command = {"true"}, .status = {"echo", "power is off"}});
    settings.fence.agents.push_back({.host = "host3", .command = {"true"}, .status = {"echo", "power is on"}});
    settings.fence.agents.push_back({.host = "host4", .command = {"sleep", "60"}, .timeout = 100ms});
    settings.fence.after = 100ms;
    TwoZones::SetUp();
    for (const auto* name : {"vm1", "vm2"}) host1->definitions[uuid_of(name)] = "<domain/>";
    until([&] {
      return core().store.fences.definition(uuid_of("vm1")).value() &&
             core().store.fences.definition(uuid_of("vm2")).value();
    });
  }
  void lose(FakeAgent& host) {
    host.disconnect();
    until([&] { return !core().inventory.node(host.name())->up; });
  }
  Result<v1::Fence> fence(const std::string& host, bool confirmed) {
    v1::FenceHostRequest request;
    request.set_host(host);
    request.set_confirmed(confirmed);
    request.set_reason("a test");
    return ask(client().fence_host(std::move(request), 20s));
  }
  Result<v1::RestartVmReply> restart(const std::string& vm, const std::string& on = "") {
    v1::RestartVmRequest request;
    request.set_vm(vm);
    request.set_on(on);
    return ask(client().restart_vm(std::move(request), 20s));
  }
  Result<v1::ResolveVmReply> resolve(const std::string& keep) {
    v1::ResolveVmRequest request;
    request.set_vm("vm1");
    request.set_keep(keep);
    return ask(client().resolve_vm(std::move(request), 30s));
  }
  bool fenced(const std::string& host) { return core().inventory.node(host)->fence.has_value(); }

  std::string off;
};

TEST_F(HostLossTest, AVmOfALostHostStartsElsewhereOnlyOnceThatIsFenced) {
  lose(*host1);
  const auto early = restart("vm1");
  ASSERT_FALSE(early);
  EXPECT_THAT(early.error().text(), HasSubstr("umbractl fence host1"));
  const auto with = fence("host1", true);
  ASSERT_TRUE(with) << with.error().text();
  EXPECT_EQ(with->actor(), "ops");
  const auto restarted = restart("vm1", "host3");
  ASSERT_TRUE(restarted) << restarted.error().text();
  EXPECT_EQ(restarted->to(), "host3");
  EXPECT_EQ(host_of("vm1"), "host3");
  EXPECT_EQ(vm("vm1")->owner_epoch, restarted->epoch());
  ASSERT_EQ(host3->started.size(), 1u);
  EXPECT_EQ(host3->started[0].xml(), "<domain/>");
  EXPECT_EQ(host3->started[0].epoch(), restarted->epoch());
  EXPECT_EQ(host_of("vm2"), "host1") << "nobody asked for that one, and its policy is to leave it";
  const auto again = restart("vm1");
  ASSERT_FALSE(again) << "it runs on host3, which is not fenced";
}

TEST_F(HostLossTest, AVmThatStartsAtBootDoesSoOnItsNewHost) {
  host1->autostart.insert(uuid_of("vm1"));
  until([&] { return core().store.fences.definition(uuid_of("vm1")).value()->autostart; });
  lose(*host1);
  admin.reset();
  restart_controller();
  until([&] { return is_up("host3") && !is_up("host1"); });
  ASSERT_TRUE(fence("host1", true));
  for (const auto* name : {"vm1", "vm2"}) {
    const auto restarted = restart(name, "host3");
    ASSERT_TRUE(restarted) << restarted.error().text();
  }
  ASSERT_EQ(host3->started.size(), 2u);
  EXPECT_TRUE(host3->started[0].autostart());
  EXPECT_FALSE(host3->started[1].autostart());
}

TEST_F(HostLossTest, WhoFencedRestartedAndUnfencedIsKept) {
  const auto asked = [&](const std::string& what) {
    const auto events = ask(client().list_audit({}, 5s)).value().events();
    return std::any_of(events.begin(), events.end(), [&](const v1::Event& event) {
      return event.actor() == "ops" && event.outcome() == "done" && event.text().find(what) != std::string::npos;
    });
  };
  lose(*host1);
  ASSERT_TRUE(fence("host1", true));
  ASSERT_TRUE(restart("vm1", "host3"));
  host2->disconnect();
  ASSERT_TRUE(fence("host2", false));
  v1::UnfenceHostRequest unfence;
  unfence.set_host("host2");
  unfence.set_reason(std::string(100'000, 'x'));
  EXPECT_EQ(ask(client().unfence_host(unfence, 5s)).error().code, Errc::kInvalid);
  unfence.set_reason("a new power supply");
  const auto unfenced = ask(client().unfence_host(unfence, 5s));
  ASSERT_TRUE(unfenced) << unfenced.error().text();
  EXPECT_TRUE(asked("fence host1 --confirmed is asked for: a test"));
  EXPECT_TRUE(asked("restart on host3 is asked for"));
  EXPECT_TRUE(asked("unfence host2: a new power supply"));
}

TEST_F(HostLossTest, AHostThatIsHeardIsNotFencedByAWord) {
  const auto refused = fence("host1", true);
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, HasSubstr("is not off"));
}

TEST_F(HostLossTest, AHostThatRenewsItsShadowsElsewhereIsNotFencedByAWord) {
  for (auto* host : {host3, host4}) {
    auto& held = host->held[uuid_of(host == host3 ? "vm1" : "vm2")];
    held.set_vm_uuid(uuid_of(host == host3 ? "vm1" : "vm2"));
    held.set_source("host1");
    held.set_renewed_unix_ms(1);
  }
  lose(*host1);
  host3->held[uuid_of("vm1")].set_renewed_unix_ms(2);
  until([&] { return core().inventory.node("host1")->heard_by.by == "host3"; });
  const auto refused = fence("host1", true);
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().text(), HasSubstr("host3 has just heard of it"));
  EXPECT_FALSE(fenced("host1"));
}

TEST_F(HostLossTest, AFenceAgentMustProveThatTheHostIsOff) {
  const auto none = fence("host1", false);
  ASSERT_FALSE(none);
  EXPECT_THAT(none.error().text(), HasSubstr("no fence agent is configured for host1"));
  const auto wrong = fence("host2", false);
  ASSERT_FALSE(wrong);
  EXPECT_THAT(wrong.error().text(), HasSubstr("says that it is off, and it reports"));
  EXPECT_FALSE(fenced("host2"));
  host2->disconnect();
  const auto proven = fence("host2", false);
  ASSERT_TRUE(proven) << proven.error().text();
  EXPECT_THAT(proven->proof(), HasSubstr("power is off"));
  EXPECT_FALSE(core().inventory.node("host2")->up);
  const auto on = fence("host3", false);
  ASSERT_FALSE(on);
  EXPECT_THAT(on.error().message, HasSubstr("power is on"));
  const auto late = fence("host4", false);
  ASSERT_FALSE(late);
  EXPECT_THAT(late.error().message, HasSubstr("was killed"));
  EXPECT_FALSE(fenced("host3") || fenced("host4"));
}

TEST_F(HostLossTest, AFencedHostThatComesBackLosesWhatWasTakenOverAndIsUnfencedThen) {
  lose(*host1);
  ASSERT_TRUE(fence("host1", true));
  ASSERT_TRUE(restart("vm1", "host3"));
  v1::UnfenceHostRequest unfence;
  unfence.set_host("host1");
  EXPECT_FALSE(ask(client().unfence_host(unfence, 5s))) << "its copy of vm1 may start with it";
  host1->obey = false;
  host1->connect();
  until([&] { return has_event("runs on host1, which was fenced and is back"); });
  EXPECT_TRUE(fenced("host1"));
  EXPECT_EQ(host_of("vm1"), "host3");
  lose(*host1);
  host1->obey = true;
  host1->connect();
  until([&] { return !fenced("host1"); });
  EXPECT_FALSE(host1->runs(uuid_of("vm1")));
  EXPECT_EQ(host_of("vm1"), "host3");
  EXPECT_EQ(host_of("vm2"), "host1");
}

/// Host1 was only cut off when it was fenced: vm1 runs on host3, and on host1 still.
class RunsTwice : public HostLossTest {
 protected:
  void SetUp() override {
    HostLossTest::SetUp();
    lose(*host1);
    ASSERT_TRUE(fence("host1", true));
    ASSERT_TRUE(restart("vm1", "host3"));
    host3->definitions[uuid_of("vm1")] = "<domain/>";
    until([&] { return vm("vm1")->ran; });
    taken_in = vm("vm1")->owner_epoch;
    host1->obey = false;
    host1->connect();
    until([&] { return has_event("runs on host1, which was fenced and is back") && !host1->taken_over.empty(); });
  }
  void expect_host1_has_it() {
    until([&] { return host_of("vm1") == "host1"; });
    until([&] { return !fenced("host1"); });
    EXPECT_GT(vm("vm1")->owner_epoch, taken_in);
    until([&] { return host1->taken_over.empty(); });
    EXPECT_TRUE(has_event("is host1's again"));
    until([&] {
      return edge1->routes && std::ranges::any_of(edge1->routes->routes(), [&](const auto& route) {
               return route.vm_uuid() == uuid_of("vm1") && route.host() == "host1" &&
                      route.epoch() == vm("vm1")->owner_epoch;
             });
    });
    EXPECT_TRUE(core().store.fences.definition(uuid_of("vm1")).value()) << "should host1 be lost again";
    EXPECT_TRUE(core().store.fences.takeovers().value().empty());
  }
  Epoch taken_in = 0;
};

TEST_F(RunsTwice, TheDoctorSaysSo) {
  const auto fault = [&](const std::string& name) {
    const auto diagnosed = ask(client().doctor({}, 5s));
    for (const auto& check : diagnosed.value().checks())
      if (check.node() == "host1" && check.name() == name && !check.ok()) return check;
    return v1::Check{};
  };
  EXPECT_EQ(fault("runs twice").detail(), "vm1 runs twice: on host1 and host3");
  EXPECT_EQ(fault("runs twice").remedy(), "end the stale copy: virsh destroy vm1 on host1");
  EXPECT_THAT(fault("fence").detail(), HasSubstr("and back"));
  EXPECT_THAT(fault("fence").remedy(), HasSubstr("once it has none of the VMs"));
  host1->undefine_vm("vm1");
  until([&] { return !fenced("host1"); });
  EXPECT_EQ(fault("runs twice").detail(), "");
  EXPECT_EQ(fault("fence").detail(), "");
}

TEST_F(RunsTwice, IfTheTakersCopyIsUndefinedTheVmIsTheReturnedHostsAgain) {
  host3->undefine_vm("vm1");
  expect_host1_has_it();
}

TEST_F(RunsTwice, IfTheTakersCopyIsDestroyedTheVmIsTheReturnedHostsAgain) {
  host3->vm(uuid_of("vm1"))->set_state(v1::VM_STATE_SHUT_OFF);
  expect_host1_has_it();
  EXPECT_TRUE(host3->runs(uuid_of("vm1"))) << "defined still";
}

TEST_F(RunsTwice, IfTheReturnedHostsCopyIsUndefinedTheVmStaysTheTakers) {
  EXPECT_FALSE(host1->taken_over.front().shut_off());
  host1->undefine_vm("vm1");
  until([&] { return !fenced("host1"); });
  EXPECT_EQ(host_of("vm1"), "host3");
  EXPECT_EQ(vm("vm1")->owner_epoch, taken_in);
}

TEST_F(HostLossTest, AHostThatComesBackIsNotToldToLetGoOfTheOnlyCopy) {
  lose(*host1);
  ASSERT_TRUE(fence("host1", true));
  ASSERT_TRUE(restart("vm1", "host3"));
  until([&] { return vm("vm1")->ran; });
  host3->undefine_vm("vm1");
  until([&] { return vm("vm1") == nullptr; });
  host1->vm(uuid_of("vm1"))->set_state(v1::VM_STATE_SHUT_OFF);
  host1->connect();
  until([&] { return host_of("vm1") == "host1" && !fenced("host1"); });
  EXPECT_TRUE(host1->runs(uuid_of("vm1"))) << "defined";
  EXPECT_TRUE(core().host_loss.taken_over("host1").empty());
}

TEST_F(HostLossTest, AVmThatNoHostHasStartsFromTheDefinitionThatIsKept) {
  const auto before = vm("vm1")->epoch;
  host1->definitions.erase(uuid_of("vm1"));  // its disk was replaced: its agent tells nothing of it
  host1->undefine_vm("vm1");
  until([&] { return vm("vm1") == nullptr; });
  lose(*host4);
  const auto early = restart("vm1");
  ASSERT_FALSE(early);
  EXPECT_THAT(early.error().text(), HasSubstr("host4 is down"));
  EXPECT_THAT(early.error().text(), HasSubstr("umbractl fence host4"));
  ASSERT_TRUE(fence("host4", true));
  const auto restarted = restart("vm1");
  ASSERT_TRUE(restarted) << restarted.error().text();
  EXPECT_EQ(restarted->from(), "");
  EXPECT_GT(restarted->epoch(), before);
  EXPECT_EQ(host_of("vm1"), restarted->to());
  EXPECT_TRUE(core().store.fences.takeovers().value().empty()) << "no copy of it is to go";
  const auto again = restart("vm1");
  ASSERT_FALSE(again);
  EXPECT_THAT(again.error().text(), HasSubstr(restarted->to()));
}

TEST_F(HostLossTest, FencesAndWhatWasTakenOverOutliveTheController) {
  lose(*host1);
  ASSERT_TRUE(fence("host1", true));
  ASSERT_TRUE(restart("vm1", "host3"));
  admin.reset();
  restart_controller();
  EXPECT_TRUE(fenced("host1"));
  ASSERT_EQ(core().host_loss.taken_over("host1").size(), 1u);
  v1::WhoseVmsRequest question;
  for (const auto& uuid : {uuid_of("vm1"), uuid_of("vm2"), uuid_of("vm3")}) question.add_vm_uuids(uuid);
  const auto whose = core().host_loss.whose("host1", question).value();
  EXPECT_FALSE(whose.owners(0).yours());
  EXPECT_EQ(whose.owners(0).host(), "host3");
  EXPECT_TRUE(whose.owners(1).yours());
  EXPECT_TRUE(whose.owners(2).yours()) << "nobody knows it";
  const auto late = restart("vm2");
  ASSERT_FALSE(late) << "host1 boots, and was told to start it";
  EXPECT_THAT(late.error().message, HasSubstr("heard again"));
  ASSERT_TRUE(fence("host1", true));
  EXPECT_TRUE(restart("vm2")) << "it was lost once more, and fenced once more";
}

TEST_F(HostLossTest, AStartWhoseAnswerIsLostIsAskedForAgainAndHappensNowhereElse) {
  lose(*host1);
  ASSERT_TRUE(fence("host1", true));
  host3->start_hangs = true;
  const auto restarted = restart("vm1", "host3");
  ASSERT_TRUE(restarted) << restarted.error().text();
  EXPECT_EQ(host3->started.size(), 2u);
  EXPECT_EQ(host3->started[0].epoch(), host3->started[1].epoch());
}

TEST_F(HostLossTest, AStartThatFailsForCertainMayBeTriedElsewhere) {
  lose(*host1);
  ASSERT_TRUE(fence("host1", true));
  host3->start_error = Error{Errc::kInvalid, "no such image", ""};
  const auto failed = restart("vm1", "host3");
  ASSERT_FALSE(failed);
  EXPECT_THAT(failed.error().message, HasSubstr("no such image"));
  const auto restarted = restart("vm1", "host4");
  ASSERT_TRUE(restarted) << restarted.error().text();
  EXPECT_EQ(host_of("vm1"), "host4");
}

TEST_F(HostLossTest, ByPolicyVmsOfAFencedHostRestartByThemselves) {
  host1->vm(uuid_of("vm1"))->set_on_host_loss(v1::ON_HOST_LOSS_RESTART);
  until([&] { return vm("vm1")->vm.on_host_loss() == v1::ON_HOST_LOSS_RESTART; });
  lose(*host1);
  ASSERT_TRUE(fence("host1", true));
  until([&] { return host_of("vm1") != "host1"; });
  EXPECT_EQ(host_of("vm2"), "host1");
}

class AutomaticFences : public HostLossTest {
 protected:
  void SetUp() override {
    settings.fence.automatic = true;
    settings.fence.agents.push_back({.host = "host1", .command = {"true"}});
    HostLossTest::SetUp();
  }
};

TEST_F(AutomaticFences, AHostThatIsDownForLongIsFencedAndItsVmsRestartByPolicy) {
  host1->vm(uuid_of("vm2"))->set_on_host_loss(v1::ON_HOST_LOSS_RESTART);
  until([&] { return vm("vm2")->vm.on_host_loss() == v1::ON_HOST_LOSS_RESTART; });
  lose(*host1);
  until([&] { return host_of("vm2") != "host1"; });
  EXPECT_TRUE(fenced("host1"));
  EXPECT_EQ(host_of("vm1"), "host1");
}

/// The store that knew of an undecided cutover is lost: two hosts have the VM, paused, and no move is known.
class Contested : public HostLossTest {
 protected:
  void SetUp() override {
    HostLossTest::SetUp();
    host3->add_vm("vm1", "10.50.0.1");
    for (auto* host : {host1, host3}) {
      host->vm(uuid_of("vm1"))->set_state(v1::VM_STATE_PAUSED);
      host->accounts[uuid_of("vm1")].set_domain("paused");
    }
    host1->accounts[uuid_of("vm1")].set_source_phase("promised");
    host1->accounts[uuid_of("vm1")].set_can_run(true);
    until([&] { return vm("vm1")->alerted; });
  }
};

TEST_F(Contested, TheCopyThatIsKeptRunsOnceAllOthersHaveYielded) {
  const auto kept = resolve("host1");
  ASSERT_TRUE(kept) << kept.error().text();
  ASSERT_EQ(host3->yields.size(), 1u);
  EXPECT_EQ(host3->yields[0].to(), "host1");
  ASSERT_EQ(host1->resolves.size(), 1u);
  EXPECT_EQ(host_of("vm1"), "host1");
  EXPECT_EQ(vm("vm1")->owner_epoch, kept->epoch());
  EXPECT_FALSE(vm("vm1")->moving());
  until([&] { return !vm("vm1")->alerted; });
}

TEST_F(Contested, NothingIsDecidedWhileAHostThatMayHaveACopyCannotBeAsked) {
  lose(*host2);
  const auto refused = resolve("host1");
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().text(), HasSubstr("umbractl fence host2"));
  EXPECT_TRUE(host3->yields.empty() && host1->resolves.empty());
}

TEST_F(Contested, ACopyThatNobodyVouchesForIsNotKept) {
  EXPECT_FALSE(resolve("host3"));
  EXPECT_FALSE(resolve("host4"));
  EXPECT_TRUE(host1->yields.empty() && host3->resolves.empty());
}

class Undecided : public HostLossTest {
 protected:
  /// A cutover from host1 to host3 whose end nobody can tell: both sides are paused.
  void SetUp() override {
    HostLossTest::SetUp();
    v1::PinShadowRequest keep;
    keep.set_vm("vm1");
    keep.set_to("host3");
    keep.set_wait(true);
    all(client().keep_shadow(std::move(keep), rpc::kNoDeadline));
    host1->pause_before_cutover = true;
    host1->hang_up_in_cutover = true;
    host1->silent_about_cutovers = true;
    move = core().mover.cutover(uuid_of("vm1"), "test", "test").value();
    until([&] { return !host1->cutovers.empty(); });
    host1->disconnect();
    until([&] { return move->asking_since.has_value(); });
    auto& here = host1->accounts[uuid_of("vm1")];
    here.set_domain("paused");
    here.set_source_phase("promised");
    here.set_can_run(true);
    auto& there = host3->accounts[uuid_of("vm1")];
    there.set_domain("paused");
    there.set_standby_phase("armed");
    there.set_can_run(true);
  }
  std::shared_ptr<const Move> move;
};

TEST_F(Undecided, ShowsWhatEachSideKnowsAndChangesNothing) {
  const auto shown = resolve("");
  ASSERT_TRUE(shown) << shown.error().text();
  ASSERT_EQ(shown->sides_size(), 2);
  EXPECT_FALSE(shown->sides(0).reachable());
  EXPECT_EQ(shown->sides(1).account().standby_phase(), "armed");
  EXPECT_EQ(shown->epoch(), 0u);
  EXPECT_TRUE(host3->yields.empty() && host3->resolves.empty());
}

TEST_F(Undecided, IsNotDecidedWhileTheOtherSideMayRunIt) {
  const auto refused = resolve("host3");
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().text(), HasSubstr("umbractl fence host1"));
  EXPECT_TRUE(host3->resolves.empty());
}

TEST_F(Undecided, TheKeptSideRunsOnceTheOtherHasYielded) {
  host1->connect();
  until([&] { return is_up("host1"); });
  const auto resolved = resolve("host3");
  ASSERT_TRUE(resolved) << resolved.error().text();
  ASSERT_EQ(host1->yields.size(), 1u);
  ASSERT_EQ(host3->resolves.size(), 1u);
  EXPECT_EQ(host_of("vm1"), "host3");
  EXPECT_EQ(vm("vm1")->owner_epoch, resolved->epoch());
  EXPECT_GT(resolved->epoch(), move->epoch);
  EXPECT_FALSE(vm("vm1")->moving());
}

TEST_F(Undecided, NobodyIsToldToRunWhileTheOtherDoesNotYield) {
  host1->yield_error = Error{Errc::kUnavailable, "libvirtd is away", ""};
  host1->connect();
  until([&] { return is_up("host1"); });
  EXPECT_FALSE(resolve("host3"));
  EXPECT_TRUE(host3->resolves.empty());
  EXPECT_TRUE(vm("vm1")->moving());
}

TEST_F(Undecided, ACopyThatCannotRunIsNotKept) {
  host3->accounts[uuid_of("vm1")].set_can_run(false);
  host3->accounts[uuid_of("vm1")].set_detail("half a memory");
  host1->connect();
  until([&] { return is_up("host1"); });
  const auto refused = resolve("host3");
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().text(), HasSubstr("half a memory"));
  EXPECT_TRUE(host1->yields.empty());
}

TEST_F(Undecided, AFencedSourceLeavesTheVmToAShadowThatHasAllOfItsMemory) {
  until([&] { return !core().inventory.node("host1")->up; });
  ASSERT_TRUE(fence("host1", true));
  until([&] { return host_of("vm1") == "host3" && !vm("vm1")->moving(); });
  EXPECT_EQ(host3->resolves.size(), 1u);
}

TEST_F(Undecided, AFencedSourceWhoseShadowIsIncompleteLeavesTheDefinition) {
  host3->accounts[uuid_of("vm1")].set_can_run(false);
  until([&] { return !core().inventory.node("host1")->up; });
  ASSERT_TRUE(fence("host1", true));
  until([&] { return !vm("vm1")->moving(); });
  EXPECT_EQ(host3->yields.size(), 1u);
  EXPECT_EQ(host_of("vm1"), "host1");
  const auto restarted = restart("vm1", "host4");
  ASSERT_TRUE(restarted) << restarted.error().text();
}

}  // namespace
}  // namespace umbra::controller
