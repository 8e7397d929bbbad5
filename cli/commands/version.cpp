// version: of this program, and of the controller when it can be asked.
#include <CLI/App.hpp>
#include "base/printable.hpp"
#include "cli/conversation.hpp"
#include "cli/output/json.hpp"

namespace umbra::cli {
namespace {

Task<ExitCode> ask_version(v1::FleetClient fleet, Deadline deadline, std::string* version) {
  const v1::GetVersionRequest request;
  UMBRA_CO_TRY(auto reply, co_await fleet.get_version(request, deadline));
  *version = reply.version();
  co_return ExitCode::kOk;
}

Outcome show_versions(const Context& context) {
  std::string controller;
  std::string problem = "none is configured";
  if (!context.settings.controller.empty()) {
    auto asked =
        talk(context, [&](v1::FleetClient fleet) { return ask_version(fleet, context.settings.timeout, &controller); });
    if (asked == ExitCode::kInterrupted) return asked;
    if (!asked) problem = asked.error().error.message;
  }
  if (context.json()) {
    boost::json::object versions{{"client", UMBRA_VERSION}, {"controller", nullptr}};
    if (!controller.empty()) versions["controller"] = controller;
    print(serialize(versions) + "\n");
  } else {
    print(fmt::format("umbractl    {}\ncontroller  {}\n", UMBRA_VERSION,
                      printable(controller.empty() ? "unknown: " + problem : controller)));
  }
  return ExitCode::kOk;
}

}  // namespace

void add_version_verb(CLI::App& app, Action& action) {
  add_verb(app, "version", "Show the version of umbractl, and of the controller when it is reachable",
           "umbractl version -o json")
      .callback([&action] { action = show_versions; });
}

}  // namespace umbra::cli
