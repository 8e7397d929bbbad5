#include "agentd/shadow/journal.hpp"

#include <array>
#include <boost/asio/co_spawn.hpp>

namespace umbra::shadow {
namespace {

constexpr std::array<std::string_view, 2> kSchema{
    "CREATE TABLE shadow ("
    " vm_uuid TEXT NOT NULL, side INTEGER NOT NULL, phase INTEGER NOT NULL, epoch INTEGER NOT NULL,"
    " wish BLOB NOT NULL, cutover BLOB NOT NULL, PRIMARY KEY (vm_uuid, side)) WITHOUT ROWID",
    "ALTER TABLE shadow ADD COLUMN origin BLOB NOT NULL DEFAULT x''"};

Task<void> store(sqlite::Database& database, Record record) {
  // The epoch only grows, whatever order writers come in.
  co_return database.run(
      "INSERT INTO shadow VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT DO UPDATE SET"
      " phase = excluded.phase, epoch = max(epoch, excluded.epoch), wish = excluded.wish, cutover = excluded.cutover,"
      " origin = excluded.origin",
      record.vm_uuid, static_cast<int>(record.side), static_cast<int>(record.phase), record.epoch, record.wish,
      record.cutover, record.origin);
}

}  // namespace

Result<std::unique_ptr<Journal>> Journal::open(const std::filesystem::path& file, asio::any_io_executor disk) {
  UMBRA_TRY(auto database, sqlite::Database::open(file, sqlite::Durability::kFull));
  UMBRA_CHECK(database.check());
  UMBRA_CHECK(database.migrate(kSchema));
  return std::unique_ptr<Journal>(new Journal(std::move(database), std::move(disk)));
}

Task<void> Journal::write(Record record) {
  auto stored = co_await asio::co_spawn(disk_, store(database_, std::move(record)), asio::use_awaitable);
  if (!stored) co_return fail(with_context(stored.error(), "cannot write the journal"));
  co_return Result<void>{};
}

Result<std::vector<Record>> Journal::load() {
  std::vector<Record> records;
  UMBRA_TRY(auto rows, database_.prepare("SELECT vm_uuid, side, phase, epoch, wish, cutover, origin FROM shadow"));
  for (;;) {
    UMBRA_TRY(const bool more, rows.step());
    if (!more) return records;
    const auto phase = rows.integer(2);
    if (phase < 0 || phase > static_cast<int>(kLastPhase))
      return fail({Errc::kCorrupt, fmt::format("the journal holds phase {} of VM {}", phase, rows.text(0)),
                   "it was written by a newer agent: install that version again"});
    records.push_back({rows.text(0), static_cast<Side>(rows.integer(1)), static_cast<Phase>(phase),
                       static_cast<std::uint64_t>(rows.integer(3)), rows.text(4), rows.text(5), rows.text(6)});
  }
}

}  // namespace umbra::shadow
