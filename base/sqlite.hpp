/// SQLite as values and Results: where the controller keeps its state and the agent its journal.
/// See sqlite.org/c3ref; error codes are those of sqlite.org/rescode.html.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/result.hpp"

struct sqlite3;
struct sqlite3_stmt;

namespace umbra::sqlite {

/// When a commit counts as done (`PRAGMA synchronous`, in WAL mode).
enum class Durability : std::uint8_t {
  kFull,    ///< on the disk: survives power loss. For epochs, promises, decisions.
  kNormal,  ///< in the file: survives a crash of the process; power loss may take the last commits. For telemetry.
};

/// Bytes that are no text: bound and read as they are.
struct Blob {
  std::string_view bytes;
};

/// A prepared statement. Parameters are `?1 …` in order, columns count from 0.
/// Must not outlive its Database. One thread at a time.
class Statement {
 public:
  /// Starts afresh and binds all parameters in order; a failure shows in the next step().
  template <class... Args>
  Statement& bind(const Args&... args) {
    reset();
    int index = 0;
    (bind_one(++index, args), ...);
    return *this;
  }

  /// @return true when a row is there, false at the end.
  Result<bool> step();
  /// Steps to the end, for statements whose rows nobody wants.
  Result<void> run();

  std::int64_t integer(int column) const;
  double real(int column) const;
  std::string text(int column) const;
  std::string blob(int column) const;
  bool is_null(int column) const;

 private:
  friend class Database;
  struct Finalize {
    void operator()(sqlite3_stmt* handle) const;
  };
  Statement(sqlite3* database, sqlite3_stmt* handle) : database_(database), handle_(handle) {}
  void reset();
  void bind_one(int index, std::string_view value);
  void bind_one(int index, Blob value);
  void bind_one(int index, double value);
  void bind_one(int index, std::nullptr_t);
  void bind_integer(int index, std::int64_t value);
  template <std::integral T>
  void bind_one(int index, T value) {
    bind_integer(index, static_cast<std::int64_t>(value));
  }

  sqlite3* database_;
  std::unique_ptr<sqlite3_stmt, Finalize> handle_;
  int bind_status_ = 0;
};

/// A connection. One thread at a time.
/// Every call fails with: kCorrupt the file is damaged or no database; kExhausted the disk is full; kConflict another
/// process holds it, or a constraint is violated; kUnavailable it cannot be opened, read or written, or was removed.
class Database {
 public:
  /// Opens or creates `file` in WAL mode and reads its header.
  static Result<Database> open(const std::filesystem::path& file, Durability durability);

  /// Runs one or more statements without parameters.
  Result<void> exec(const std::string& sql);
  Result<Statement> prepare(std::string_view sql);
  /// Prepares, binds and runs once. What was prepared is kept for the next time: `sql` should be one of few texts.
  template <class... Args>
  Result<void> run(std::string_view sql, const Args&... args) {
    UMBRA_CHECK(check_in_place());
    UMBRA_TRY(auto* const statement, prepared(sql));
    return statement->bind(args...).run();
  }

  /// Brings the schema up to date: step i leads from `user_version` i to i+1, each in its own transaction.
  /// @error kUnsupported the file was written by a newer program
  Result<void> migrate(std::span<const std::string_view> steps);
  /// Whether the file that was opened is still the one of that name: what is written to another is in no file once the
  /// process ends. Cheap; run() and transactions look. @error kUnavailable
  Result<void> check_in_place() const;
  /// Looks for damage in all pages (`PRAGMA quick_check`); takes time in proportion to the file. @error kCorrupt
  Result<void> check();

  std::int64_t last_insert_id() const;
  /// Rows that the last INSERT, UPDATE or DELETE touched.
  std::int64_t changes() const;

 private:
  struct Close {
    void operator()(sqlite3* handle) const;
  };
  explicit Database(sqlite3* handle) : handle_(handle) {}
  Result<Statement*> prepared(std::string_view sql);
  std::unique_ptr<sqlite3, Close> handle_;
  std::map<std::string, Statement, std::less<>> prepared_;  // by their text
};

/// Rolls back unless committed. Takes the write lock at once (BEGIN IMMEDIATE), so that a read inside it stays true.
class Transaction {
 public:
  static Result<Transaction> begin(Database& database);
  Transaction(Transaction&& other) noexcept : database_(std::exchange(other.database_, nullptr)) {}
  Transaction& operator=(Transaction&&) = delete;
  ~Transaction();
  Result<void> commit();

 private:
  explicit Transaction(Database& database) : database_(&database) {}
  Database* database_;  // null once committed
};

}  // namespace umbra::sqlite
