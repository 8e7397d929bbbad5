// context add|list|use|remove: the fleets that a user looks after.
#include <CLI/App.hpp>
#include "cli/command.hpp"
#include "cli/contexts.hpp"
#include "cli/output/json.hpp"
#include "cli/output/table.hpp"

namespace umbra::cli {
namespace {

/// The configuration of this context alone, without flags or environment.
Result<Settings> settings_of(const Contexts& contexts, const std::string& name) {
  UMBRA_TRY(const auto file, contexts.file_of(name));
  return read_settings(file);
}

Outcome list(const Context& context) {
  const auto contexts = Contexts::of_user();
  Table table({"", "NAME", "CONTROLLER", "CERTIFICATE"});
  boost::json::array all;
  for (const auto& name : contexts.names()) {
    const auto settings = settings_of(contexts, name);
    const bool current = name == contexts.current();
    const auto controller = settings ? settings->controller : "";
    table.add({current ? "*" : " ", name, settings ? Cell(controller) : Cell(settings.error().message, Style::kBad),
               settings ? settings->tls.certificate.string() : ""});
    all.push_back({{"name", name}, {"controller", controller}, {"current", current}});
  }
  if (context.json())
    print(serialize(boost::json::object{{"contexts", std::move(all)}}) + "\n");
  else
    print(table.empty() ? "there are no contexts\n" : table.render(context.colour));
  return ExitCode::kOk;
}

Outcome say(const Context& context, const Result<void>& done, const std::string& name, const char* key,
            const std::string& text) {
  if (!done) return failed(done.error());
  print(context.json() ? serialize(boost::json::object{{"context", name}, {key, true}}) + "\n" : text);
  return ExitCode::kOk;
}

Outcome add(const Context& context, const std::string& name) {
  if (const auto whole = check_credentials(context.settings); !whole) return misused(whole.error());
  return say(
      context, Contexts::of_user().add(name, context.settings), name, "added",
      fmt::format("context {0} added; from now on: umbractl --context {0} …, or umbractl context use {0}\n", name));
}

Outcome use(const Context& context, const std::string& name, bool none) {
  if (name.empty() != none) return misused({Errc::kInvalid, "give a context or --none", "see `umbractl context list`"});
  return say(context, Contexts::of_user().use(name), name, "used",
             none ? "no context is in use\n" : fmt::format("{} is in use\n", name));
}

Outcome remove(const Context& context, const std::string& name) {
  return say(context, Contexts::of_user().remove(name), name, "removed", fmt::format("context {} removed\n", name));
}

using Verb = std::function<Outcome(const Context&, const std::string& name)>;

CLI::Option* add_named(CLI::App& parent, Action& action, const char* verb_name, const char* what, const char* example,
                       const Verb& verb) {
  auto name = std::make_shared<std::string>();
  auto& added = add_verb(parent, verb_name, what, example);
  when_given(added, action, [=](const Context& context) { return verb(context, *name); });
  return add_argument(added, "CONTEXT", "Its name", [name](const std::string& given) { *name = given; });
}

}  // namespace

void add_context_verbs(CLI::App& app, Action& action) {
  auto& context = add_verb(app, "context", "Choose among several fleets", "umbractl context use prod");
  context.require_subcommand(1);
  add_named(context, action, "add", "Write down the controller and the credentials that are given or configured now",
            "umbractl context add prod --controller c1:7443 --ca ca.pem --cert me.pem --key me.key", add);
  when_given(add_verb(context, "list", "List contexts; the one in use has a star", "umbractl context list"), action,
             list);
  auto none = std::make_shared<bool>(false);
  add_named(context, action, "use", "Use this one from now on, where no other is named", "umbractl context use prod",
            [none](const Context& given, const std::string& name) { return use(given, name, *none); })
      ->required(false);
  context.get_subcommand("use")->add_flag("--none", *none, "Use none: umbractl.toml counts again");
  add_named(context, action, "remove", "Forget one; its certificates stay", "umbractl context remove old", remove);
}

}  // namespace umbra::cli
