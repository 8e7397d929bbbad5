#include "base/sqlite.hpp"

#include <gmock/gmock.h>
#include <unistd.h>

#include <array>
#include <fstream>

namespace umbra::sqlite {
namespace {

using testing::HasSubstr;
using namespace std::string_view_literals;

constexpr std::array kSchema{"CREATE TABLE t(id INTEGER PRIMARY KEY, name TEXT UNIQUE, x REAL)"sv};

class Sqlite : public testing::Test {
 protected:
  Sqlite() { std::filesystem::create_directories(directory_); }
  ~Sqlite() override { std::filesystem::remove_all(directory_); }

  Database opened() {
    auto database = Database::open(file_, Durability::kFull);
    EXPECT_TRUE(database) << database.error().text();
    const auto migrated = database->migrate(kSchema);
    EXPECT_TRUE(migrated) << migrated.error().text();
    return std::move(*database);
  }

  const std::filesystem::path directory_ =
      std::filesystem::temp_directory_path() / fmt::format("umbra-sqlite-{}", ::getpid());
  const std::filesystem::path file_ = directory_ / "state.db";
};

TEST_F(Sqlite, KeepsRowsAcrossOpens) {
  ASSERT_TRUE(opened().run("INSERT INTO t VALUES(?1, ?2, ?3)", 7, "a\0b"sv, 0.5));
  auto database = opened();
  auto rows = database.prepare("SELECT id, name, x, NULL FROM t");
  ASSERT_TRUE(rows);
  ASSERT_TRUE(*rows->step());
  EXPECT_EQ(rows->integer(0), 7);
  EXPECT_EQ(rows->text(1), "a\0b"sv);
  EXPECT_EQ(rows->real(2), 0.5);
  EXPECT_TRUE(rows->is_null(3));
  EXPECT_FALSE(*rows->step());
}

TEST_F(Sqlite, KeepsBytesAsTheyAre) {
  auto database = opened();
  ASSERT_TRUE(database.run("INSERT INTO t(id, name) VALUES(1, ?1)", Blob{"\xff\0\x80"sv}));
  auto rows = database.prepare("SELECT name, typeof(name) FROM t");
  ASSERT_TRUE(*rows->step());
  EXPECT_EQ(rows->blob(0), "\xff\0\x80"sv);
  EXPECT_EQ(rows->text(1), "blob");
}

TEST_F(Sqlite, RollsBackWhatWasNotCommitted) {
  auto database = opened();
  {
    auto transaction = Transaction::begin(database);
    ASSERT_TRUE(transaction);
    ASSERT_TRUE(database.run("INSERT INTO t(name) VALUES('lost')"));
  }
  auto transaction = Transaction::begin(database);
  ASSERT_TRUE(database.run("INSERT INTO t(name) VALUES('kept')"));
  ASSERT_TRUE(transaction->commit());
  auto rows = database.prepare("SELECT group_concat(name) FROM t");
  ASSERT_TRUE(*rows->step());
  EXPECT_EQ(rows->text(0), "kept");
}

TEST_F(Sqlite, CallsAViolatedConstraintAConflict) {
  auto database = opened();
  ASSERT_TRUE(database.run("INSERT INTO t(name) VALUES(?1)", "vm"));
  const auto again = database.run("INSERT INTO t(name) VALUES(?1)", "vm");
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code, Errc::kConflict);
  EXPECT_THAT(again.error().message, HasSubstr("t.name"));
}

TEST_F(Sqlite, SaysWhatToDoWhenTheFileIsNoDatabase) {
  std::ofstream(file_) << std::string(8192, 'x');
  const auto database = Database::open(file_, Durability::kFull);
  ASSERT_FALSE(database);
  EXPECT_EQ(database.error().code, Errc::kCorrupt);
  EXPECT_THAT(database.error().text(), HasSubstr(file_.string()));
  EXPECT_THAT(database.error().remedy, HasSubstr("backup"));
}

TEST_F(Sqlite, FindsADamagedPage) {
  {
    auto database = opened();
    for (int i = 0; i < 500; ++i)
      ASSERT_TRUE(database.run("INSERT INTO t(name) VALUES(?1)", fmt::format("{:0>200}", i)));
    ASSERT_TRUE(database.check());
  }
  {
    std::fstream file(file_, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(3 * 4096);
    file << std::string(8192, '\xee');
  }
  auto database = Database::open(file_, Durability::kFull);
  ASSERT_TRUE(database) << "its header is whole";
  const auto checked = database->check();
  ASSERT_FALSE(checked);
  EXPECT_EQ(checked.error().code, Errc::kCorrupt);
}

TEST_F(Sqlite, SaysWhatToDoWhenTheDiskIsFull) {
  auto database = opened();
  ASSERT_TRUE(database.exec("PRAGMA max_page_count = 8"));  // SQLite answers as it does to ENOSPC: SQLITE_FULL
  Result<void> written{};
  for (int i = 0; i < 1000 && written; ++i)
    written = database.run("INSERT INTO t(name) VALUES(?1)", fmt::format("{:0>200}", i));
  ASSERT_FALSE(written);
  EXPECT_EQ(written.error().code, Errc::kExhausted);
  EXPECT_THAT(written.error().remedy, HasSubstr("free space"));
}

TEST_F(Sqlite, RefusesADirectoryThatIsNotThere) {
  const auto database = Database::open(directory_ / "absent" / "state.db", Durability::kFull);
  ASSERT_FALSE(database);
  EXPECT_EQ(database.error().code, Errc::kUnavailable);
  EXPECT_THAT(database.error().remedy, HasSubstr("writable"));
}

TEST_F(Sqlite, RefusesTheSchemaOfANewerProgram) {
  auto database = opened();
  ASSERT_TRUE(database.exec("PRAGMA user_version = 9"));
  const auto migrated = database.migrate(kSchema);
  ASSERT_FALSE(migrated);
  EXPECT_EQ(migrated.error().code, Errc::kUnsupported);
  EXPECT_THAT(migrated.error().text(), HasSubstr("newer Umbra"));
}

TEST_F(Sqlite, TellsThatAnotherProcessHoldsTheFile) {
  auto first = opened();
  auto second = opened();
  auto held = Transaction::begin(first);
  ASSERT_TRUE(held);
  const auto refused = Transaction::begin(second);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::kConflict);
}

}  // namespace
}  // namespace umbra::sqlite
