/// A file from which another program tells the health of zones.
#pragma once

#include <filesystem>
#include <optional>
#include <vector>

#include "controller/store/wish_store.hpp"

namespace umbra::controller {

/// Reads {"zones": {"a": {"health": 0.2, "reason": "…"}}}. @error kInvalid, naming what is wrong
Result<std::vector<ZoneWord>> parse_zone_feed(std::string_view json);

/// Polled. A file that is not there says nothing.
class ZoneFeed {
 public:
  explicit ZoneFeed(std::filesystem::path file) : file_(std::move(file)) {}
  /// What the file says, when it is not what it said last time.
  /// @error kInvalid, kUnavailable; told once, until the file changes again
  std::optional<Result<std::vector<ZoneWord>>> poll();

 private:
  std::filesystem::path file_;
  std::string last_;
};

}  // namespace umbra::controller
