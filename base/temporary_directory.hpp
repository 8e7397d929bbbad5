/// A directory that goes with its owner.
#pragma once

#include <filesystem>
#include <string_view>

#include "base/result.hpp"

namespace umbra {

/// A new directory under the system's temporary one, removed with everything in it when the object goes.
class TemporaryDirectory {
 public:
  static Result<TemporaryDirectory> make(std::string_view prefix);
  TemporaryDirectory(TemporaryDirectory&& other) noexcept;
  TemporaryDirectory& operator=(TemporaryDirectory&&) = delete;
  ~TemporaryDirectory();

  const std::filesystem::path& path() const { return path_; }

 private:
  explicit TemporaryDirectory(std::filesystem::path path) : path_(std::move(path)) {}
  std::filesystem::path path_;
};

}  // namespace umbra
