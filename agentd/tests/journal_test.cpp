#include "agentd/shadow/journal.hpp"

#include <gmock/gmock.h>

#include <fstream>

#include "agentd/shadow/life.hpp"
#include "agentd/tests/fake_disk.hpp"
#include "base/temporary_directory.hpp"
#include "qmp/tests/run.hpp"

namespace umbra::shadow {
namespace {

using testing::HasSubstr;

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
    return {"vm-1", Side::kSource, phase, epoch, "wish", "cutover"};
  }
};

TEST_F(JournalTest, GivesBackWhatWasWritten) {
  write(*opened(), {"vm-1", Side::kSource, Phase::kPromised, 7, std::string("a\0b", 3), "c"});
  write(*opened(), {"vm-1", Side::kStandby, Phase::kMoved, 5, "", ""});
  const auto records = opened()->load();
  ASSERT_TRUE(records);
  ASSERT_EQ(records->size(), 2U) << "a host is both sides of a VM that came and is leaving again";
  const auto& first = records->front();
  EXPECT_EQ(first.vm_uuid, "vm-1");
  EXPECT_EQ(first.side, Side::kSource);
  EXPECT_EQ(first.phase, Phase::kPromised);
  EXPECT_EQ(first.epoch, 7U);
  EXPECT_EQ(first.wish, std::string("a\0b", 3));
  EXPECT_EQ(first.cutover, "c");
  EXPECT_EQ(records->back().phase, Phase::kMoved);
}

TEST_F(JournalTest, LetsAnEpochOnlyGrow) {
  const auto journal = opened();
  write(*journal, record(Phase::kArmed, 9));
  write(*journal, record(Phase::kStaging, 4));
  const auto records = journal->load();
  ASSERT_TRUE(records);
  ASSERT_EQ(records->size(), 1U);
  EXPECT_EQ(records->front().phase, Phase::kStaging);
  EXPECT_EQ(records->front().epoch, 9U) << "whatever order writers come in";
}

TEST_F(JournalTest, RefusesADamagedFileWithItsName) {
  {
    const auto journal = opened();
    for (int i = 0; i < 50; ++i)
      write(*journal, {fmt::format("vm-{}", i), Side::kSource, Phase::kWarm, 1, std::string(500, 'x'), ""});
  }
  std::fstream damage(file, std::ios::in | std::ios::out | std::ios::binary);
  damage.seekp(4096 + 100);
  damage << std::string(3000, '\x5a');
  damage.close();
  const auto journal = Journal::open(file, io.get_executor());
  ASSERT_FALSE(journal);
  EXPECT_EQ(journal.error().code, Errc::kCorrupt);
  EXPECT_THAT(journal.error().text(), HasSubstr(file.string()));
}

TEST_F(JournalTest, RefusesAFileThatIsNoDatabase) {
  std::ofstream(file) << "not a database, but long enough to look like one: " << std::string(2000, 'x');
  const auto journal = Journal::open(file, io.get_executor());
  ASSERT_FALSE(journal);
  EXPECT_EQ(journal.error().code, Errc::kCorrupt);
}

TEST_F(JournalTest, RefusesAPhaseOfANewerAgentWithTheRemedy) {
  write(*opened(), record(Phase::kWarm, 1));
  auto database = sqlite::Database::open(file, sqlite::Durability::kFull);
  ASSERT_TRUE(database);
  ASSERT_TRUE(database->run("UPDATE shadow SET phase = 11"));
  const auto records = opened()->load();
  ASSERT_FALSE(records) << "to guess what a newer agent meant could make two owners";
  EXPECT_EQ(records.error().code, Errc::kCorrupt);
  EXPECT_THAT(records.error().message, HasSubstr("phase 11 of VM vm-1"));
  EXPECT_THAT(records.error().remedy, HasSubstr("newer agent"));
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
  EXPECT_EQ(journal->load()->front().phase, Phase::kWarm);
  full = false;
  write(*journal, record(Phase::kArmed, 2));
  EXPECT_EQ(journal->load()->front().phase, Phase::kArmed);
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
