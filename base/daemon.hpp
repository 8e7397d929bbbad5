/// What the command lines of the daemons have in common.
#pragma once

#include <spdlog/spdlog.h>
#include <sysexits.h>

#include <iostream>
#include <string>
#include <string_view>

#include "base/config.hpp"

namespace CLI {
class App;
}

namespace umbra {

/// Tells why the program ends. @param status EX_CONFIG: systemd starts it no more until somebody has mended its
/// configuration (RestartPreventExitStatus= of the units) @return the program's exit status
int complain(const Error& error, int status = EXIT_FAILURE);
/// The one of an error at start: EX_CONFIG for what is wrong, or missing.
int status_of(const Error& error);

/// Where a daemon's configuration is, and whether it is only to be looked at.
class ConfigOptions {
 public:
  /// @param name "agentd", of the files /etc/umbra/NAME.toml and its packaged defaults
  ConfigOptions(CLI::App& app, std::string_view name);
  ConfigOptions(const ConfigOptions&) = delete;  // the app refers to it
  ConfigOptions& operator=(const ConfigOptions&) = delete;

  /// @error as Config::load_layers()
  Result<Config> load() const { return Config::load_layers(file_, packaged_); }
  const std::string& file() const { return file_; }
  bool print() const { return print_; }
  bool check() const { return check_; }
  /// The end of --check. @return the program's exit status
  template <class Credentials>
  int checked(const Result<Credentials>& credentials) const {
    if (!credentials) return complain(credentials.error(), EX_CONFIG);
    for (const auto& warning : credentials->warnings()) spdlog::warn("{}", warning);
    std::cout << file_ << " is fine\n";
    return 0;
  }

 private:
  std::string file_, packaged_;
  bool check_ = false, print_ = false;
};

}  // namespace umbra
