#include "rpc/pki_files.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>

namespace umbra::rpc::pki {
namespace {

struct Descriptor {
  int fd = -1;
  ~Descriptor() {
    if (fd >= 0) ::close(fd);
  }
};

bool write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const auto written = ::write(fd, text.data(), text.size());
    if (written < 0) return false;
    text.remove_prefix(static_cast<std::size_t>(written));
  }
  return true;
}

tl::unexpected<Error> cannot_write(const std::filesystem::path& file, int cause) {
  return fail({Errc::kInvalid, fmt::format("cannot write {}: {}", file.string(), std::strerror(cause)),
               "choose a directory that this user may write to"});
}

}  // namespace

Result<void> write_file(const std::filesystem::path& file, std::string_view text, unsigned mode, Existing existing) {
  std::error_code ignored;
  if (file.has_parent_path()) std::filesystem::create_directories(file.parent_path(), ignored);
  std::string temporary = file.string() + ".XXXXXX";
  {
    const Descriptor out{::mkostemp(temporary.data(), O_CLOEXEC)};  // mode 0600 from the first moment
    if (out.fd < 0) return cannot_write(file, errno);
    if (!write_all(out.fd, text) || ::fchmod(out.fd, mode) != 0 || ::fsync(out.fd) != 0) {
      const int cause = errno;
      ::unlink(temporary.c_str());
      return cannot_write(file, cause);
    }
  }
  const unsigned flags = existing == Existing::kKeep ? RENAME_NOREPLACE : 0;
  if (::renameat2(AT_FDCWD, temporary.c_str(), AT_FDCWD, file.c_str(), flags) != 0) {
    const int cause = errno;
    ::unlink(temporary.c_str());
    if (cause != EEXIST) return cannot_write(file, cause);
    return fail({Errc::kConflict, fmt::format("{} exists already", file.string()),
                 "choose another directory, or remove the file if it is no longer needed"});
  }
  const auto parent = file.has_parent_path() ? file.parent_path() : std::filesystem::path(".");
  const Descriptor directory{::open(parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
  if (directory.fd >= 0) ::fsync(directory.fd);
  return {};
}

}  // namespace umbra::rpc::pki
