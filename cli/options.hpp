/// What umbractl is told by its flags, the environment and its configuration file, in this order of precedence; but a
/// context that a flag names goes before the environment, or its name would be said of another fleet.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "base/task.hpp"
#include "cli/contexts.hpp"
#include "rpc/tls.hpp"

namespace CLI {
class App;
}  // namespace CLI

namespace umbra::cli {

enum class Output : std::uint8_t { kTable, kJson };

/// Flags as text; empty when not given.
struct Flags {
  std::string controller;
  std::string ca;
  std::string cert;
  std::string key;
  std::string config;
  std::string context;
  std::string output;
  std::string timeout;
  bool verbose = false;
};

struct Settings {
  std::string controller;  ///< "host:port"; empty when nobody said
  rpc::TlsFiles tls;       ///< each path empty when nobody said
  Output output = Output::kTable;
  Deadline timeout{15'000};  ///< of connecting, and of each answer; moves and followed streams have none
  bool verbose = false;
  std::filesystem::path config_file;  ///< that was read; empty when there is none
};

/// The group of the help in which the global options stand.
inline constexpr const char* kGlobalGroup = "Global options";
void add_global_options(CLI::App& app, Flags& flags);

/// Where the configuration is looked for when --config is not given: the user's, then the machine's.
std::vector<std::filesystem::path> usual_config_files();
/// "umbra" below $XDG_CONFIG_HOME or ~/.config; empty where there is neither. (XDG Base Directory Specification)
std::filesystem::path user_config_directory();

/// Reads one configuration file. Relative paths in it start at its directory. @error kNotFound, kInvalid
Result<Settings> read_settings(const std::filesystem::path& file);

/// Reads the configuration and puts environment and flags over it. The configuration is the file that --config names,
/// the context that --context, UMBRA_CONTEXT or `context use` names, or the first of `usual_files` that exists.
/// @error kNotFound, kInvalid
Result<Settings> settle(const Flags& flags, const std::vector<std::filesystem::path>& usual_files,
                        const Contexts& contexts);

/// Whether there is all that a connection needs: the address, and credentials whose files exist.
/// @error kInvalid what is not configured; kNotFound a file, with the option, variable and key that name it
Result<void> check_credentials(const Settings& settings);

}  // namespace umbra::cli
