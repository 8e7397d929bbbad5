// completion bash: a script that knows every verb and option, and asks the controller for names.
#include <CLI/App.hpp>
#include "cli/conversation.hpp"

namespace umbra::cli {
namespace {

/// What the script does at TAB; the tables above it are written from the parser's own.
constexpr std::string_view kLogic = R"sh(
_umbractl() {
  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} path=umbractl kind word i
  for ((i = 1; i < COMP_CWORD; i++)); do
    word=${COMP_WORDS[i]}
    if [[ $word == -* ]]; then
      [[ -n ${_umbractl_values[$word]:-} ]] && ((i++))
    elif [[ " ${_umbractl_verbs[$path]:-} " == *" $word "* ]]; then
      path+=" $word"
    fi
  done
  kind=${_umbractl_values[$prev]:-}
  if [[ -z $kind && $cur == -* ]]; then
    COMPREPLY=($(compgen -W "${_umbractl_options[$path]:-} ${_umbractl_options[umbractl]}" -- "$cur"))
    return
  fi
  [[ -n $kind ]] || kind=${_umbractl_takes[$path]:-}
  case $kind in
    '') COMPREPLY=($(compgen -W "${_umbractl_verbs[$path]:-}" -- "$cur")) ;;
    FILE | DIR) compopt -o filenames; COMPREPLY=($(compgen -f -- "$cur")) ;;
    *VM* | *HOST* | *ZONE*)
      COMPREPLY=()
      while read -r word; do
        [[ $word == "$cur"* ]] && COMPREPLY+=("$word")
      done < <(umbractl --timeout 2s completion names "$kind" 2>/dev/null) ;;
    *\|*) COMPREPLY=($(compgen -W "${kind//|/ }" -- "$cur")) ;;
  esac
}
complete -F _umbractl umbractl
)sh";

using Rows = std::map<std::string, std::string>;

std::string array(std::string_view name, const Rows& rows) {
  auto text = fmt::format("declare -A _umbractl_{}=(\n", name);
  for (const auto& [key, value] : rows) text += fmt::format("  ['{}']='{}'\n", key, value);
  return text + ")\n";
}

struct Tables {
  Rows verbs;    ///< path → verbs below it
  Rows options;  ///< path → options
  Rows takes;    ///< path → kind of its argument
  Rows values;   ///< option → kind of its value
};

void add_word(std::string& list, const std::string& word) {
  list += (list.empty() ? "" : " ") + word;
}

void walk(const CLI::App& app, const std::string& path, Tables& tables) {
  for (const auto* option : app.get_options()) {
    const bool takes_value = option->get_items_expected_max() > 0;
    std::vector<std::string> names;
    for (const auto& name : option->get_lnames()) names.push_back("--" + name);
    for (const auto& name : option->get_snames()) names.push_back("-" + name);
    for (const auto& name : names) {
      add_word(tables.options[path], name);
      if (takes_value) tables.values[name] = option->get_type_name();
    }
    if (names.empty()) tables.takes[path] = option->get_name(true);
  }
  for (const auto* verb : all_verbs(app)) {
    add_word(tables.verbs[path], verb->get_name());
    walk(*verb, path + " " + verb->get_name(), tables);
  }
}

std::string bash_script(const CLI::App& root) {
  Tables tables;
  walk(root, "umbractl", tables);
  return "# bash completion for umbractl, written by `umbractl completion bash`\n" + array("verbs", tables.verbs) +
         array("options", tables.options) + array("takes", tables.takes) + array("values", tables.values) +
         std::string(kLogic);
}

/// A shell would run what is in "$(…)", at a press of TAB: names that it might not take as they are, are left out.
void print_name(const std::string& name) {
  const bool plain = !name.empty() && name.front() != '-' &&
                     name.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._:@%+=-") ==
                         std::string::npos;
  if (plain) print(name + "\n");
}

Task<ExitCode> print_names(v1::FleetClient fleet, std::string kinds, Deadline deadline) {
  if (kinds.find("VM") != std::string::npos) {
    const v1::ListVmsRequest all;
    UMBRA_CO_TRY(const auto vms, co_await fleet.list_vms(all, deadline));
    for (const auto& view : vms.vms()) print_name(view.vm().name());
  }
  if (kinds.find("HOST") != std::string::npos) {
    const v1::ListHostsRequest all;
    UMBRA_CO_TRY(const auto hosts, co_await fleet.list_hosts(all, deadline));
    for (const auto& host : hosts.hosts()) print_name(host.node().name());
  }
  if (kinds.find("ZONE") != std::string::npos) {
    const v1::ListZonesRequest all;
    UMBRA_CO_TRY(const auto zones, co_await fleet.list_zones(all, deadline));
    for (const auto& zone : zones.zones()) print_name(zone.name());
  }
  co_return ExitCode::kOk;
}

}  // namespace

void add_completion_verbs(CLI::App& app, Action& action) {
  auto& completion = add_verb(app, "completion", "Completion for the shell",
                              "umbractl completion bash > /etc/bash_completion.d/umbractl");
  completion.require_subcommand(1);
  add_verb(completion, "bash", "Write the script for bash; it completes names of VMs, hosts and zones too",
           "source <(umbractl completion bash)")
      .callback([&app, &action] {
        action = [&app](const Context&) -> Outcome {
          print(bash_script(app));
          return ExitCode::kOk;
        };
      });

  auto kinds = std::make_shared<std::string>();
  auto& names = add_verb(completion, "names", "Names for the script", "umbractl completion names VM");
  names.group("");  // hidden: made for the script
  names.add_option("KINDS", *kinds, "VM, HOST, ZONE, or several")->required();
  names.callback([&action, kinds] {
    action = [kinds](const Context& context) {
      return talk(context, [&](v1::FleetClient fleet) { return print_names(fleet, *kinds, context.settings.timeout); });
    };
  });
}

}  // namespace umbra::cli
