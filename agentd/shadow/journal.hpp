/// The agent's journal: what it intends, written before it acts.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agentd/shadow/record.hpp"
#include "base/sqlite.hpp"
#include "base/task.hpp"

namespace umbra::shadow {

/// A record that no agent can have written. It is kept, out of the way, until the operator has looked at its VM.
struct Damaged {
  std::string vm_uuid;  ///< as far as it can be read
  std::string reason;
  std::int64_t at_unix_ms = 0;  ///< when it was found
};

/// Durable: when write() has answered, the record survives power loss (SQLite, WAL, synchronous=FULL).
/// Writes run on `disk`, a thread of their own in the agent, since an fsync may take long; answers come back on the
/// caller's executor. Writes of one coroutine are in order.
/// Errors are sqlite::Database's: kExhausted when the disk is full.
class Journal {
 public:
  struct Contents {
    std::vector<Record> records;
    std::vector<Damaged> damaged;  ///< of these VMs nothing else here decides anything either
  };

  /// Opens `file`, or makes it. A file that is no database, or a damaged one, is renamed, and a new journal begins: see
  /// lost().
  static Result<std::unique_ptr<Journal>> open(const std::filesystem::path& file, asio::any_io_executor disk);
  /// What an operator does once a VM is in order: its damaged records go. @return how many
  static Result<int> forget_damaged(const std::filesystem::path& file, const std::string& vm_uuid);

  /// Given by chance when the file was made: another one knows nothing of what this one's writer promised.
  const std::string& incarnation() const { return incarnation_; }
  /// What became of a file that was damaged; empty when this journal is the one that was here before.
  const std::string& lost() const { return lost_; }
  /// @error kUnavailable the file was removed under this process: nothing can be promised any more
  Result<void> check_in_place() const { return database_.check_in_place(); }

  /// For the next shadow that is staged from here; durable with the first write of its record.
  std::uint64_t next_number() { return ++number_; }
  std::uint64_t newest_number() const { return number_; }

  Task<void> write(Record record);
  /// Sets aside what is damaged. Before the first write().
  Result<Contents> load();

 private:
  Journal(sqlite::Database database, asio::any_io_executor disk)
      : database_(std::move(database)), disk_(std::move(disk)) {}
  static Result<std::unique_ptr<Journal>> open_sound(const std::filesystem::path& file, asio::any_io_executor disk);
  Result<void> identify();
  Result<void> set_aside(const std::string& vm, const std::string& side, const std::string& reason);

  sqlite::Database database_;
  asio::any_io_executor disk_;
  std::string incarnation_;
  std::string lost_;
  std::uint64_t number_ = 0;
};

}  // namespace umbra::shadow
