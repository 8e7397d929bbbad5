/// The agent's journal: what it intends, written before it acts.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "agentd/shadow/phase.hpp"
#include "base/sqlite.hpp"
#include "base/task.hpp"

namespace umbra::shadow {

enum class Side : std::uint8_t { kSource = 0, kStandby = 1 };

/// One shadow's last written state on this host. QEMU's own state is the truth; this is only intent.
struct Record {
  std::string vm_uuid;
  Side side = Side::kSource;
  Phase phase = Phase::kProfile;
  std::uint64_t epoch = 0;  ///< the newest this side has taken part in; older ones are refused
  std::string wish;         ///< serialised umbra.v1.KeepShadowRequest (source) or StageRequest (standby)
  /// Serialised umbra.v1.CutoverRequest, from `armed` on (source). Emptied when it is given up or refused: what is
  /// there in `dropped` has moved the VM.
  std::string cutover;
  std::string origin{};  ///< serialised umbra.v1.ShadowOrigin (source): what the shadow was made of
};

/// Durable: when write() has answered, the record survives power loss (SQLite, WAL, synchronous=FULL).
/// Writes run on `disk`, a thread of their own in the agent, since an fsync may take long; answers come back on the
/// caller's executor. Writes of one coroutine are in order.
/// Errors are sqlite::Database's: kExhausted when the disk is full.
class Journal {
 public:
  static Result<std::unique_ptr<Journal>> open(const std::filesystem::path& file, asio::any_io_executor disk);

  Task<void> write(Record record);
  Result<std::vector<Record>> load();

 private:
  Journal(sqlite::Database database, asio::any_io_executor disk)
      : database_(std::move(database)), disk_(std::move(disk)) {}

  sqlite::Database database_;
  asio::any_io_executor disk_;
};

}  // namespace umbra::shadow
