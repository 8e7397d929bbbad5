#include "cli/whole_file.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>

namespace umbra::cli {
namespace {

namespace fs = std::filesystem;

Error cannot_write(const std::string& name, int cause) {
  const auto error = [&](Errc code, const char* remedy) {
    return Error{code, fmt::format("cannot write {}: {}", name, std::strerror(cause)), remedy};
  };
  switch (cause) {
    case EISDIR:
      return error(Errc::kInvalid, "give the name of a file");
    case ENOENT:
    case ENOTDIR:
      return error(Errc::kNotFound, "make its directory first, or give another path");
    case EACCES:
    case EPERM:
    case EROFS:
      return error(Errc::kDenied, "give a path that you may write to");
    case ENOSPC:
    case EDQUOT:
      return error(Errc::kExhausted, "make room, or give a path on another disk");
    default:
      return error(Errc::kUnavailable, "give another path");
  }
}

/// Where a file's bytes go: the file that a link names.
fs::path target_of(const std::string& name) {
  std::error_code unresolved;  // then the name itself is tried, which tells why
  auto target = fs::weakly_canonical(name, unresolved);
  return unresolved ? fs::path(name) : target;
}

fs::path directory_of(const fs::path& target) {
  return target.has_parent_path() ? target.parent_path() : fs::path(".");
}

/// Pipes and devices cannot be replaced.
bool written_in_place(const std::string& name) {
  std::error_code none;
  const auto status = fs::status(name, none);
  return fs::exists(status) && !fs::is_regular_file(status);
}

/// @return errno, or 0
int write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const auto written = ::write(fd, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return errno;
    text.remove_prefix(static_cast<std::size_t>(written));
  }
  return 0;
}

mode_t mode_for(const fs::path& target) {
  struct stat old {};
  if (::stat(target.c_str(), &old) == 0) return old.st_mode & 0777U;
  const auto mask = ::umask(0);
  ::umask(mask);
  return 0666U & ~mask;
}

/// @return errno, or 0
int replace(const fs::path& target, std::string_view text) {
  auto beside = (directory_of(target) / ".umbractl-XXXXXX").string();
  const int fd = ::mkostemp(beside.data(), O_CLOEXEC);
  if (fd < 0) return errno;
  int cause = write_all(fd, text);
  if (cause == 0 && (::fchmod(fd, mode_for(target)) != 0 || ::fsync(fd) != 0)) cause = errno;
  if (::close(fd) != 0 && cause == 0) cause = errno;
  if (cause == 0 && ::rename(beside.c_str(), target.c_str()) != 0) cause = errno;
  if (cause != 0) ::unlink(beside.c_str());
  return cause;
}

/// @return errno, or 0
int write_in_place(const std::string& name, std::string_view text) {
  const int fd = ::open(name.c_str(), O_WRONLY | O_CLOEXEC);
  if (fd < 0) return errno;
  const int cause = write_all(fd, text);
  return ::close(fd) != 0 && cause == 0 ? errno : cause;
}

}  // namespace

Result<void> check_writable(const std::string& name) {
  std::error_code none;
  if (fs::is_directory(name, none)) return fail(cannot_write(name, EISDIR));
  if (fs::exists(name, none) && ::access(name.c_str(), W_OK) != 0) return fail(cannot_write(name, errno));
  if (written_in_place(name)) return {};
  const auto directory = directory_of(target_of(name));
  if (::access(directory.c_str(), W_OK | X_OK) != 0) return fail(cannot_write(name, errno));
  if (!fs::is_directory(directory, none)) return fail(cannot_write(name, ENOTDIR));
  return {};
}

Result<void> write_whole_file(const std::string& name, std::string_view text) {
  UMBRA_CHECK(check_writable(name));
  const int cause = written_in_place(name) ? write_in_place(name, text) : replace(target_of(name), text);
  if (cause != 0) return fail(cannot_write(name, cause));
  return {};
}

}  // namespace umbra::cli
