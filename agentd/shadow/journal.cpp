#include "agentd/shadow/journal.hpp"

#include <spdlog/spdlog.h>

#include <array>
#include <boost/asio/co_spawn.hpp>
#include <chrono>
#include <random>

namespace umbra::shadow {
namespace {

constexpr std::array<std::string_view, 3> kSchema{
    "CREATE TABLE shadow ("
    " vm_uuid TEXT NOT NULL, side INTEGER NOT NULL, phase INTEGER NOT NULL, epoch INTEGER NOT NULL,"
    " wish BLOB NOT NULL, cutover BLOB NOT NULL, PRIMARY KEY (vm_uuid, side)) WITHOUT ROWID",
    "ALTER TABLE shadow ADD COLUMN origin BLOB NOT NULL DEFAULT x''",
    // `number`: the greatest that was ever given, also by records that were set aside since.
    "CREATE TABLE identity (incarnation TEXT NOT NULL, number INTEGER NOT NULL);"
    "CREATE TABLE damaged (at_unix_ms INTEGER NOT NULL, vm_uuid TEXT NOT NULL, reason TEXT NOT NULL,"
    " record TEXT NOT NULL);"  // as SQL's literals, each column
    "ALTER TABLE shadow ADD COLUMN peer TEXT NOT NULL DEFAULT '';"
    "ALTER TABLE shadow ADD COLUMN number INTEGER NOT NULL DEFAULT 0;"};

constexpr std::size_t kMostText = 16 * 1024 * 1024;  // of one column: a domain's XML is some kilobytes
constexpr auto kSlow = std::chrono::milliseconds(250);

std::chrono::system_clock::time_point now() {
  return std::chrono::system_clock::now();
}

std::string random_incarnation() {
  std::random_device chance;
  std::string text;
  for (int i = 0; i < 4; ++i) text += fmt::format("{:08x}", chance());
  return text;
}

Task<void> store(sqlite::Database& database, Record record) {
  // The epoch only grows, whatever order writers come in.
  co_return database.run(
      "INSERT INTO shadow VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT DO UPDATE SET"
      " phase = excluded.phase, epoch = max(epoch, excluded.epoch), wish = excluded.wish, cutover = excluded.cutover,"
      " origin = excluded.origin, peer = excluded.peer, number = max(number, excluded.number)",
      record.vm_uuid, static_cast<int>(record.side), static_cast<int>(record.phase), record.epoch, record.wish,
      record.cutover, record.origin, record.peer, record.number);
}

/// The file and what SQLite keeps beside it, under a name that nobody opens.
Result<std::string> put_away(const std::filesystem::path& file) {
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(now().time_since_epoch()).count();
  auto to = fmt::format("{}.damaged-{}", file.string(), seconds);
  for (int again = 1; std::filesystem::exists(to); ++again)
    to = fmt::format("{}.damaged-{}-{}", file.string(), seconds, again);
  for (const std::string_view suffix : {"", "-wal", "-shm"}) {
    const auto part = file.string() + std::string(suffix);
    std::error_code failed;
    if (!std::filesystem::exists(part, failed)) continue;
    std::filesystem::rename(part, to + std::string(suffix), failed);
    if (failed)
      return fail({Errc::kCorrupt, fmt::format("{} is damaged, and cannot be renamed: {}", part, failed.message()),
                   "move it away by hand"});
  }
  return to;
}

}  // namespace

Result<std::unique_ptr<Journal>> Journal::open(const std::filesystem::path& file, asio::any_io_executor disk) {
  auto journal = open_sound(file, disk);
  if (journal || journal.error().code != Errc::kCorrupt) return journal;
  const auto why = journal.error().message;
  UMBRA_TRY(const auto kept_as, put_away(file));
  spdlog::error("{}; kept as {}", why, kept_as);
  UMBRA_TRY(auto fresh, open_sound(file, disk));
  fresh->lost_ = fmt::format("{}; it was kept as {}, and an empty journal begins", why, kept_as);
  return fresh;
}

Result<std::unique_ptr<Journal>> Journal::open_sound(const std::filesystem::path& file, asio::any_io_executor disk) {
  UMBRA_TRY(auto database, sqlite::Database::open(file, sqlite::Durability::kFull));
  UMBRA_CHECK(database.check());
  UMBRA_CHECK(database.migrate(kSchema));
  std::unique_ptr<Journal> journal(new Journal(std::move(database), std::move(disk)));
  UMBRA_CHECK(journal->identify());
  return journal;
}

/// Reads the incarnation, or gives one; and goes on counting.
Result<void> Journal::identify() {
  {
    UMBRA_TRY(auto row, database_.prepare("SELECT incarnation, number FROM identity"));
    UMBRA_TRY(const bool known, row.step());
    if (known) incarnation_ = row.text(0);
    if (known) number_ = static_cast<std::uint64_t>(std::max<std::int64_t>(row.integer(1), 0));
  }
  if (incarnation_.empty()) {
    incarnation_ = random_incarnation();
    UMBRA_CHECK(database_.run("INSERT INTO identity VALUES (?1, 0)", incarnation_));
  }
  UMBRA_TRY(auto row, database_.prepare("SELECT max(number) FROM shadow WHERE typeof(number) = 'integer'"));
  UMBRA_TRY(const bool any, row.step());
  if (any) number_ = std::max(number_, static_cast<std::uint64_t>(std::max<std::int64_t>(row.integer(0), 0)));
  return {};
}

Task<void> Journal::write(Record record) {
  const auto begun = std::chrono::steady_clock::now();
  auto stored = co_await asio::co_spawn(disk_, store(database_, std::move(record)), asio::use_awaitable);
  const auto took = std::chrono::steady_clock::now() - begun;
  if (took > kSlow)
    spdlog::warn(
        "writing the journal took {} ms, for which a cutover's guest would stand still: see to the disk of "
        "state_dir",
        std::chrono::duration_cast<std::chrono::milliseconds>(took).count());
  if (!stored) co_return fail(with_context(stored.error(), "cannot write the journal"));
  co_return Result<void>{};
}

Result<Journal::Contents> Journal::load() {
  Contents contents;
  struct Flawed {
    std::string vm, side;  // as hexadecimal digits: they may be of any type
    std::string reason;
  };
  std::vector<Flawed> flawed;
  {
    UMBRA_TRY(auto rows,
              database_.prepare(
                  "SELECT vm_uuid, side, phase, epoch, wish, cutover, origin, peer, number, hex(vm_uuid), hex(side),"
                  " typeof(vm_uuid) = 'text' AND typeof(side) = 'integer' AND typeof(phase) = 'integer'"
                  " AND typeof(epoch) = 'integer' AND typeof(number) = 'integer' AND epoch >= 0"
                  " AND number >= 0 AND wish NOT NULL AND cutover NOT NULL AND peer NOT NULL AND origin NOT NULL,"
                  " length(wish) <= ?1 AND length(cutover) <= ?1 AND length(origin) <= ?1 FROM shadow"));
    rows.bind(kMostText);
    for (;;) {
      UMBRA_TRY(const bool more, rows.step());
      if (!more) break;
      std::string reason;
      if (rows.integer(11) != 1) {
        reason = "a column is of another type";
      } else if (rows.integer(12) != 1) {
        reason = "it is too long";
      } else if (const auto phase = rows.integer(2); phase < 0 || phase > static_cast<int>(kLastPhase)) {
        reason = fmt::format("its phase {} is unknown; a newer agent may have written it", phase);
      } else if (const auto side = rows.integer(1); side < 0 || side > 1) {
        reason = fmt::format("its side {} is unknown", side);
      } else {
        Record record{rows.text(0),
                      static_cast<Side>(side),
                      static_cast<Phase>(phase),
                      static_cast<std::uint64_t>(rows.integer(3)),
                      rows.blob(4),
                      rows.blob(5),
                      rows.blob(6),
                      rows.text(7),
                      static_cast<std::uint64_t>(rows.integer(8))};
        reason = flaw_in(record);
        if (reason.empty()) contents.records.push_back(std::move(record));
      }
      if (!reason.empty()) flawed.push_back({rows.text(9), rows.text(10), std::move(reason)});
    }
  }
  for (const auto& [vm, side, reason] : flawed) UMBRA_CHECK(set_aside(vm, side, reason));
  UMBRA_TRY(auto rows, database_.prepare("SELECT vm_uuid, reason, at_unix_ms FROM damaged"));
  for (;;) {
    UMBRA_TRY(const bool more, rows.step());
    if (!more) break;
    contents.damaged.push_back({rows.text(0), rows.text(1), rows.integer(2)});
  }
  return contents;
}

Result<void> Journal::set_aside(const std::string& vm, const std::string& side, const std::string& reason) {
  UMBRA_TRY(auto transaction, sqlite::Transaction::begin(database_));
  UMBRA_CHECK(database_.run("UPDATE identity SET number = max(number, ?1)", number_));
  UMBRA_CHECK(database_.run(
      "INSERT INTO damaged SELECT ?3, CAST(vm_uuid AS TEXT), ?4, quote(vm_uuid) || ',' || quote(side) || ',' ||"
      " quote(phase) || ',' || quote(epoch) || ',' || quote(wish) || ',' || quote(cutover) || ',' || quote(origin) || "
      "',' || quote(peer)"
      " || ',' || quote(number) FROM shadow WHERE hex(vm_uuid) = ?1 AND hex(side) = ?2",
      vm, side, std::chrono::duration_cast<std::chrono::milliseconds>(now().time_since_epoch()).count(), reason));
  UMBRA_CHECK(database_.run("DELETE FROM shadow WHERE hex(vm_uuid) = ?1 AND hex(side) = ?2", vm, side));
  return transaction.commit();
}

Result<int> Journal::forget_damaged(const std::filesystem::path& file, const std::string& vm_uuid) {
  if (!std::filesystem::exists(file)) return fail(Errc::kNotFound, "there is no journal {}", file.string());
  UMBRA_TRY(auto database, sqlite::Database::open(file, sqlite::Durability::kFull));
  UMBRA_CHECK(database.check());
  UMBRA_CHECK(database.migrate(kSchema));
  UMBRA_CHECK(database.run("DELETE FROM damaged WHERE vm_uuid = ?1", vm_uuid));
  return static_cast<int>(database.changes());
}

}  // namespace umbra::shadow
