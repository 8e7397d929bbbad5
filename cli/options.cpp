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

/// The value of an environment variable; empty when it is not set.
std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

/// The file to read; empty: none.
Result<std::filesystem::path> config_file(const Flags& flags, const std::vector<std::filesystem::path>& usual_files,
                                          const Contexts& contexts) {
  if (!flags.config.empty() && !flags.context.empty())
    return fail({Errc::kInvalid, "--config and --context name two configurations", "leave one of them out"});
  if (!flags.config.empty()) return flags.config;
  auto context = flags.context;
  if (context.empty()) context = variable("UMBRA_CONTEXT");
  if (context.empty()) context = contexts.current();
  if (!context.empty()) return contexts.file_of(context);
  std::error_code unreadable;  // counts as absent: a user need not be able to look into another's directory
  for (const auto& file : usual_files)
    if (std::filesystem::exists(file, unreadable)) return file;
  return std::filesystem::path{};
}

}  // namespace

void add_global_options(CLI::App& app, Flags& flags) {
  const auto add = [&](const char* name, std::string& value, const char* kind, const char* what) {
    return app.add_option(name, value, what)->type_name(kind)->group(kGlobalGroup);
  };
  add("--controller", flags.controller, "HOST:PORT", "The controller to talk to (else UMBRA_CONTROLLER)");
  add("--ca", flags.ca, "FILE", "Certificate of the fleet's CA, PEM (else UMBRA_CA)");
  add("--cert", flags.cert, "FILE", "Own certificate, of role admin or viewer, PEM (else UMBRA_CERT)");
  add("--key", flags.key, "FILE", "Own private key, PEM (else UMBRA_KEY)");
  add("--config", flags.config, "FILE",
      "Configuration (TOML): controller, ca, cert, key, output, timeout.\n"
      "Default: ~/.config/umbra/umbractl.toml, else /etc/umbra/umbractl.toml");
  add("--context", flags.context, "CONTEXT",
      "One of `umbractl context list` (else UMBRA_CONTEXT, else the one in use)");
  add("-o,--output", flags.output, "table|json", "For people, or one JSON document for programs");
  add("--timeout", flags.timeout, "DURATION", "Longest wait for a connection and for each answer (15s)");
  app.add_flag("-v,--verbose", flags.verbose, "Say what is going on, also when not on a terminal")->group(kGlobalGroup);
}

std::filesystem::path user_config_directory() {
  if (const auto home = variable("XDG_CONFIG_HOME"); !home.empty()) return std::filesystem::path(home) / "umbra";
  if (const auto home = variable("HOME"); !home.empty()) return std::filesystem::path(home) / ".config/umbra";
  return {};
}

std::vector<std::filesystem::path> usual_config_files() {
  std::vector<std::filesystem::path> files;
  if (const auto directory = user_config_directory(); !directory.empty()) files.push_back(directory / "umbractl.toml");
  files.emplace_back("/etc/umbra/umbractl.toml");
  return files;
}

Result<Settings> read_settings(const std::filesystem::path& file) {
  Settings settings;
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
  UMBRA_CHECK(config.finish());
  return settings;
}

Result<Settings> settle(const Flags& flags, const std::vector<std::filesystem::path>& usual_files,
                        const Contexts& contexts) {
  Settings settings;
  UMBRA_TRY(const auto file, config_file(flags, usual_files, contexts));
  if (!file.empty()) {
    UMBRA_TRY(settings, read_settings(file));
  }
  const auto put = [&](auto& setting, const std::string& flag, const char* name) {
    const auto given = flag.empty() && flags.context.empty() ? variable(name) : flag;
    if (!given.empty()) setting = given;
  };
  put(settings.controller, flags.controller, "UMBRA_CONTROLLER");
  put(settings.tls.ca, flags.ca, "UMBRA_CA");
  put(settings.tls.certificate, flags.cert, "UMBRA_CERT");
  put(settings.tls.key, flags.key, "UMBRA_KEY");
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
