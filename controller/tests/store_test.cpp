#include "controller/store/store.hpp"

#include <gmock/gmock.h>
#include <unistd.h>

#include <fstream>

namespace umbra::controller {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using namespace std::chrono_literals;

v1::Vm vm(const std::string& uuid, const std::string& name) {
  v1::Vm vm;
  vm.set_uuid(uuid);
  vm.set_name(name);
  return vm;
}

class StoreTest : public testing::Test {
 protected:
  ~StoreTest() override {
    store_.reset();
    std::filesystem::remove_all(directory_);
  }
  Store& store() {
    if (!store_) {
      auto opened = Store::open(directory_);
      EXPECT_TRUE(opened) << opened.error().text();
      store_ = std::move(*opened);
    }
    return *store_;
  }
  void reopen() { store_.reset(); }
  void expect_open_fails(Errc code, const std::string& remedy) {
    const auto opened = Store::open(directory_);
    ASSERT_FALSE(opened);
    EXPECT_EQ(opened.error().code, code);
    EXPECT_THAT(opened.error().remedy, HasSubstr(remedy));
  }

  const std::filesystem::path directory_ =
      std::filesystem::temp_directory_path() / fmt::format("umbra-store-{}", ::getpid());
  std::unique_ptr<Store> store_;
};

TEST_F(StoreTest, GivesEachEpochOnce) {
  ASSERT_TRUE(store().fleet.save_vm(vm("u1", "vm1")));
  EXPECT_EQ(store().fleet.next_epoch("u1", 0).value(), 1u);
  const auto again = store().fleet.next_epoch("u1", 0);
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code, Errc::kConflict);
  reopen();
  EXPECT_EQ(store().fleet.next_epoch("u1", 1).value(), 2u);
  EXPECT_EQ(store().fleet.next_epoch("u2", 0).error().code, Errc::kNotFound);
}

TEST_F(StoreTest, KeepsTheEpochOfAVmThatIsDescribedAgain) {
  ASSERT_TRUE(store().fleet.save_vm(vm("u1", "vm1")));
  ASSERT_TRUE(store().fleet.next_epoch("u1", 0));
  ASSERT_TRUE(store().fleet.save_vm(vm("u1", "renamed")));
  const auto vms = store().fleet.vms().value();
  ASSERT_EQ(vms.size(), 1u);
  EXPECT_EQ(vms[0].vm.name(), "renamed");
  EXPECT_EQ(vms[0].epoch, 1u);
}

TEST_F(StoreTest, RefusesAnOwnerOfAnOlderEpoch) {
  ASSERT_TRUE(store().fleet.save_vm(vm("u1", "vm1")));
  ASSERT_TRUE(store().fleet.set_owner("u1", "host2", 3));
  EXPECT_EQ(store().fleet.set_owner("u1", "host1", 2).error().code, Errc::kConflict);
  const auto stored = store().fleet.vms().value()[0];
  EXPECT_EQ(stored.host, "host2");
  EXPECT_EQ(stored.epoch, 3u) << "the next one given out must be newer";
}

TEST_F(StoreTest, ReturnsWhatOperatorsSaid) {
  ASSERT_TRUE(store().wishes.save_pin({"u1", "host2", v1::TIER_HOT, 5000}));
  ASSERT_TRUE(store().wishes.save_zone({"a", 0.25, "fire", "ops"}));
  v1::Maintenance window;
  window.set_host_or_zone("host1");
  window.set_begins_unix_ms(100);
  window.set_ends_unix_ms(200);
  const auto id = store().wishes.add_maintenance(window).value();
  reopen();
  EXPECT_EQ(store().wishes.pins().value()[0].tier, v1::TIER_HOT);
  EXPECT_EQ(store().wishes.zones().value()[0].health, 0.25);
  EXPECT_EQ(store().wishes.maintenance(199).value()[0].id(), id);
  EXPECT_TRUE(store().wishes.maintenance(200).value().empty()) << "it is over";
  EXPECT_TRUE(store().wishes.remove_maintenance(id));
  EXPECT_EQ(store().wishes.remove_maintenance(id).error().code, Errc::kNotFound);
  EXPECT_TRUE(store().wishes.remove_pin("u1").value());
  EXPECT_FALSE(store().wishes.remove_pin("u1").value());
}

TEST_F(StoreTest, ReturnsTheNewestEventsOldestFirst) {
  for (const auto* text : {"one", "two", "three"}) {
    v1::Event event;
    event.set_text(text);
    event.set_vm(std::string(text) == "two" ? "vm2" : "vm1");
    ASSERT_TRUE(store().log.add_event(event));
  }
  const auto texts_of = [](const std::vector<v1::Event>& events) {
    std::vector<std::string> texts;
    for (const auto& event : events) texts.push_back(event.text());
    return texts;
  };
  EXPECT_THAT(texts_of(store().log.events(2, "", 0).value()), ElementsAre("two", "three"));
  EXPECT_THAT(texts_of(store().log.events(10, "vm1", 0).value()), ElementsAre("one", "three"));
  EXPECT_THAT(texts_of(store().log.events(10, "", 2).value()), ElementsAre("three"));
}

TEST_F(StoreTest, KeepsDecisionsWithTheirCausesAndOutcome) {
  v1::Decision decision;
  decision.set_action("cutover to host2");
  auto* cause = decision.add_causes();
  cause->set_name("zone health");
  cause->set_probability(0.8);
  const auto id = store().log.add_decision("u1", decision).value();
  ASSERT_TRUE(store().log.set_decision_outcome(id, "moved"));
  const auto read = store().log.decisions("u1", 10).value();
  ASSERT_EQ(read.size(), 1u);
  EXPECT_EQ(read[0].causes(0).probability(), 0.8);
  EXPECT_EQ(read[0].outcome(), "moved");
}

TEST_F(StoreTest, RemembersCutoversThatDidNotEnd) {
  v1::CutoverResult cutover;
  cutover.set_vm_uuid("u1");
  cutover.set_epoch(4);
  ASSERT_TRUE(store().log.save_cutover(cutover));
  reopen();
  ASSERT_EQ(store().log.open_cutovers().value().size(), 1u);
  cutover.set_outcome(v1::OUTCOME_MOVED);
  ASSERT_TRUE(store().log.save_cutover(cutover));
  EXPECT_TRUE(store().log.open_cutovers().value().empty());
}

TEST_F(StoreTest, TakesMeansOfOldTelemetry) {
  constexpr UnixMillis kNow = 1'700'000'100'000;  // a whole five minutes
  std::vector<TelemetryPoint> points;
  const auto old = kNow - UnixMillis{3 * 3'600'000};
  for (int i = 0; i < 60; ++i) points.push_back({"u1", "cpu", old + i * 10'000, i < 30 ? 1.0 : 3.0});
  points.push_back({"u1", "cpu", kNow - 1000, 7.0});
  ASSERT_EQ(store().telemetry.add(points)->stored, 61u);
  ASSERT_TRUE(store().telemetry.roll_up(kNow));
  const auto history = store().telemetry.history("u1", "cpu", old, kNow, 10s).value();
  ASSERT_EQ(history.size(), 3u);
  EXPECT_EQ(history[0].at, old);
  EXPECT_EQ(history[0].value, 1.0);
  EXPECT_EQ(history[1].value, 3.0);
  EXPECT_EQ(history[2].value, 7.0);

  ASSERT_TRUE(store().telemetry.roll_up(kNow + TelemetryStore::kFiveMinutesKept.count() + 3'600'000));
  const auto hourly = store().telemetry.history("u1", "cpu", old - 3'600'000, kNow, 10s).value();
  ASSERT_EQ(hourly.size(), 2u);
  EXPECT_EQ(hourly[0].value, 2.0);
}

TEST_F(StoreTest, ReplacesTelemetryOfTheSameTime) {
  constexpr UnixMillis kNow = 1'700'000'100'000, kThen = kNow - UnixMillis{3 * 3'600'000};
  const auto import = [&](double value) {
    const std::array points{TelemetryPoint{"u1", "cpu", kThen, value}};
    return store().telemetry.add(points)->replaced;
  };
  const auto read = [&] { return store().telemetry.history("u1", "cpu", kThen, kNow, 1s).value().at(0).value; };
  EXPECT_EQ(import(1), 0u);
  EXPECT_EQ(import(5), 1u);
  EXPECT_EQ(read(), 5);
  ASSERT_TRUE(store().telemetry.roll_up(kNow));
  EXPECT_EQ(import(9), 1u) << "also once its mean was taken";
  EXPECT_EQ(read(), 9);
}

TEST_F(StoreTest, SaysWhatToDoWithADamagedFile) {
  ASSERT_TRUE(store().fleet.save_vm(vm("u1", "vm1")));
  reopen();
  {
    std::fstream file(directory_ / "state.db", std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(4096);
    file << std::string(16384, '\xee');
  }
  expect_open_fails(Errc::kCorrupt, "backup");
}

TEST_F(StoreTest, SaysWhatToDoWithTheFileOfANewerUmbra) {
  store();
  reopen();
  {
    auto database = sqlite::Database::open(directory_ / "state.db", sqlite::Durability::kFull);
    ASSERT_TRUE(database->exec("PRAGMA user_version = 99"));
  }
  expect_open_fails(Errc::kUnsupported, "newer Umbra");
}

TEST_F(StoreTest, SaysWhatToDoWhenTheDirectoryCannotBe) {
  std::ofstream(directory_.string()) << "a file in its place";
  expect_open_fails(Errc::kUnavailable, "state_dir");
}

}  // namespace
}  // namespace umbra::controller
