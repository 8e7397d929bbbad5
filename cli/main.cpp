// umbractl: the fleet from the command line.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdlib>

#include "base/log.hpp"
#include "base/printable.hpp"
#include "cli/command.hpp"
#include "cli/output/table.hpp"

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
    "`umbractl VERB --help` explains a verb. Colour is left out when NO_COLOR is set.";

void complain(const Error& error) {
  fmt::print(stderr, "umbractl: {}\n", printable(error.message));
  if (!error.remedy.empty()) fmt::print(stderr, "  remedy: {}\n", printable(error.remedy));
}

/// The verb that was parsed last, which is where a mistake lies.
const CLI::App& innermost(const CLI::App& app) {
  const auto given = app.get_subcommands();
  return given.empty() ? app : innermost(*given.back());
}

/// "shadow keep"; empty for the program itself.
std::string path_of(const CLI::App& verb) {
  if (verb.get_parent() == nullptr) return "";
  const auto above = path_of(*verb.get_parent());
  return above.empty() ? verb.get_name() : above + " " + verb.get_name();
}

std::string guess(const std::string& near) {
  return near.empty() ? "" : fmt::format("; did you mean '{}'?", near);
}

/// What the parser refused, in words and with what may have been meant.
Error usage_error(const CLI::App& app, const CLI::ParseError& problem) {
  const auto& verb = innermost(app);
  const auto path = path_of(verb);
  const auto what = path.empty() ? "" : path + ": ";
  const auto refuse = [&](const std::string& cause) {
    return Error{Errc::kInvalid, what + cause, fmt::format("see `umbractl {}{}--help`", path, path.empty() ? "" : " ")};
  };
  const auto unknown = app.remaining(true);
  const auto option =
      std::find_if(unknown.begin(), unknown.end(), [](const auto& word) { return word.starts_with('-'); });
  if (option != unknown.end())
    return refuse(fmt::format("no option '{}'{}", *option, guess(nearest_option(verb, *option))));
  const bool wants_verb = !all_verbs(verb).empty();
  if (!unknown.empty() && wants_verb)
    return refuse(fmt::format("no verb '{}'{}", unknown.front(), guess(nearest_verb(verb, unknown.front()))));
  if (!unknown.empty()) return refuse(fmt::format("'{}' is one argument too many", unknown.front()));
  if (wants_verb && problem.get_name() == "RequiredError") return refuse("a verb is missing");
  return refuse(problem.what());
}

bool wants_colour() {
  const char* no_colour = std::getenv("NO_COLOR");  // no-color.org: present and not empty
  const char* terminal = std::getenv("TERM");
  const bool dumb = terminal == nullptr || std::string_view(terminal) == "dumb";
  return ::isatty(STDOUT_FILENO) == 1 && !dumb && (no_colour == nullptr || *no_colour == '\0');
}

Outcome perform(const Flags& flags, const Action& action) {
  auto settings = settle(flags, usual_config_files());
  if (!settings) return misused(std::move(settings).error());
  Context context{std::move(*settings), wants_colour()};
  context.progress = ::isatty(STDERR_FILENO) == 1 ? Progress::Mode::kLive
                     : flags.verbose              ? Progress::Mode::kPhases
                                                  : Progress::Mode::kSilent;
  return action(context);
}

int run(int argc, char** argv) {
  CLI::App app("Looks after a fleet's virtual machines and their shadows.", "umbractl");
  app.footer(kFooter);
  app.require_subcommand(1);
  app.set_version_flag("--version", UMBRA_VERSION, "Show the version of umbractl");
  Flags flags;
  Action action;
  add_global_options(app, flags);
  for (auto* add : {add_inventory_verbs, add_shadow_verbs, add_move_verbs, add_evacuate_verb, add_host_loss_verbs,
                    add_why_verb, add_event_verbs, add_audit_verb, add_zone_verbs, add_maintenance_verbs,
                    add_telemetry_verbs, add_forecast_verb, add_backtest_verb, add_plot_verb, add_doctor_verb,
                    add_pki_verbs, add_invite_verb, add_version_verb, add_completion_verbs})
    add(app, action);
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& help) {
    return app.exit(help);
  } catch (const CLI::ParseError& problem) {
    complain(usage_error(app, problem));
    return static_cast<int>(ExitCode::kUsage);
  }

  init_log("umbractl", flags.verbose ? "info" : "error");
  auto outcome = perform(flags, action);
  if (std::fflush(stdout) != 0 && outcome)
    outcome = failed(
        {Errc::kUnavailable, fmt::format("cannot write the output: {}", std::strerror(errno)), "is the disk full?"});
  if (!outcome) complain(outcome.error().error);
  return static_cast<int>(outcome ? *outcome : outcome.error().code);
}

}  // namespace
}  // namespace umbra::cli

int main(int argc, char** argv) {
  return umbra::cli::run(argc, argv);
}
