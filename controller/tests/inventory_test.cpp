#include "controller/inventory/inventory.hpp"

#include <gmock/gmock.h>
#include <unistd.h>

#include "controller/inventory/routes.hpp"

namespace umbra::controller {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

/// A connection that nobody calls.
class SilentSession final : public rpc::Session {
 public:
  const rpc::Identity& peer() const override { return peer_; }
  const std::string& address() const override { return address_; }
  bool is_open() const override { return true; }
  Task<std::string> call(std::string, std::string, Deadline) override { co_return fail(Errc::kUnavailable, "silent"); }
  Result<std::shared_ptr<rpc::Inflow>> open_stream(std::string, std::string, Deadline) override {
    return fail(Errc::kUnavailable, "silent");
  }
  Task<void> drain(Deadline) override { co_return Result<void>{}; }
  void close(std::string_view) override {}

 private:
  rpc::Identity peer_;
  std::string address_ = "nowhere";
};

TEST(Ownership, FollowsTheTable) {
  const Claim a{"a", true}, b{"b", true}, c{"c", true}, a_defined{"a", false}, b_defined{"b", false};
  const Claim b_newer{"b", true, true}, b_paused{"b", true, false, true}, b_newer_paused{"b", true, true, true};
  struct Row {
    std::string owner;
    bool owner_known;
    std::vector<Claim> claims;
    Ruling ruling;
    std::string host;
  };
  const std::vector<Row> rows{
      {"", true, {a}, Ruling::kAdopt, "a"},
      {"", true, {a_defined}, Ruling::kAdopt, "a"},
      {"", true, {a, b}, Ruling::kConflict, ""},
      {"", true, {}, Ruling::kGone, ""},
      {"a", true, {a}, Ruling::kKeep, ""},
      {"a", true, {a_defined}, Ruling::kKeep, ""},
      {"a", true, {a, b_defined}, Ruling::kKeep, ""},
      {"a", true, {a_defined, b_defined}, Ruling::kKeep, ""},
      {"a", true, {a, b}, Ruling::kConflict, ""},
      {"a", true, {b}, Ruling::kAdopt, "b"},
      {"a", true, {a_defined, b}, Ruling::kAdopt, "b"},
      {"a", true, {a_defined, b_paused}, Ruling::kKeep, ""},  // memory that the guest has left behind, perhaps
      {"a", true, {a_defined, b_newer_paused}, Ruling::kAdopt, "b"},
      {"a", true, {b_paused}, Ruling::kAdopt, "b"},  // the only copy there is
      {"a", true, {b_defined}, Ruling::kAdopt, "b"},
      {"a", true, {}, Ruling::kGone, ""},
      {"a", false, {}, Ruling::kKeep, ""},           // unknown is not gone
      {"a", false, {b_defined}, Ruling::kKeep, ""},  // a may run it still
      {"a", false, {b}, Ruling::kConflict, ""},      // a may run it too
      {"a", false, {b_newer}, Ruling::kAdopt, "b"},  // but gave it up: b got it from there
      {"a", true, {a, b_newer}, Ruling::kConflict, ""},
      {"a", false, {b_newer, c}, Ruling::kConflict, ""},
  };
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const auto found = rule(rows[i].owner, rows[i].owner_known, rows[i].claims);
    EXPECT_EQ(found.ruling, rows[i].ruling) << "row " << i;
    EXPECT_EQ(found.host, rows[i].host) << "row " << i;
  }
}

TEST(Ownership, OfAFencedHostThatIsBackCountsOnceNobodyElseRunsTheVm) {
  const Claim a{"a", true}, b{"b", true}, c{"c", true}, a_defined{"a", false}, b_defined{"b", false};
  const Claim a_paused{"a", true, false, true};
  struct Row {
    std::string owner;
    Taker taker;
    std::vector<Claim> claims, returned;
    Ruling ruling;
    std::string host;
  };
  const std::vector<Row> rows{
      {"b", Taker::kUnknown, {b}, {a}, Ruling::kKeep, ""},
      {"b", Taker::kIdle, {b_defined}, {a}, Ruling::kAdopt, "a"},
      {"b", Taker::kIdle, {}, {a}, Ruling::kAdopt, "a"},
      {"b", Taker::kIdle, {}, {a_paused}, Ruling::kAdopt, "a"},  // the only copy there is
      {"b", Taker::kIdle, {b_defined}, {a_paused}, Ruling::kKeep, ""},
      {"b", Taker::kIdle, {}, {a_defined}, Ruling::kAdopt, "a"},
      {"b", Taker::kIdle, {b_defined}, {a_defined}, Ruling::kKeep, ""},
      {"b", Taker::kUnknown, {}, {a}, Ruling::kKeep, ""},  // unknown is not gone
      {"b", Taker::kOff, {}, {a}, Ruling::kAdopt, "a"},
      {"b", Taker::kOff, {}, {a_defined}, Ruling::kKeep, ""},  // it is defined on b too, perhaps
      {"b", Taker::kIdle, {}, {a, c}, Ruling::kConflict, ""},
      {"b", Taker::kIdle, {c}, {a}, Ruling::kKeep, ""},  // rule() has c
      {"b", Taker::kUnknown, {}, {a, b}, Ruling::kConflict, ""},
      {"a", Taker::kUnknown, {}, {a}, Ruling::kKeep, ""},
      {"a", Taker::kIdle, {}, {a_defined}, Ruling::kKeep, ""},
      {"", Taker::kIdle, {}, {a}, Ruling::kAdopt, "a"},
      {"", Taker::kIdle, {}, {a_defined}, Ruling::kAdopt, "a"},
      {"", Taker::kIdle, {}, {a_defined, b_defined}, Ruling::kKeep, ""},
      {"", Taker::kIdle, {}, {}, Ruling::kKeep, ""},
  };
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const auto found = rule_on_returned(rows[i].owner, rows[i].taker, rows[i].claims, rows[i].returned);
    EXPECT_EQ(found.ruling, rows[i].ruling) << "row " << i;
    EXPECT_EQ(found.host, rows[i].host) << "row " << i;
  }
}

class InventoryTest : public testing::Test {
 protected:
  InventoryTest() { open(); }
  ~InventoryTest() override {
    inventory.reset();
    events.reset();
    store.reset();
    std::filesystem::remove_all(directory);
  }
  void open() {
    inventory.reset();
    events.reset();
    store.reset();
    store = std::move(*Store::open(directory));
    events = std::make_unique<EventLog>(store->log, clock, io.get_executor());
    inventory = std::move(*Inventory::load(*store, *events, clock, io.get_executor(), {1000ms, 4}));
  }
  void register_node(const std::string& name, const std::string& zone = "a",
                     const std::map<std::string, Epoch>& epochs = {}) {
    v1::RegisterRequest request;
    request.set_epochs_known(true);
    for (const auto& [uuid, epoch] : epochs) {
      auto* known = request.add_known_epochs();
      known->set_vm_uuid(uuid);
      known->set_epoch(epoch);
    }
    request.mutable_node()->set_name(name);
    request.mutable_node()->set_role(v1::ROLE_AGENT);
    request.mutable_node()->set_zone(zone);
    request.mutable_node()->set_underlay_address("192.0.2.1");
    sessions[name] = std::make_shared<SilentSession>();
    ASSERT_TRUE(inventory->registered(request, sessions[name]));
  }
  static v1::Vm vm(v1::VmState state = v1::VM_STATE_RUNNING) {
    v1::Vm vm;
    vm.set_uuid("u1");
    vm.set_name("vm1");
    vm.set_state(state);
    vm.add_addresses("10.1.0.1");
    return vm;
  }
  void report(const std::string& name, const std::vector<v1::Vm>& vms, bool known = true, Epoch served = 0) {
    v1::ReportRequest request;
    if (served != 0) {
      request.add_served()->set_vm_uuid("u1");
      request.mutable_served(0)->set_epoch(served);
    }
    request.set_hypervisor_up(known);
    request.set_vms_known(known);
    for (const auto& one : vms) *request.add_vms() = one;
    const auto taken = inventory->reported(name, sessions[name], request);
    EXPECT_TRUE(taken) << taken.error().text();
  }
  /// Both hosts repeat their reports until what they say has settled.
  void settle(const std::vector<v1::Vm>& host1, const std::vector<v1::Vm>& host2) {
    for (int i = 0; i < 6; ++i) {
      report("host1", host1);
      report("host2", host2);
      clock.advance(1s);
      inventory->watch();
    }
  }
  std::string owner() {
    const auto* record = inventory->vm("u1");
    return record == nullptr ? "nobody" : record->host;
  }
  unsigned alerts() {
    unsigned count = 0;
    const auto all = events->events(1000, "vm1", 0).value();
    for (const auto& event : all) count += event.severity() == v1::SEVERITY_ALERT;
    return count;
  }

  asio::io_context io;
  FakeClock clock;
  const std::filesystem::path directory =
      std::filesystem::temp_directory_path() / fmt::format("umbra-inventory-{}", ::getpid());
  std::unique_ptr<Store> store;
  std::unique_ptr<EventLog> events;
  std::unique_ptr<Inventory> inventory;
  std::map<std::string, std::shared_ptr<rpc::Session>> sessions;
};

TEST_F(InventoryTest, AdoptsAVmAtFirstSight) {
  register_node("host1");
  report("host1", {vm()});
  EXPECT_EQ(owner(), "host1");
  EXPECT_EQ(inventory->vm("u1")->owner_epoch, 1u);
}

TEST_F(InventoryTest, TakesASilentNodeForDownAndHearsItAgain) {
  register_node("host1");
  report("host1", {vm()});
  clock.advance(4000ms);
  inventory->watch();
  EXPECT_TRUE(inventory->node("host1")->up) << "four intervals are allowed";
  clock.advance(1ms);
  inventory->watch();
  EXPECT_FALSE(inventory->node("host1")->up);
  EXPECT_FALSE(inventory->session("host1"));
  EXPECT_EQ(owner(), "host1") << "unknown is not gone";
  report("host1", {vm()});
  EXPECT_TRUE(inventory->node("host1")->up);
}

TEST_F(InventoryTest, TakesNoEpochWithoutWhatIsStoredWithIt) {
  register_node("host1");
  report("host1", {vm()});
  const auto before = inventory->vm("u1")->epoch;
  v1::CutoverResult open;
  open.set_vm_uuid("u1");
  const auto save = [&](bool fails) {
    return [&, fails](Epoch epoch) -> Result<void> {
      open.set_epoch(epoch);
      UMBRA_CHECK(store->log.save_cutover(open));
      if (fails) return fail(Errc::kExhausted, "the disk is full");
      return {};
    };
  };
  const auto none = inventory->take_epoch("u1", save(true));
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().message, "the disk is full");
  EXPECT_EQ(store->fleet.vms()->front().epoch, before);
  EXPECT_TRUE(store->log.open_cutovers()->empty());
  EXPECT_EQ(*inventory->take_epoch("u1", save(false)), before + 1) << "it is taken by whoever asks next";
  EXPECT_EQ(store->log.open_cutovers()->size(), 1u);
}

TEST_F(InventoryTest, GivesAVmBackToAFencedHostOnlyOnceItsTakerSaysThatItDoesNotRunIt) {
  register_node("host1");
  register_node("host2");
  report("host1", {vm()});
  settle({vm()}, {});
  v1::Fence fence;
  fence.set_host("host1");
  inventory->fenced(*store->fences.add_fence(fence));
  const auto epoch = inventory->take_epoch("u1").value();
  ASSERT_TRUE(inventory->settle("u1", "host2", epoch));
  register_node("host1");
  settle({vm()}, {});
  EXPECT_EQ(owner(), "host2") << "its reports are from before it started it, perhaps";
  settle({vm()}, {vm()});
  const auto libvirt_is_away = [&](bool registered) {
    for (int i = 0; i < 12; ++i) {
      report("host1", {vm()});
      if (registered) report("host2", {}, false);
      clock.advance(1s);
      inventory->watch();
    }
  };
  libvirt_is_away(true);
  EXPECT_EQ(owner(), "host2");
  libvirt_is_away(false);
  EXPECT_FALSE(inventory->node("host2")->up);
  EXPECT_EQ(owner(), "host2") << "unknown is not gone";
  register_node("host2");
  report("host1", {vm()});
  report("host2", {});
  EXPECT_EQ(owner(), "host2") << "one report may be of an odd moment";
  settle({vm()}, {});
  EXPECT_EQ(owner(), "host1");
  EXPECT_GT(inventory->vm("u1")->owner_epoch, epoch);
  settle({vm()}, {});
  EXPECT_EQ(owner(), "host1");
}

TEST_F(InventoryTest, LosesNoVmWhenLibvirtIsNotThere) {
  register_node("host1");
  report("host1", {vm()});
  for (int i = 0; i < 10; ++i) {
    report("host1", {}, false);
    clock.advance(1s);
    inventory->watch();
  }
  EXPECT_EQ(owner(), "host1");
}

TEST_F(InventoryTest, ForgetsAVmOnlyOnceItsHostHasSaidSoForAWhile) {
  register_node("host1");
  register_node("host2");
  report("host1", {vm()});
  report("host1", {});
  EXPECT_EQ(owner(), "host1") << "one report may be of an odd moment";
  settle({}, {});
  EXPECT_EQ(owner(), "nobody");
}

TEST_F(InventoryTest, NeverGivesAVmThatComesBackAnOldEpoch) {
  register_node("host1");
  register_node("host2");
  report("host1", {vm()});
  settle({}, {});
  open();
  register_node("host1");
  register_node("host2");
  report("host2", {vm()});
  EXPECT_EQ(owner(), "host2");
  EXPECT_EQ(inventory->vm("u1")->owner_epoch, 2u);
}

TEST_F(InventoryTest, AlertsOnceAndDoesNotGuessWhenTwoHostsRunAVm) {
  register_node("host1");
  register_node("host2");
  report("host1", {vm()});
  settle({vm()}, {vm()});
  settle({vm()}, {vm()});
  EXPECT_EQ(owner(), "host1");
  EXPECT_EQ(alerts(), 1u);
}

TEST_F(InventoryTest, AlertsWhenAVmAppearsWhileItsOwnerCannotBeAsked) {
  register_node("host1");
  register_node("host2");
  report("host1", {vm()});
  for (int i = 0; i < 10; ++i) {
    report("host2", {vm()});
    clock.advance(1s);
    inventory->watch();
  }
  EXPECT_FALSE(inventory->node("host1")->up);
  EXPECT_EQ(owner(), "host1");
  EXPECT_EQ(alerts(), 1u);
}

TEST_F(InventoryTest, FollowsAVmThatWasMovedWithoutUmbra) {
  register_node("host1");
  register_node("host2");
  report("host1", {vm()});
  settle({}, {vm()});
  EXPECT_EQ(owner(), "host2");
  EXPECT_EQ(inventory->vm("u1")->owner_epoch, 2u) << "routes must win over the old ones";
  EXPECT_EQ(alerts(), 0u);
}

TEST_F(InventoryTest, FollowsTheCopyThatGotTheVmLaterWhileItsOldOwnerIsDead) {
  register_node("host1");
  register_node("host2");
  report("host1", {vm()});
  ASSERT_EQ(*inventory->take_epoch("u1"), 2u);  // of a cutover whose end was never told
  for (int i = 0; i < 10; ++i) {
    report("host2", {vm()}, true, 2);
    clock.advance(1s);
    inventory->watch();
  }
  EXPECT_FALSE(inventory->node("host1")->up);
  EXPECT_EQ(owner(), "host2");
  EXPECT_EQ(wanted_routes(*inventory).routes(0).host(), "host2");
  EXPECT_EQ(alerts(), 0u);
}

TEST_F(InventoryTest, GoesOnAboveTheEpochsThatNodesKnowWhenItsStoreIsLost) {
  register_node("host1", "a", {{"u1", 7}});
  report("host1", {vm()});
  EXPECT_EQ(owner(), "") << "others may know more";
  EXPECT_FALSE(inventory->take_epoch("u1"));
  EXPECT_EQ(inventory->vm("u1")->epoch, 7u);
  register_node("edge1", "a", {{"u1", 9}, {"u2", 4}});
  clock.advance(1min);
  report("host1", {vm()});
  EXPECT_EQ(owner(), "host1");
  EXPECT_EQ(inventory->vm("u1")->owner_epoch, 10u);
  open();
  EXPECT_EQ(inventory->vm("u1")->epoch, 10u) << "durable";
}

TEST_F(InventoryTest, TakesEpochsAgainOnceTheDiskThatWasFullHasRoom) {
  const auto sql = [this](const std::string& text) {
    auto database = sqlite::Database::open(directory / "state.db", sqlite::Durability::kFull);
    ASSERT_TRUE(database && database->exec(text));
  };
  register_node("host1");
  report("host1", {vm()});
  sql("CREATE TRIGGER full BEFORE UPDATE ON vms BEGIN SELECT RAISE(FAIL, 'the disk is full'); END");
  register_node("host2", "a", {{"u1", 7}});
  sql("DROP TRIGGER full");
  clock.advance(1min);
  const auto epoch = inventory->take_epoch("u1");
  ASSERT_TRUE(epoch) << epoch.error().text();
  EXPECT_EQ(*epoch, 8u);
}

TEST_F(InventoryTest, StoresAVmOnceTheDiskThatWasFullHasRoom) {
  const auto sql = [this](const std::string& text) {
    auto database = sqlite::Database::open(directory / "state.db", sqlite::Durability::kFull);
    ASSERT_TRUE(database && database->exec(text));
  };
  register_node("host1");
  sql("CREATE TRIGGER full BEFORE INSERT ON vms BEGIN SELECT RAISE(FAIL, 'the disk is full'); END");
  report("host1", {vm()});
  EXPECT_EQ(owner(), "");
  sql("DROP TRIGGER full");
  clock.advance(1min);
  report("host1", {vm()});
  EXPECT_EQ(owner(), "host1");
}

TEST_F(InventoryTest, ConfirmsTheOwnerAboveWhatNodesKnowWhenItsStoreIsRestored) {
  register_node("host1");
  report("host1", {vm()});
  EXPECT_EQ(inventory->vm("u1")->owner_epoch, 1u);
  const auto backup = directory.string() + "-backup";
  std::filesystem::remove_all(backup);
  std::filesystem::copy(directory, backup, std::filesystem::copy_options::recursive);
  for (const Epoch epoch : {2u, 3u, 4u}) ASSERT_EQ(*inventory->take_epoch("u1"), epoch);
  ASSERT_TRUE(inventory->settle("u1", "host1", 4));
  inventory.reset();
  events.reset();
  store.reset();
  std::filesystem::remove_all(directory);
  std::filesystem::rename(backup, directory);
  open();
  register_node("host1", "a", {{"u1", 4}});
  report("host1", {vm()});
  EXPECT_EQ(wanted_routes(*inventory).routes(0).epoch(), 1u);
  EXPECT_THAT(inventory->take_epoch("u1").error().message, HasSubstr("lost or restored"));
  clock.advance(1min);
  report("host1", {vm()});
  EXPECT_EQ(owner(), "host1");
  EXPECT_EQ(wanted_routes(*inventory).routes(0).epoch(), 5u) << "or nodes would leave these routes alone";
}

TEST_F(InventoryTest, GivesOutNoEpochBeforeEveryNodeThatLivesHasToldItsOwn) {
  register_node("host1");
  register_node("host2");
  report("host1", {vm()});
  open();
  register_node("host1");
  report("host1", {vm()});
  const auto early = inventory->take_epoch("u1");
  ASSERT_FALSE(early);
  EXPECT_THAT(early.error().message, HasSubstr("host2 has not told the epochs it knows"));
  register_node("host2", "a", {{"u1", 3}});
  EXPECT_FALSE(inventory->take_epoch("u1")) << "host2 knows more than the store: so may somebody else";
  clock.advance(1min);
  EXPECT_EQ(*inventory->take_epoch("u1"), 4u);
}

TEST_F(InventoryTest, IgnoresEpochsThatNobodyCanHaveGivenOut) {
  register_node("host1", "a", {{"u1", Epoch{1} << 62}});
  report("host1", {vm()});
  EXPECT_EQ(inventory->vm("u1")->owner_epoch, 1u);
}

TEST_F(InventoryTest, FindsAShadowThatIsHeldAndThatNobodyKeeps) {
  register_node("host1");
  register_node("host2");
  report("host1", {vm()});
  const auto hold = [this] {
    v1::ReportRequest report;
    auto* held = report.add_held();
    held->set_vm_uuid("u1");
    held->set_vm_name("vm1");
    held->set_source("host1");
    held->set_memory_bytes(64 << 20);
    ASSERT_TRUE(inventory->reported("host2", sessions["host2"], report));
  };
  hold();
  EXPECT_TRUE(inventory->leaked(*inventory->node("host2")).empty()) << "its source may be about to report it";
  clock.advance(61s);
  hold();
  ASSERT_EQ(inventory->leaked(*inventory->node("host2")).size(), 1U);
  EXPECT_EQ(inventory->leaked(*inventory->node("host2")).front().source(), "host1");

  v1::ReportRequest kept;
  kept.set_vms_known(true);
  *kept.add_vms() = vm();
  auto* shadow = kept.add_shadows();
  shadow->set_vm_uuid("u1");
  shadow->set_source("host1");
  shadow->set_standby("host2");
  shadow->set_phase(v1::SHADOW_PHASE_WARM);
  ASSERT_TRUE(inventory->reported("host1", sessions["host1"], kept));
  EXPECT_TRUE(inventory->leaked(*inventory->node("host2")).empty());
}

TEST_F(InventoryTest, LeavesAMovingVmToTheMover) {
  register_node("host1");
  register_node("host2");
  report("host1", {vm()});
  ASSERT_TRUE(inventory->begin_move("u1", "host2"));
  settle({}, {vm()});
  EXPECT_EQ(owner(), "host1");
  ASSERT_TRUE(inventory->settle("u1", "host2", *inventory->take_epoch("u1")));
  inventory->end_move("u1");
  settle({}, {vm()});
  EXPECT_EQ(owner(), "host2");
  EXPECT_EQ(inventory->vm("u1")->owner_epoch, 2u);
}

TEST_F(InventoryTest, RefusesReportsOverASessionThatDidNotRegister) {
  register_node("host1");
  const auto stranger = std::make_shared<SilentSession>();
  const auto taken = inventory->reported("host1", stranger, {});
  ASSERT_FALSE(taken);
  EXPECT_EQ(taken.error().code, Errc::kConflict);
}

TEST_F(InventoryTest, WantsRoutesOfActiveVmsAndRemovesOnlyWhenAllIsKnown) {
  register_node("host1");
  register_node("host2");
  report("host1", {vm()});
  auto routes = wanted_routes(*inventory);
  ASSERT_EQ(routes.routes_size(), 1);
  EXPECT_EQ(routes.routes(0).epoch(), 1u);
  EXPECT_FALSE(routes.complete()) << "host2 has not told its VMs yet";
  report("host2", {});
  EXPECT_FALSE(wanted_routes(*inventory).complete()) << "others may not have registered yet";
  clock.advance(1min);
  report("host1", {vm()});
  report("host2", {});
  EXPECT_TRUE(wanted_routes(*inventory).complete());
  report("host1", {vm(v1::VM_STATE_SHUT_OFF)});
  EXPECT_EQ(wanted_routes(*inventory).routes_size(), 0);
  EXPECT_THAT(events->events(1, "vm1", 0).value().at(0).text(), HasSubstr("shut off"));
}

TEST_F(InventoryTest, KeepsSamplesAndRemembersAllAcrossARestart) {
  register_node("host1");
  report("host1", {vm()});
  v1::ReportRequest request;
  request.set_vms_known(true);
  *request.add_vms() = vm();
  auto* sample = request.add_samples();
  sample->set_vm_uuid("u1");
  sample->set_at_unix_ms(clock.unix_ms());
  sample->set_cpus_used(0.5);
  ASSERT_TRUE(inventory->reported("host1", sessions["host1"], request));
  open();
  EXPECT_EQ(owner(), "host1");
  EXPECT_FALSE(inventory->node("host1")->up) << "not heard yet";
  const auto history = store->telemetry.history("u1", "cpu", 0, clock.unix_ms() + 1, 1s).value();
  ASSERT_EQ(history.size(), 1u);
  EXPECT_EQ(history[0].value, 0.5);
}

}  // namespace
}  // namespace umbra::controller
