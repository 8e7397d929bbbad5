#include "agentd/tests/fake_disk.hpp"

#include <sqlite3.h>

#include <map>
#include <set>
#include <stdexcept>

namespace umbra::agent::test {
namespace {

constexpr const char* kName = "umbra-fake-disk";

// SQLite calls back without a context of ours, so there is one disk.
FakeDisk::Hooks hooks;
sqlite3_vfs* real_vfs = nullptr;
std::map<const sqlite3_io_methods*, sqlite3_io_methods> methods;  // ours for each of the real ones: they differ by file
std::map<sqlite3_file*, const sqlite3_io_methods*> files;         // open ones, with their real methods
std::map<sqlite3_file*, std::string> logs;                        // of these, the write-ahead logs
std::set<sqlite3_file*> committing;

int write(sqlite3_file* file, const void* data, int size, sqlite3_int64 offset) {
  const auto log = logs.find(file);
  if (log != logs.end() && committing.insert(file).second && hooks.commit && !hooks.commit(log->second)) {
    committing.erase(file);
    return SQLITE_FULL;
  }
  return files.at(file)->xWrite(file, data, size, offset);
}

/// With synchronous=FULL each commit ends in one (sqlite.org/wal.html).
int sync(sqlite3_file* file, int) {
  const auto log = logs.find(file);
  if (log != logs.end() && committing.erase(file) > 0 && hooks.committed) hooks.committed(log->second);
  return SQLITE_OK;
}

int close(sqlite3_file* file) {
  const auto* real = files.at(file);
  files.erase(file);
  logs.erase(file);
  committing.erase(file);
  return real->xClose(file);
}

int open(sqlite3_vfs*, const char* name, sqlite3_file* file, int flags, int* out_flags) {
  const int opened = real_vfs->xOpen(real_vfs, name, file, flags, out_flags);
  if (opened != SQLITE_OK) return opened;
  files[file] = file->pMethods;
  auto& ours = methods[file->pMethods];
  ours = *file->pMethods;
  ours.xWrite = write;
  ours.xSync = sync;
  ours.xClose = close;
  file->pMethods = &ours;
  if ((flags & SQLITE_OPEN_WAL) != 0) logs[file] = name;
  return SQLITE_OK;
}

}  // namespace

FakeDisk::FakeDisk(Hooks with) {
  hooks = std::move(with);
  static sqlite3_vfs ours;  // registered ones must not move
  if (real_vfs == nullptr) {
    real_vfs = sqlite3_vfs_find(nullptr);
    ours = *real_vfs;
    ours.zName = kName;
    ours.xOpen = open;
  }
  if (sqlite3_vfs_register(&ours, 1) != SQLITE_OK) throw std::runtime_error("SQLite takes no disk");
}

FakeDisk::~FakeDisk() {
  sqlite3_vfs_register(real_vfs, 1);
  hooks = {};
}

}  // namespace umbra::agent::test
