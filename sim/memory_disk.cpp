#include "sim/memory_disk.hpp"

#include <sqlite3.h>

#include <cstring>
#include <map>
#include <memory>
#include <set>
#include <stdexcept>
#include <vector>

namespace umbra::sim {
namespace {

constexpr const char* kName = "umbra-memory-disk";

/// In chunks: what grows is not copied, and a child of fork(2) copies only what it writes.
class Content {
 public:
  std::size_t size() const { return size_; }
  void read(char* to, std::size_t size, std::size_t offset) const {
    each(size, offset, [&](std::size_t chunk, std::size_t at, std::size_t some) {
      std::memcpy(to, chunks_[chunk].get() + at, some);
      to += some;
    });
  }
  void write(const char* from, std::size_t size, std::size_t offset) {
    resize(std::max(size_, offset + size), offset);
    each(size, offset, [&](std::size_t chunk, std::size_t at, std::size_t some) {
      std::memcpy(chunks_[chunk].get() + at, from, some);
      from += some;
    });
  }
  void resize(std::size_t size) { resize(size, size); }
  std::vector<char> copy() const {
    std::vector<char> all(size_);
    read(all.data(), size_, 0);
    return all;
  }

 private:
  static constexpr std::size_t kChunk = 64 * 1024;

  template <class Part>
  static void each(std::size_t size, std::size_t offset, Part part) {
    while (size > 0) {
      const auto at = offset % kChunk, some = std::min(size, kChunk - at);
      part(offset / kChunk, at, some);
      offset += some;
      size -= some;
    }
  }
  /// @param clear up to there, what is new is zero
  void resize(std::size_t size, std::size_t clear) {
    while (chunks_.size() * kChunk < size) chunks_.push_back(std::make_unique_for_overwrite<char[]>(kChunk));
    if (clear > size_)
      each(clear - size_, size_, [&](std::size_t chunk, std::size_t at, std::size_t some) {
        std::memset(chunks_[chunk].get() + at, 0, some);
      });
    size_ = size;
  }

  std::vector<std::unique_ptr<char[]>> chunks_;
  std::size_t size_ = 0;
};

struct File {
  Content bytes;
  std::vector<std::unique_ptr<std::vector<char>>> shared;  ///< the wal-index
};
using Files = std::map<std::string, std::shared_ptr<File>>;

// SQLite calls back without a context of ours, so there is one disk.
MemoryDisk::Hooks hooks;
Files files;
std::set<File*> committing;
sqlite3_vfs* real_vfs = nullptr;

struct Open {
  sqlite3_file base;
  std::shared_ptr<File>* file;
  std::string* name;
  bool log;
};
Open& of(sqlite3_file* file) {
  return *reinterpret_cast<Open*>(file);
}

int close(sqlite3_file* file) {
  auto& open = of(file);
  committing.erase(open.file->get());
  delete open.file;
  delete open.name;
  return SQLITE_OK;
}
int read(sqlite3_file* file, void* to, int size, sqlite3_int64 offset) {
  const auto& bytes = (*of(file).file)->bytes;
  const auto at = static_cast<std::size_t>(offset);
  const auto there = at < bytes.size() ? std::min(bytes.size() - at, static_cast<std::size_t>(size)) : 0;
  if (there > 0) bytes.read(static_cast<char*>(to), there, at);
  if (there == static_cast<std::size_t>(size)) return SQLITE_OK;
  std::memset(static_cast<char*>(to) + there, 0, static_cast<std::size_t>(size) - there);
  return SQLITE_IOERR_SHORT_READ;
}
int write(sqlite3_file* file, const void* from, int size, sqlite3_int64 offset) {
  auto& open = of(file);
  if (open.log && committing.insert(open.file->get()).second && hooks.commit && !hooks.commit(*open.name)) {
    committing.erase(open.file->get());
    return SQLITE_FULL;
  }
  (*open.file)
      ->bytes.write(static_cast<const char*>(from), static_cast<std::size_t>(size), static_cast<std::size_t>(offset));
  return SQLITE_OK;
}
int truncate(sqlite3_file* file, sqlite3_int64 size) {
  (*of(file).file)->bytes.resize(static_cast<std::size_t>(size));
  return SQLITE_OK;
}
/// With synchronous=FULL each commit ends in one (sqlite.org/wal.html).
int sync(sqlite3_file* file, int) {
  auto& open = of(file);
  if (open.log && committing.erase(open.file->get()) > 0 && hooks.committed) hooks.committed(*open.name);
  return SQLITE_OK;
}
int file_size(sqlite3_file* file, sqlite3_int64* size) {
  *size = static_cast<sqlite3_int64>((*of(file).file)->bytes.size());
  return SQLITE_OK;
}
int lock(sqlite3_file*, int) {
  return SQLITE_OK;
}
int check_lock(sqlite3_file*, int* reserved) {
  *reserved = 0;
  return SQLITE_OK;
}
int control(sqlite3_file*, int, void*) {
  return SQLITE_NOTFOUND;
}
int sector_size(sqlite3_file*) {
  return 4096;
}
int characteristics(sqlite3_file*) {
  return SQLITE_IOCAP_POWERSAFE_OVERWRITE;
}
int map_shared(sqlite3_file* file, int region, int size, int extend, void volatile** to) {
  auto& shared = (*of(file).file)->shared;
  const auto index = static_cast<std::size_t>(region);
  if (shared.size() <= index) {
    if (extend == 0) {
      *to = nullptr;
      return SQLITE_OK;
    }
    shared.resize(index + 1);
  }
  if (!shared[index]) shared[index] = std::make_unique<std::vector<char>>(static_cast<std::size_t>(size));
  *to = shared[index]->data();
  return SQLITE_OK;
}
int lock_shared(sqlite3_file*, int, int, int) {
  return SQLITE_OK;
}
void barrier(sqlite3_file*) {}
int unmap_shared(sqlite3_file* file, int remove) {
  if (remove != 0) (*of(file).file)->shared.clear();
  return SQLITE_OK;
}

const sqlite3_io_methods methods{
    2,          close,   read,        write,           truncate,   sync,        file_size, lock,         lock,
    check_lock, control, sector_size, characteristics, map_shared, lock_shared, barrier,   unmap_shared, nullptr,
    nullptr};

int open(sqlite3_vfs*, const char* name, sqlite3_file* file, int flags, int* out_flags) {
  const std::string path = name != nullptr ? name : "";
  auto& known = files[path];
  if (!known || path.empty()) known = std::make_shared<File>();
  auto& ours = of(file);
  ours.base.pMethods = &methods;
  ours.file = new std::shared_ptr<File>(known);
  ours.name = new std::string(path);
  ours.log = (flags & SQLITE_OPEN_WAL) != 0;
  if (out_flags != nullptr) *out_flags = flags;
  return SQLITE_OK;
}
int remove(sqlite3_vfs*, const char* name, int) {
  files.erase(name);
  return SQLITE_OK;
}
int access(sqlite3_vfs*, const char* name, int, int* result) {
  const auto found = files.find(name);
  *result = found != files.end() && found->second->bytes.size() > 0 ? 1 : 0;
  return SQLITE_OK;
}
int full_path(sqlite3_vfs*, const char* name, int size, char* out) {
  sqlite3_snprintf(size, out, "%s", name);
  return SQLITE_OK;
}

struct Copy {
  std::map<std::string, std::vector<char>> files;
};

}  // namespace

MemoryDisk::MemoryDisk(Hooks with) {
  hooks = std::move(with);
  static sqlite3_vfs ours;  // registered ones must not move
  if (real_vfs == nullptr) {
    // A child of fork(2) would wait for ever for a lock that its parent's thread has taken: it goes on inside of a
    // commit.
    if (sqlite3_config(SQLITE_CONFIG_SINGLETHREAD) != SQLITE_OK) throw std::runtime_error("SQLite is in use already");
    real_vfs = sqlite3_vfs_find(nullptr);
    ours = *real_vfs;
    ours.szOsFile = sizeof(Open);
    ours.zName = kName;
    ours.xOpen = open;
    ours.xDelete = remove;
    ours.xAccess = access;
    ours.xFullPathname = full_path;
  }
  if (sqlite3_vfs_register(&ours, 1) != SQLITE_OK) throw std::runtime_error("SQLite takes no disk");
}

MemoryDisk::~MemoryDisk() {
  sqlite3_vfs_register(real_vfs, 1);
  hooks = {};
  files.clear();
}

MemoryDisk::Image MemoryDisk::copy(const std::string& directory) const {
  auto image = std::make_shared<Copy>();
  for (const auto& [name, file] : files)
    if (name.starts_with(directory + '/')) image->files[name] = file->bytes.copy();
  return image;
}

void MemoryDisk::restore(const std::string& directory, const Image& image) {
  std::erase_if(files, [&](const auto& entry) { return entry.first.starts_with(directory + '/'); });
  if (!image) return;
  for (const auto& [name, bytes] : static_cast<const Copy*>(image.get())->files) {
    files[name] = std::make_shared<File>();
    files[name]->bytes.write(bytes.data(), bytes.size(), 0);
  }
}

}  // namespace umbra::sim
