/// What a verb of umbractl is: options that the parser fills in, and an action to run afterwards.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "cli/options.hpp"
#include "cli/progress.hpp"

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace umbra::cli {

/// The process's exit status; `umbractl --help` documents it.
enum class ExitCode : std::uint8_t {
  kOk = 0,
  kFailed = 1,       ///< the operation failed, or did not end as asked
  kUsage = 2,        ///< wrong arguments, configuration or input file; nothing was done
  kUnreachable = 3,  ///< no controller could be reached, or the connection broke
  kInterrupted = 130,
};

struct Failure {
  ExitCode code = ExitCode::kFailed;
  Error error;
};
using Outcome = tl::expected<ExitCode, Failure>;

[[nodiscard]] inline tl::unexpected<Failure> failed(Error error) {
  return tl::unexpected(Failure{ExitCode::kFailed, std::move(error)});
}
[[nodiscard]] inline tl::unexpected<Failure> misused(Error error) {
  return tl::unexpected(Failure{ExitCode::kUsage, std::move(error)});
}

struct Context {
  Settings settings;
  bool colour = false;   ///< on standard output
  std::size_t room = 0;  ///< columns of the terminal that standard output is; 0 where it is none
  Progress::Mode progress = Progress::Mode::kSilent;

  bool json() const { return settings.output == Output::kJson; }
};

using Action = std::function<Outcome(const Context&)>;

/// Adds a verb. `example` is shown at the end of its help.
CLI::App& add_verb(CLI::App& parent, const char* name, const char* what, std::string_view example);

/// A required positional argument, and an option with a text value. `set` may throw CLI::ValidationError.
using Setter = std::function<void(const std::string&)>;
CLI::Option* add_argument(CLI::App& verb, const char* name, const char* what, const Setter& set);
CLI::Option* add_text(CLI::App& verb, const char* name, const char* kind, const char* what, const Setter& set);
/// An option that takes one of these words, "up|down".
CLI::Option* add_choice(CLI::App& verb, const char* name, const std::string& words, const char* what,
                        const Setter& set);

/// What the verb does when it was given.
void when_given(CLI::App& verb, Action& action, Action what);

/// The verbs below `parent`, without hidden ones.
std::vector<const CLI::App*> all_verbs(const CLI::App& parent);
/// What was probably meant by `word`; empty when nothing is near.
std::string nearest_verb(const CLI::App& parent, std::string_view word);
std::string nearest_option(const CLI::App& verb, std::string_view word);

/// Lines of text in which nothing steers the terminal but line ends and our own colours. Names and texts from outside
/// are made printable() before they are put into a line; this is for those that were forgotten.
std::string for_terminal(std::string_view text);
/// Writes to standard output, for_terminal().
void print(std::string_view text);
/// As it is: what we wrote ourselves, and what takes the terminal over.
void print_raw(std::string_view text);

// Each sets `action` when one of its verbs is given; one file under cli/commands/ each.
void add_inventory_verbs(CLI::App& app, Action& action);                 // hosts zones
void add_vm_verbs(CLI::App& app, Action& action);                        // vms, vm show
void add_event_verbs(CLI::App& app, Action& action);                     // events
void add_audit_verb(CLI::App& app, Action& action);                      // audit
void add_shadow_verbs(CLI::App& app, Action& action);                    // shadows, shadow keep|drop|show
void add_move_verbs(CLI::App& app, Action& action);                      // cutover migrate
void add_evacuate_verb(CLI::App& app, Action& action);                   // evacuate
void add_host_loss_verbs(CLI::App& app, Action& action);                 // fence unfence restart resolve
void add_why_verb(CLI::App& app, Action& action);                        // why
void add_zone_verbs(CLI::App& app, Action& action);                      // zone set
void add_maintenance_verbs(CLI::App& app, Action& action);               // maintenance add|list|remove
void add_telemetry_verbs(CLI::App& app, Action& action);                 // telemetry import
void add_forecast_verb(CLI::App& app, Action& action);                   // forecast
void add_backtest_verb(CLI::App& app, Action& action);                   // backtest
void add_plot_verb(CLI::App& app, Action& action);                       // plot
void add_doctor_verb(CLI::App& app, Action& action);                     // doctor
void add_pki_verbs(CLI::App& app, Action& action);                       // pki init|issuer|issue|show|renew|revoke|crl
void add_invite_verb(CLI::App& app, Action& action);                     // invite
void add_version_verb(CLI::App& app, Action& action);                    // version
void add_context_verbs(CLI::App& app, Action& action);                   // context add|list|use|remove
void add_completion_verbs(CLI::App& app, Action& action);                // completion bash|zsh|fish
void add_shell_verb(CLI::App& app, Action& action, const Flags& flags);  // shell
void add_help_verb(CLI::App& app, Action& action);                       // help

}  // namespace umbra::cli
