/// SQLite's disk, with moments at which it may be full or the process may end.
#pragma once

#include <functional>
#include <string>

namespace umbra::agent::test {

/// What SQLite writes, in the whole process: its default VFS for as long as this lives. Files are real; only waiting
/// for the platter is left out (a crash of the agent loses nothing that was written). One at a time, one thread.
class FakeDisk {
 public:
  struct Hooks {
    /// A transaction is about to reach this write-ahead log. False: the disk is full, nothing is written.
    std::function<bool(const std::string& file)> commit;
    /// It is durable.
    std::function<void(const std::string& file)> committed;
  };
  explicit FakeDisk(Hooks hooks);
  ~FakeDisk();
  FakeDisk(const FakeDisk&) = delete;
  FakeDisk& operator=(const FakeDisk&) = delete;
};

}  // namespace umbra::agent::test
