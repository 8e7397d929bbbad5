#include "cli/options.hpp"
#include <CLI/App.hpp>

#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <cstdlib>

#include "base/config.hpp"

namespace umbra::cli {
namespace {

constexpr std::string_view kOutputRemedy = "allowed are table and json";

Result<Output> parse_output(std::string_view text) {
  if (text == "table") return Output::kTable;
  if (text == "json") return Output::kJson;
  return fail({Errc::kInvalid, fmt::format("no output format '{}'", text), std::string(kOutputRemedy)});
}

Result<void> read_config(const std::filesystem::path& file, Settings& settings) {
  UMBRA_TRY(auto config, Config::load(file));
  const auto path = [&](std::string_view key) {
    const auto text = config.text(key, "");
    return text.empty() ? std::filesystem::path{} : file.parent_path() / text;
  };
  settings.controller = config.text("controller", "");
  settings.tls = {path("ca"), path("cert"), path("key")};
  settings.timeout = config.duration("timeout", settings.timeout);
  if (const auto output = parse_output(config.text("output", "table")))
    settings.output = *output;
  else
    config.complain("output", output.error().message, kOutputRemedy);
  settings.config_file = file;
  return config.finish();
}

}  // namespace

void add_global_options(CLI::App& app, Flags& flags) {
  const auto add = [&](const char* name, std::string& value, const char* kind, const char* what) {
    return app.add_option(name, value, what)->type_name(kind)->group(kGlobalGroup);
  };
  add("--controller", flags.controller, "HOST:PORT", "The controller to talk to")->envname("UMBRA_CONTROLLER");
  add("--ca", flags.ca, "FILE", "Certificate of the fleet's CA (PEM)")->envname("UMBRA_CA");
  add("--cert", flags.cert, "FILE", "Own certificate, of role admin or viewer (PEM)")->envname("UMBRA_CERT");
  add("--key", flags.key, "FILE", "Own private key (PEM)")->envname("UMBRA_KEY");
  add("--config", flags.config, "FILE",
      "Configuration (TOML): controller, ca, cert, key, output, timeout.\n"
      "Default: ~/.config/umbra/umbractl.toml, else /etc/umbra/umbractl.toml");
  add("-o,--output", flags.output, "table|json", "For people, or one JSON document for programs");
  add("--timeout", flags.timeout, "DURATION", "Longest wait for a connection and for each answer (15s)");
  app.add_flag("-v,--verbose", flags.verbose, "Say what is going on, also when not on a terminal")->group(kGlobalGroup);
}

std::vector<std::filesystem::path> usual_config_files() {
  std::vector<std::filesystem::path> files;
  const auto from = [&](const char* variable, const char* below) {
    const char* value = std::getenv(variable);
    if (value == nullptr || *value == '\0') return false;
    files.push_back(std::filesystem::path(value) / below / "umbra/umbractl.toml");
    return true;
  };
  if (!from("XDG_CONFIG_HOME", "")) from("HOME", ".config");  // XDG Base Directory Specification
  files.emplace_back("/etc/umbra/umbractl.toml");
  return files;
}

Result<Settings> settle(const Flags& flags, const std::vector<std::filesystem::path>& usual_files) {
  Settings settings;
  if (!flags.config.empty()) {
    UMBRA_CHECK(read_config(flags.config, settings));
  } else {
    std::error_code unreadable;  // counts as absent: a user need not be able to look into another's directory
    const auto found = std::find_if(usual_files.begin(), usual_files.end(),
                                    [&](const auto& file) { return std::filesystem::exists(file, unreadable); });
    if (found != usual_files.end()) UMBRA_CHECK(read_config(*found, settings));
  }
  if (!flags.controller.empty()) settings.controller = flags.controller;
  if (!flags.ca.empty()) settings.tls.ca = flags.ca;
  if (!flags.cert.empty()) settings.tls.certificate = flags.cert;
  if (!flags.key.empty()) settings.tls.key = flags.key;
  if (!flags.output.empty()) {
    UMBRA_TRY(settings.output, parse_output(flags.output));
  }
  if (!flags.timeout.empty()) {
    UMBRA_TRY(settings.timeout, parse_duration(flags.timeout));
  }
  if (settings.timeout <= Deadline::zero())
    return fail({Errc::kInvalid, "a timeout of 0 leaves no time for an answer", "give one like 15s"});
  settings.verbose = flags.verbose;
  return settings;
}

}  // namespace umbra::cli
