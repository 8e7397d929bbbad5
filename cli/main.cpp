// umbractl: the fleet from the command line.
#include <sys/ioctl.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdlib>

#include "base/log.hpp"
#include "base/printable.hpp"
#include "cli/command.hpp"
#include "cli/completing.hpp"
#include "cli/output/json.hpp"
#include "cli/usage.hpp"

namespace umbra::cli {
namespace {

constexpr const char* kFooter =
    "Examples:\n"
    "  umbractl vms\n"
    "  umbractl shadow keep web1 --to host2\n"
    "  umbractl cutover web1 -o json\n"
    "  umbractl why web1\n\n"
    "Exit status:\n"
    "  0  done as asked\n"
    "  1  the operation failed; a move ended other than \"moved\"; a check of doctor failed\n"
    "  2  wrong usage, configuration or input file; nothing was done\n"
    "  3  the controller cannot be reached, or the connection to it broke\n"
    "  130  interrupted; what the controller has begun goes on\n\n"
    "With -o json an error is one object on standard error:\n"
    "  {\"error\":{\"code\":\"not_found\",\"message\":\"…\",\"remedy\":\"…\"}}\n\n"
    "Alone on a terminal, umbractl is a shell: one verb after the other, with history and completion.\n"
    "`umbractl help VERB` explains a verb. Colour is left out when NO_COLOR is set.";

/// On standard error: for people in two lines; for programs as one object, so that standard output has results alone.
void complain(const Error& error, bool json) {
  if (json) {
    std::string code(to_string(error.code));
    std::ranges::replace(code, ' ', '_');
    const boost::json::object told{{"code", code}, {"message", error.message}, {"remedy", error.remedy}};
    fmt::print(stderr, "{}\n", serialize(boost::json::object{{"error", told}}));
    return;
  }
  fmt::print(stderr, "umbractl: {}\n", printable(error.message));
  if (!error.remedy.empty()) fmt::print(stderr, "  remedy: {}\n", printable(error.remedy));
}

bool wants_colour() {
  const char* no_colour = std::getenv("NO_COLOR");  // no-color.org: present and not empty
  const char* terminal = std::getenv("TERM");
  const bool dumb = terminal == nullptr || std::string_view(terminal) == "dumb";
  return ::isatty(STDOUT_FILENO) == 1 && !dumb && (no_colour == nullptr || *no_colour == '\0');
}

/// Columns of standard output; 0 when it is no terminal.
std::size_t room_on_terminal() {
  winsize size{};
  return ::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
}

Outcome perform(const Settings& settings, const Action& action) {
  Context context{settings, wants_colour(), room_on_terminal()};
  context.progress = ::isatty(STDERR_FILENO) == 1 ? Progress::Mode::kLive
                     : settings.verbose           ? Progress::Mode::kPhases
                                                  : Progress::Mode::kSilent;
  auto outcome = action(context);
  if (std::fflush(stdout) != 0 && outcome)
    return failed(
        {Errc::kUnavailable, fmt::format("cannot write the output: {}", std::strerror(errno)), "is the disk full?"});
  return outcome;
}

/// `complete -- WORDS`: no verb, since its words are not there to be understood. ":files" stands for the shell's own.
int complete(const CLI::App& app, std::vector<std::string> words) {
  init_log("umbractl", "error");
  words.erase(words.begin(), words.begin() + (words.size() > 1 && words[1] == "--" ? 2 : 1));
  const auto wanted = what_is_wanted(app, words);
  if (wanted.files) print(":files\n");
  for (const auto& [word, about] : complete(wanted))
    print_raw(about.empty() ? word + "\n" : word + "\t" + about + "\n");
  return static_cast<int>(ExitCode::kOk);
}

/// Verbs that ask no controller. A context in use that is gone must not stand in the way of choosing another.
bool does_without_settings(const CLI::App& app) {
  const auto given = [&](const char* verb) { return app.got_subcommand(verb); };
  return given("context") || given("completion") || given("help") || given("shell");
}

int run(std::vector<std::string> words) {
  CLI::App app("Looks after a fleet's virtual machines and their shadows.", "umbractl");
  app.footer(kFooter);
  app.require_subcommand(1);
  app.set_version_flag("--version", UMBRA_VERSION, "Show the version of umbractl");
  Flags flags;
  Action action;
  add_global_options(app, flags);
  for (auto* add : {add_inventory_verbs,   add_vm_verbs,        add_shadow_verbs,  add_move_verbs,    add_evacuate_verb,
                    add_host_loss_verbs,   add_why_verb,        add_event_verbs,   add_audit_verb,    add_zone_verbs,
                    add_maintenance_verbs, add_telemetry_verbs, add_forecast_verb, add_backtest_verb, add_plot_verb,
                    add_doctor_verb,       add_pki_verbs,       add_invite_verb,   add_version_verb,  add_context_verbs,
                    add_completion_verbs,  add_help_verb})
    add(app, action);
  add_shell_verb(app, action, flags);
  if (!words.empty() && words.front() == "complete") return complete(app, words);
  const bool at_terminal = ::isatty(STDIN_FILENO) == 1 && ::isatty(STDOUT_FILENO) == 1;
  if (words.empty() && at_terminal) words = {"shell"};
  words = spelled_out(app, std::move(words));
  bool json = asks_for_json(words);
  const auto give_up = [&](const Failure& failure) {
    complain(failure.error, json);
    return static_cast<int>(failure.code);
  };
  try {
    app.parse(std::vector<std::string>(words.rbegin(), words.rend()));
  } catch (const CLI::Success& help) {
    return app.exit(help);
  } catch (const CLI::ParseError& problem) {
    return give_up({ExitCode::kUsage, usage_error(app, problem)});
  }

  init_log("umbractl", flags.verbose ? "info" : "error");
  auto settings = settle(flags, usual_config_files(), Contexts::of_user());
  if (!settings && does_without_settings(app)) {
    settings = Settings{};
    if (json) settings->output = Output::kJson;
  }
  if (!settings) return give_up({ExitCode::kUsage, settings.error()});
  json = settings->output == Output::kJson;
  const auto outcome = perform(*settings, action);
  return outcome ? static_cast<int>(*outcome) : give_up(outcome.error());
}

}  // namespace
}  // namespace umbra::cli

int main(int argc, char** argv) {
  return umbra::cli::run({argv + 1, argv + argc});
}
