#include "base/temporary_directory.hpp"

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <utility>

namespace umbra {

Result<TemporaryDirectory> TemporaryDirectory::make(std::string_view prefix) {
  auto name = (std::filesystem::temp_directory_path() / fmt::format("{}XXXXXX", prefix)).string();
  if (::mkdtemp(name.data()) == nullptr)
    return fail({Errc::kExhausted, fmt::format("cannot make the directory {}: {}", name, std::strerror(errno)),
                 "free room there, or set TMPDIR"});
  return TemporaryDirectory(name);
}

TemporaryDirectory::TemporaryDirectory(TemporaryDirectory&& other) noexcept : path_(std::exchange(other.path_, {})) {}

TemporaryDirectory::~TemporaryDirectory() {
  std::error_code ignored;
  if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
}

}  // namespace umbra
