#include "base/sqlite.hpp"

#include <sqlite3.h>

namespace umbra::sqlite {
namespace {

/// How long a statement waits for another process, a backup say. It blocks the caller's thread, hence short.
constexpr int kBusyMs = 250;

std::string file_of(sqlite3* handle) {
  const char* name = sqlite3_db_filename(handle, "main");
  return name != nullptr && *name != '\0' ? name : "database";
}

Error describe(int status, const std::string& file, std::string_view detail) {
  const auto error = [&](Errc code, std::string_view remedy) {
    return Error{code, fmt::format("{}: {}", file, detail), std::string(remedy)};
  };
  switch (status & 0xff) {  // the primary code
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return error(Errc::kCorrupt, "restore the file and its -wal from a backup, or move both away to start empty");
    case SQLITE_FULL:
      return error(Errc::kExhausted, "free space on the file system that holds it");
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return error(Errc::kConflict, "another process uses the file; end it and try again");
    case SQLITE_CONSTRAINT:
      return error(Errc::kConflict, "");
    case SQLITE_CANTOPEN:
    case SQLITE_PERM:
    case SQLITE_AUTH:
    case SQLITE_READONLY:
      return error(Errc::kUnavailable, "its directory must exist and be writable by the user the service runs as");
    case SQLITE_IOERR:
      return error(Errc::kUnavailable, "look for errors of the disk in the kernel's log");
    case SQLITE_NOMEM:
      return error(Errc::kExhausted, "free memory");
    default:
      return error(Errc::kInternal, "");
  }
}

tl::unexpected<Error> failed(int status, sqlite3* handle) {
  return fail(describe(status, file_of(handle), sqlite3_errmsg(handle)));
}

}  // namespace

void Statement::Finalize::operator()(sqlite3_stmt* handle) const {
  sqlite3_finalize(handle);
}

void Statement::reset() {
  sqlite3_reset(handle_.get());  // repeats the error of the last step, which was reported then
  sqlite3_clear_bindings(handle_.get());
  bind_status_ = SQLITE_OK;
}

void Statement::bind_one(int index, std::string_view value) {
  const int status = sqlite3_bind_text64(handle_.get(), index, value.data() != nullptr ? value.data() : "",
                                         value.size(), SQLITE_TRANSIENT, SQLITE_UTF8);
  if (status != SQLITE_OK) bind_status_ = status;
}
void Statement::bind_one(int index, Blob value) {
  const int status =
      sqlite3_bind_blob64(handle_.get(), index, value.bytes.data(), value.bytes.size(), SQLITE_TRANSIENT);
  if (status != SQLITE_OK) bind_status_ = status;
}
void Statement::bind_one(int index, double value) {
  if (const int status = sqlite3_bind_double(handle_.get(), index, value); status != SQLITE_OK) bind_status_ = status;
}
void Statement::bind_one(int index, std::nullptr_t) {
  if (const int status = sqlite3_bind_null(handle_.get(), index); status != SQLITE_OK) bind_status_ = status;
}
void Statement::bind_integer(int index, std::int64_t value) {
  if (const int status = sqlite3_bind_int64(handle_.get(), index, value); status != SQLITE_OK) bind_status_ = status;
}

Result<bool> Statement::step() {
  if (bind_status_ != SQLITE_OK) return failed(bind_status_, database_);
  const int status = sqlite3_step(handle_.get());
  if (status == SQLITE_ROW) return true;
  if (status == SQLITE_DONE) return false;
  return failed(status, database_);
}

Result<void> Statement::run() {
  Result<bool> row = true;
  while (row && *row) row = step();
  reset();  // else it would keep a transaction open
  if (!row) return fail(row.error());
  return {};
}

std::int64_t Statement::integer(int column) const {
  return sqlite3_column_int64(handle_.get(), column);
}
double Statement::real(int column) const {
  return sqlite3_column_double(handle_.get(), column);
}
std::string Statement::text(int column) const {
  const auto* bytes = reinterpret_cast<const char*>(sqlite3_column_text(handle_.get(), column));
  if (bytes == nullptr) return {};
  return {bytes, static_cast<std::size_t>(sqlite3_column_bytes(handle_.get(), column))};
}
std::string Statement::blob(int column) const {
  const auto* bytes = static_cast<const char*>(sqlite3_column_blob(handle_.get(), column));
  if (bytes == nullptr) return {};
  return {bytes, static_cast<std::size_t>(sqlite3_column_bytes(handle_.get(), column))};
}
bool Statement::is_null(int column) const {
  return sqlite3_column_type(handle_.get(), column) == SQLITE_NULL;
}

void Database::Close::operator()(sqlite3* handle) const {
  sqlite3_close_v2(handle);
}

Result<Database> Database::open(const std::filesystem::path& file, Durability durability) {
  sqlite3* handle = nullptr;
  const int status = sqlite3_open_v2(file.c_str(), &handle, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, nullptr);
  Database database(handle);  // a handle comes back even when opening failed
  if (status != SQLITE_OK)
    return fail(describe(status, file.string(), handle != nullptr ? sqlite3_errmsg(handle) : sqlite3_errstr(status)));
  sqlite3_busy_timeout(handle, kBusyMs);
  UMBRA_CHECK(database.exec("PRAGMA journal_mode = WAL; PRAGMA foreign_keys = ON; PRAGMA schema_version;"));
  UMBRA_CHECK(
      database.exec(durability == Durability::kFull ? "PRAGMA synchronous = FULL" : "PRAGMA synchronous = NORMAL"));
  return database;
}

Result<void> Database::exec(const std::string& sql) {
  const int status = sqlite3_exec(handle_.get(), sql.c_str(), nullptr, nullptr, nullptr);
  if (status != SQLITE_OK) return failed(status, handle_.get());
  return {};
}

Result<Statement> Database::prepare(std::string_view sql) {
  sqlite3_stmt* statement = nullptr;
  const int status = sqlite3_prepare_v2(handle_.get(), sql.data(), static_cast<int>(sql.size()), &statement, nullptr);
  if (status != SQLITE_OK) return failed(status, handle_.get());
  return Statement(handle_.get(), statement);
}

Result<Statement*> Database::prepared(std::string_view sql) {
  const auto known = prepared_.find(sql);
  if (known != prepared_.end()) return &known->second;
  UMBRA_TRY(auto statement, prepare(sql));
  return &prepared_.emplace(sql, std::move(statement)).first->second;
}

Result<void> Database::migrate(std::span<const std::string_view> steps) {
  UMBRA_TRY(auto version, prepare("PRAGMA user_version"));
  UMBRA_CHECK(version.step());
  const auto at = version.integer(0);
  UMBRA_CHECK(version.bind().run());
  if (at < 0 || static_cast<std::size_t>(at) > steps.size())
    return fail({Errc::kUnsupported,
                 fmt::format("{}: its schema is version {}, this program knows up to {}", file_of(handle_.get()), at,
                             steps.size()),
                 "it was written by a newer Umbra: install that version, or restore a backup"});
  for (auto next = static_cast<std::size_t>(at); next < steps.size(); ++next) {
    UMBRA_TRY(auto transaction, Transaction::begin(*this));
    UMBRA_CHECK(exec(std::string(steps[next])));
    UMBRA_CHECK(exec(fmt::format("PRAGMA user_version = {}", next + 1)));
    UMBRA_CHECK(transaction.commit());
  }
  return {};
}

Result<void> Database::check_in_place() const {
  int moved = 0;
  if (sqlite3_file_control(handle_.get(), "main", SQLITE_FCNTL_HAS_MOVED, &moved) != SQLITE_OK || moved == 0) return {};
  return fail({Errc::kUnavailable,
               fmt::format("{} was removed or replaced while it was in use", file_of(handle_.get())),
               "restart the service"});
}

Result<void> Database::check() {
  UMBRA_TRY(auto statement, prepare("PRAGMA quick_check(1)"));
  UMBRA_TRY(const bool row, statement.step());
  if (row && statement.text(0) != "ok")
    return fail(describe(SQLITE_CORRUPT, file_of(handle_.get()), statement.text(0)));
  return {};
}

std::int64_t Database::last_insert_id() const {
  return sqlite3_last_insert_rowid(handle_.get());
}
std::int64_t Database::changes() const {
  return sqlite3_changes64(handle_.get());
}

Result<Transaction> Transaction::begin(Database& database) {
  UMBRA_CHECK(database.check_in_place());
  UMBRA_CHECK(database.exec("BEGIN IMMEDIATE"));
  return Transaction(database);
}

Transaction::~Transaction() {
  // After some errors (a full disk) SQLite has rolled back by itself and this one fails: nothing is lost by that.
  if (database_ != nullptr) std::ignore = database_->exec("ROLLBACK");
}

Result<void> Transaction::commit() {
  UMBRA_CHECK(database_->exec("COMMIT"));
  database_ = nullptr;
  return {};
}

}  // namespace umbra::sqlite
