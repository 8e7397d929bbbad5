/// Contexts: fleets that a user looks after, each a configuration file of its own, and which of them is in use.
///
///   ~/.config/umbra/contexts/NAME.toml   one each, with the same keys as umbractl.toml
///   ~/.config/umbra/context              the name of the one in use; absent when none is
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "base/result.hpp"

namespace umbra::cli {

struct Settings;

class Contexts {
 public:
  /// @param directory the user's configuration directory, which need not exist; empty: there are no contexts
  explicit Contexts(std::filesystem::path directory) : directory_(std::move(directory)) {}
  /// Those of $XDG_CONFIG_HOME, else of ~/.config.
  static Contexts of_user();

  /// In the order in which people count.
  std::vector<std::string> names() const;
  /// Empty when none is in use.
  std::string current() const;
  /// @error kInvalid no name; kNotFound no such context
  Result<std::filesystem::path> file_of(const std::string& name) const;

  /// Writes down where the controller is and what to show it. @error kConflict it is there already
  Result<void> add(const std::string& name, const Settings& settings) const;
  /// Empty: none is in use. @error kNotFound
  Result<void> use(const std::string& name) const;
  /// Also the one in use; then none is. @error kNotFound
  Result<void> remove(const std::string& name) const;

 private:
  std::filesystem::path path_of(const std::string& name) const { return directory_ / "contexts" / (name + ".toml"); }
  std::filesystem::path current_file() const { return directory_ / "context"; }

  std::filesystem::path directory_;
};

}  // namespace umbra::cli
