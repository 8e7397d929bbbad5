/// What umbractl is told by its flags, the environment and its configuration file, in this order of precedence.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "base/task.hpp"
#include "rpc/tls.hpp"

namespace CLI {
class App;
}  // namespace CLI

namespace umbra::cli {

enum class Output : std::uint8_t { kTable, kJson };

/// Flags and environment variables as text; empty when not given.
struct Flags {
  std::string controller;
  std::string ca;
  std::string cert;
  std::string key;
  std::string config;
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

/// Reads the configuration (the first of `usual_files` that exists, or the one that --config names) and puts the flags
/// over it. Relative paths in the file start at the file's directory.
/// @error kNotFound, kInvalid
Result<Settings> settle(const Flags& flags, const std::vector<std::filesystem::path>& usual_files);

}  // namespace umbra::cli
