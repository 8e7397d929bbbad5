// help: as virsh and git have it. What it shows is the parser's, which spelled_out() asks for it.
#include <CLI/App.hpp>
#include "cli/command.hpp"

namespace umbra::cli {

void add_help_verb(CLI::App& app, Action& action) {
  auto& verb = add_verb(app, "help", "Explain a verb, or list them all", "umbractl help shadow keep");
  add_argument(verb, "VERB", "And its own verb", [](const std::string&) {})->required(false)->expected(0, 2);
  verb.callback([&app, &action] {
    action = [&app](const Context&) -> Outcome {
      print(app.help());
      return ExitCode::kOk;
    };
  });
}

}  // namespace umbra::cli
