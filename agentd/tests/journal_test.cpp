#include "agentd/shadow/journal.hpp"

#include <gmock/gmock.h>

#include <fstream>
#include <random>

#include "agentd/shadow/life.hpp"
#include "agentd/tests/fake_disk.hpp"
#include "base/temporary_directory.hpp"
#include "qmp/tests/run.hpp"
#include "umbra/v1/agent.pb.h"

namespace umbra::shadow {
namespace {

using testing::HasSubstr;

constexpr const char* kVm = "11111111-2222-3333-4444-555555555501";
constexpr const char* kOtherVm = "11111111-2222-3333-4444-555555555502";

std::string wish_of(const std::string& vm) {
  v1::KeepShadowRequest wish;
  wish.set_vm_uuid(vm);
  wish.mutable_standby()->set_name("host2");
  return wish.SerializeAsString();
}

std::string cutover_of(const std::string& vm, std::uint64_t epoch) {
  v1::CutoverRequest cutover;
  cutover.set_vm_uuid(vm);
  cutover.set_epoch(epoch);
  cutover.mutable_standby()->set_name("host2");
  return cutover.SerializeAsString();
}

std::string staged_of(const std::string& vm) {
  v1::StageRequest staged;
  staged.mutable_vm()->set_uuid(vm);
  staged.set_source("host1");
  staged.set_domain_xml(std::string("<domain>\0</domain>", 18));
  return staged.SerializeAsString();
}

struct JournalTest : testing::Test {
  TemporaryDirectory directory = TemporaryDirectory::make("umbra-journal-").value();
  const std::filesystem::path file = directory.path() / "journal.sqlite";
  asio::io_context io;

  std::unique_ptr<Journal> opened() {
    auto journal = Journal::open(file, io.get_executor());
    if (!journal) throw std::runtime_error(journal.error().text());
    return std::move(*journal);
  }
  void write(Journal& journal, Record record) { ASSERT_TRUE(run_task(io, journal.write(std::move(record)))); }
  static Record record(Phase phase, std::uint64_t epoch) {
    return {kVm, Side::kSource, phase, epoch, wish_of(kVm), cutover_of(kVm, epoch)};
  }
  std::vector<Record> loaded() { return opened()->load().value().records; }
  /// What a journal that was closed says when it is opened again.
  Journal::Contents contents() { return opened()->load().value(); }
  void sql(const std::string& text) {
    auto database = sqlite::Database::open(file, sqlite::Durability::kFull);
    ASSERT_TRUE(database);
    const auto done = database->exec(text);
    ASSERT_TRUE(done) << done.error().text();
  }
};

TEST_F(JournalTest, GivesBackWhatWasWritten) {
  const auto cutover = cutover_of(kVm, 7);
  v1::ShadowOrigin made_of;
  made_of.set_live_xml("<domain/>");
  const auto origin = made_of.SerializeAsString();
  write(*opened(), {kVm, Side::kSource, Phase::kPromised, 7, wish_of(kVm), cutover, origin, "abc", 3});
  write(*opened(), {kVm, Side::kStandby, Phase::kMoved, 5, staged_of(kVm), ""});
  const auto records = loaded();
  ASSERT_EQ(records.size(), 2U) << "a host is both sides of a VM that came and is leaving again";
  const auto& first = records.front();
  EXPECT_EQ(first.vm_uuid, kVm);
  EXPECT_EQ(first.side, Side::kSource);
  EXPECT_EQ(first.phase, Phase::kPromised);
  EXPECT_EQ(first.epoch, 7U);
  EXPECT_EQ(first.wish, wish_of(kVm));
  EXPECT_EQ(first.cutover, cutover);
  EXPECT_EQ(first.origin, origin);
  EXPECT_EQ(first.peer, "abc");
  EXPECT_EQ(first.number, 3U);
  EXPECT_EQ(records.back().phase, Phase::kMoved);
  EXPECT_EQ(records.back().wish, staged_of(kVm));
}

TEST_F(JournalTest, LetsAnEpochOnlyGrow) {
  const auto journal = opened();
  write(*journal, record(Phase::kArmed, 9));
  write(*journal, record(Phase::kStaging, 4));
  const auto records = journal->load().value().records;
  ASSERT_EQ(records.size(), 1U);
  EXPECT_EQ(records.front().phase, Phase::kStaging);
  EXPECT_EQ(records.front().epoch, 9U) << "whatever order writers come in";
}

TEST_F(JournalTest, IsTheSameOneForAsLongAsItsFileIs) {
  const auto incarnation = opened()->incarnation();
  EXPECT_EQ(incarnation.size(), 32U);
  EXPECT_EQ(opened()->incarnation(), incarnation);
  std::filesystem::remove(file);
  EXPECT_NE(opened()->incarnation(), incarnation);
}

TEST_F(JournalTest, NeverGivesANumberTwice) {
  {
    const auto journal = opened();
    EXPECT_EQ(journal->next_number(), 1U);
    auto staging = record(Phase::kStaging, 1);
    staging.number = journal->next_number();
    write(*journal, staging);
    EXPECT_EQ(journal->newest_number(), 2U);
  }
  EXPECT_EQ(opened()->next_number(), 3U);
  sql("UPDATE shadow SET phase = 99");
  EXPECT_THAT(contents().damaged, testing::SizeIs(1));
  EXPECT_EQ(opened()->next_number(), 3U) << "also not when the record that had the last one was set aside";
}

TEST_F(JournalTest, OfAnOlderAgentIsTakenOver) {
  {
    auto old = sqlite::Database::open(file, sqlite::Durability::kFull);
    ASSERT_TRUE(old->exec(
        "CREATE TABLE shadow (vm_uuid TEXT NOT NULL, side INTEGER NOT NULL, phase INTEGER NOT NULL, epoch INTEGER NOT"
        " NULL, wish BLOB NOT NULL, cutover BLOB NOT NULL, PRIMARY KEY (vm_uuid, side)) WITHOUT ROWID;"
        "PRAGMA user_version = 1"));
    ASSERT_TRUE(old->run("INSERT INTO shadow VALUES (?1, 0, 4, 7, ?2, '')", kVm, wish_of(kVm)));
  }
  const auto records = loaded();
  ASSERT_EQ(records.size(), 1U);
  EXPECT_EQ(records.front().phase, Phase::kWarm);
  EXPECT_EQ(records.front().peer, "");
  EXPECT_EQ(records.front().number, 0U);
}

TEST_F(JournalTest, ThatIsDamagedIsKeptAsideAndANewOneBegins) {
  std::string before;
  {
    const auto journal = opened();
    before = journal->incarnation();
    for (int i = 0; i < 50; ++i)
      write(*journal, {fmt::format("11111111-2222-3333-4444-5555555556{:02}", i), Side::kSource, Phase::kDropped, 1,
                       std::string(500, 'x'), ""});
  }
  std::fstream damage(file, std::ios::in | std::ios::out | std::ios::binary);
  damage.seekp(4096 + 100);
  damage << std::string(8000, '\x5a');
  damage.close();
  const auto journal = opened();
  EXPECT_NE(journal->incarnation(), before) << "what the lost one promised nobody knows any more";
  EXPECT_THAT(journal->lost(), HasSubstr(file.string() + ".damaged-"));
  EXPECT_THAT(journal->load().value().records, testing::IsEmpty());
  EXPECT_EQ(opened()->lost(), "") << "told once";
}

TEST_F(JournalTest, ThatIsNoDatabaseIsKeptAsideToo) {
  const auto text = "not a database, but long enough to look like one: " + std::string(2000, 'x');
  std::ofstream(file) << text;
  EXPECT_THAT(opened()->lost(), HasSubstr("kept as"));
  std::string kept;
  for (const auto& entry : std::filesystem::directory_iterator(directory.path()))
    if (entry.path().string().find(".damaged-") != std::string::npos && entry.path().extension() != ".sqlite-wal")
      std::getline(std::ifstream(entry.path()), kept);
  EXPECT_EQ(kept, text) << "for whoever wants to look";
}

TEST_F(JournalTest, OfANewerSchemaIsNotTouched) {
  opened();
  sql("PRAGMA user_version = 77");
  const auto journal = Journal::open(file, io.get_executor());
  ASSERT_FALSE(journal);
  EXPECT_EQ(journal.error().code, Errc::kUnsupported);
}

struct Damage {
  const char* name;
  const char* sql;
};

class DamagedRecord : public JournalTest, public testing::WithParamInterface<Damage> {};

TEST_P(DamagedRecord, IsSetAsideAndTheOthersCount) {
  auto promised = record(Phase::kPromised, 7);
  auto staged = Record{kOtherVm, Side::kStandby, Phase::kStaged, 3, staged_of(kOtherVm), ""};
  {
    const auto journal = opened();
    write(*journal, promised);
    write(*journal, staged);
  }
  sql(std::string("UPDATE shadow SET ") + GetParam().sql + " WHERE vm_uuid = '" + kVm + "'");
  const auto first = contents();
  ASSERT_EQ(first.records.size(), 1U);
  EXPECT_EQ(first.records.front().vm_uuid, kOtherVm);
  ASSERT_EQ(first.damaged.size(), 1U);
  EXPECT_NE(first.damaged.front().reason, "");
  const auto again = contents();
  EXPECT_EQ(again.damaged.size(), 1U) << "until the operator has looked";
  EXPECT_EQ(Journal::forget_damaged(file, "nonsense").value(), 0);
  const auto forgotten = Journal::forget_damaged(file, again.damaged.front().vm_uuid);
  ASSERT_TRUE(forgotten);
  EXPECT_EQ(*forgotten, 1);
  EXPECT_THAT(contents().damaged, testing::IsEmpty());
}

INSTANTIATE_TEST_SUITE_P(
    With, DamagedRecord,
    testing::Values(Damage{"APhaseOfANewerAgent", "phase = 11"}, Damage{"ANegativePhase", "phase = -1"},
                    Damage{"APhaseInWords", "phase = 'warm'"}, Damage{"ABigSide", "side = 7"},
                    Damage{"ASideInWords", "side = 'left'"}, Damage{"APhaseOfTheOtherSide", "phase = 10"},
                    Damage{"ANegativeEpoch", "epoch = -5"}, Damage{"AnEpochInWords", "epoch = 'x'"},
                    Damage{"AnotherEpoch", "epoch = 8"}, Damage{"AWishThatIsNone", "wish = x'ffffff'"},
                    Damage{"NoWish", "wish = ''"}, Damage{"NoCutover", "cutover = ''"},
                    Damage{"ACutoverThatIsNone", "cutover = x'ff00ff'"}, Damage{"ANumberInWords", "number = 'x'"},
                    Damage{"ANegativeNumber", "number = -1"}, Damage{"AVmThatIsNone", "vm_uuid = 'web1'"},
                    Damage{"AVmInCapitals", "vm_uuid = '11111111-2222-3333-4444-55555555550A'"},
                    Damage{"AVmOfBytes", "vm_uuid = x'00ff'"}, Damage{"TheSideOfAStandby", "side = 1"}),
    [](const auto& one) { return one.param.name; });

/// Whatever is in a record, it is either what an agent can have written, or set aside.
TEST_F(JournalTest, TakesNoHarmFromAnyBytes) {
  std::mt19937 chance(1);
  const std::vector<std::string> good{wish_of(kVm), cutover_of(kVm, 7), staged_of(kVm)};
  for (int round = 0; round < 20'000; ++round) {
    Record record{kVm,
                  static_cast<Side>(chance() % 3),
                  static_cast<Phase>(chance() % 13),
                  chance() % 2 == 0 ? 7U : chance(),
                  good[chance() % good.size()],
                  good[chance() % good.size()]};
    for (auto* bytes : {&record.vm_uuid, &record.wish, &record.cutover}) switch (chance() % 5) {
        case 0:
          bytes->resize(chance() % (bytes->size() + 1));
          break;
        case 1:
          if (!bytes->empty()) (*bytes)[chance() % bytes->size()] = static_cast<char>(chance());
          break;
        case 2:
          bytes->append(chance() % 9, static_cast<char>(chance()));
          break;
        default:
          break;
      }
    const auto flaw = flaw_in(record);
    if (!flaw.empty()) continue;
    v1::KeepShadowRequest wish;
    v1::CutoverRequest cutover;
    v1::StageRequest staged;
    ASSERT_TRUE(is_uuid(record.vm_uuid));
    if (record.side == Side::kSource && exists(record.phase)) {
      ASSERT_TRUE(wish.ParseFromString(record.wish));
      ASSERT_EQ(wish.vm_uuid(), record.vm_uuid);
      ASSERT_NE(wish.standby().name(), "");
    }
    if (record.side == Side::kSource && in_cutover(record.phase)) {
      ASSERT_TRUE(cutover.ParseFromString(record.cutover));
      ASSERT_EQ(cutover.epoch(), record.epoch);
    }
    if (record.side == Side::kStandby && in_cutover(record.phase)) {
      ASSERT_TRUE(staged.ParseFromString(record.wish));
      ASSERT_EQ(staged.vm().uuid(), record.vm_uuid);
    }
  }
}

TEST_F(JournalTest, SaysThatTheDiskIsFullAndStaysUsable) {
  bool full = false;
  const agent::test::FakeDisk disk({[&](const std::string&) { return !full; }, {}});
  const auto journal = opened();
  write(*journal, record(Phase::kWarm, 1));
  full = true;
  std::optional<Result<void>> written;
  asio::co_spawn(io, journal->write(record(Phase::kArmed, 2)),
                 [&](std::exception_ptr, Result<void> result) { written = std::move(result); });
  io.restart();
  io.run();
  ASSERT_TRUE(written && !*written);
  EXPECT_EQ(written->error().code, Errc::kExhausted);
  EXPECT_THAT(written->error().message, HasSubstr("cannot write the journal"));
  EXPECT_EQ(journal->load().value().records.front().phase, Phase::kWarm);
  full = false;
  write(*journal, record(Phase::kArmed, 2));
  EXPECT_EQ(journal->load().value().records.front().phase, Phase::kArmed);
}

TEST_F(JournalTest, NothingIsPromisedInAFileThatWasRemoved) {
  const auto journal = opened();
  write(*journal, record(Phase::kWarm, 1));
  EXPECT_TRUE(journal->check_in_place());
  for (const auto& each : std::filesystem::directory_iterator(directory.path())) std::filesystem::remove(each.path());
  const auto there = journal->check_in_place();
  ASSERT_FALSE(there);
  EXPECT_THAT(there.error().message, HasSubstr("was removed"));
  Life life(*journal, record(Phase::kWarm, 1));
  std::optional<Result<void>> applied;
  asio::co_spawn(io, life.apply(Event::kArm, 2),
                 [&](std::exception_ptr, Result<void> result) { applied = std::move(result); });
  io.restart();
  io.run();
  ASSERT_TRUE(applied && !*applied);
  EXPECT_EQ(life.phase(), Phase::kWarm);
}

TEST_F(JournalTest, IsAskedBeforeALifeChanges) {
  bool full = false;
  const agent::test::FakeDisk disk({[&](const std::string&) { return !full; }, {}});
  const auto journal = opened();
  Life life(*journal, record(Phase::kWarm, 1));
  full = true;
  std::optional<Result<void>> applied;
  const auto keep = [&](std::exception_ptr, Result<void> result) { applied = std::move(result); };
  asio::co_spawn(io, life.apply(Event::kArm, 2), keep);
  io.restart();
  io.run();
  ASSERT_TRUE(applied && !*applied);
  EXPECT_EQ(life.phase(), Phase::kWarm) << "a phase is in force once it is durable";
  EXPECT_EQ(life.epoch(), 1U);
  full = false;
  ASSERT_TRUE(run_task(io, life.apply(Event::kArm, 2)));
  EXPECT_EQ(life.phase(), Phase::kArmed);
  asio::co_spawn(io, life.apply(Event::kServe), keep);
  io.restart();
  io.run();
  ASSERT_TRUE(applied && !*applied);
  EXPECT_EQ(applied->error().message, "a shadow that is armed cannot serve");
}

}  // namespace
}  // namespace umbra::shadow
