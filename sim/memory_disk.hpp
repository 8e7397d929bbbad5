/// SQLite's disk in memory, with moments at which it may be full or the process may end.
#pragma once

#include <functional>
#include <string>

namespace umbra::sim {

/// What SQLite writes, in the whole process: its default VFS for as long as this lives (sqlite.org/vfs.html). What was
/// written is there after a crash. One at a time, one thread; files belong to one process of the simulation each, so
/// locks are always granted.
class MemoryDisk {
 public:
  struct Hooks {
    /// A transaction is about to reach this write-ahead log. False: the disk is full, nothing is written.
    std::function<bool(const std::string& file)> commit;
    /// It is durable.
    std::function<void(const std::string& file)> committed;
  };
  explicit MemoryDisk(Hooks hooks);
  ~MemoryDisk();
  MemoryDisk(const MemoryDisk&) = delete;
  MemoryDisk& operator=(const MemoryDisk&) = delete;

  /// A copy of what is under this directory now.
  using Image = std::shared_ptr<const void>;
  Image copy(const std::string& directory) const;
  /// Puts it back, as a backup that is restored; without one nothing is left there. No open file may be under it.
  void restore(const std::string& directory, const Image& image);
};

}  // namespace umbra::sim
