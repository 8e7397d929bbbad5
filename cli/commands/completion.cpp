// completion: scripts for the shells, each of which asks `umbractl complete` at TAB.
#include <CLI/App.hpp>
#include "cli/command.hpp"

namespace umbra::cli {
namespace {

constexpr std::string_view kBash = R"sh(# bash completion for umbractl, written by `umbractl completion bash`
_umbractl() {
  local line cur=${COMP_WORDS[COMP_CWORD]}
  COMPREPLY=()
  while IFS= read -r line; do
    if [[ $line == :files ]]; then
      compopt -o filenames 2>/dev/null
      mapfile -t COMPREPLY < <(compgen -f -- "${cur#=}")
    else
      COMPREPLY+=("${line%%$'\t'*}")
    fi
  done < <(umbractl complete -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
}
complete -F _umbractl umbractl
)sh";

constexpr std::string_view kZsh = R"sh(#compdef umbractl
# zsh completion for umbractl, written by `umbractl completion zsh`
_umbractl() {
  local line word about
  local -a found
  while IFS= read -r line; do
    if [[ $line == :files ]]; then
      _files
      return
    fi
    word=${line%%$'\t'*}
    about=${line#$word}
    found+=("${word//:/\\:}${about:+:${about#$'\t'}}")
  done < <(umbractl complete -- "${(@)words[2,CURRENT]}" 2>/dev/null)
  (( $#found )) && _describe -o umbractl found
}
if [[ ${zsh_eval_context[-1]} == loadautofunc ]]; then
  _umbractl "$@"
else
  compdef _umbractl umbractl
fi
)sh";

constexpr std::string_view kFish = R"sh(# fish completion for umbractl, written by `umbractl completion fish`
function __umbractl_complete
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    for line in (umbractl complete -- $words[2..-1] "$current" 2>/dev/null)
        if test "$line" = :files
            __fish_complete_path "$current"
        else
            echo $line
        end
    end
end
complete -c umbractl -f -a '(__umbractl_complete)'
)sh";

void add_script(CLI::App& parent, Action& action, const char* shell, const char* example, std::string_view script) {
  const auto what = fmt::format("Write the script for {}; it completes names of VMs, hosts and zones too", shell);
  when_given(add_verb(parent, shell, what.c_str(), example), action, [script](const Context&) -> Outcome {
    print_raw(script);
    return ExitCode::kOk;
  });
}

}  // namespace

void add_completion_verbs(CLI::App& app, Action& action) {
  auto& completion = add_verb(app, "completion", "Completion for the shell", "source <(umbractl completion bash)");
  completion.require_subcommand(1);
  add_script(completion, action, "bash", "source <(umbractl completion bash)", kBash);
  add_script(completion, action, "zsh", "source <(umbractl completion zsh)", kZsh);
  add_script(completion, action, "fish", "umbractl completion fish | source", kFish);
}

}  // namespace umbra::cli
