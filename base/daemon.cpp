#include "base/daemon.hpp"

#include <CLI/CLI.hpp>

namespace umbra {

int complain(const Error& error, int status) {
  spdlog::critical("{}", error);
  return status;
}

int status_of(const Error& error) {
  return error.code == Errc::kInvalid || error.code == Errc::kNotFound ? EX_CONFIG : EXIT_FAILURE;
}

ConfigOptions::ConfigOptions(CLI::App& app, std::string_view name)
    : file_(fmt::format("/etc/umbra/{}.toml", name)), packaged_(fmt::format("{}/{}.toml", kPackagedConfig, name)) {
  app.add_option("-c,--config", file_,
                 "configuration file; its drop-ins, FILE.d/*.toml, override it, and it overrides " + packaged_)
      ->capture_default_str();
  auto* check = app.add_flag("--check", check_, "check the configuration and the certificates, and end");
  app.add_flag("--print-config", print_, "print every key, its value and the file and line that it comes from, and end")
      ->excludes(check);
}

}  // namespace umbra
