// shell: one verb after the other, each run as a umbractl of its own.
#include <sys/wait.h>
#include <unistd.h>

#include <CLI/App.hpp>
#include <csignal>

#include "cli/command.hpp"
#include "cli/line_editor.hpp"

namespace umbra::cli {
namespace {

/// The command line's global options, for each umbractl that the shell runs.
std::vector<std::string> global_words(const Flags& flags) {
  std::vector<std::string> words;
  for (const auto& [name, value] : {std::pair{"--controller", &flags.controller},
                                    {"--ca", &flags.ca},
                                    {"--cert", &flags.cert},
                                    {"--key", &flags.key},
                                    {"--config", &flags.config},
                                    {"--context", &flags.context},
                                    {"--output", &flags.output},
                                    {"--timeout", &flags.timeout}})
    if (!value->empty()) words.insert(words.end(), {name, *value});
  if (flags.verbose) words.emplace_back("--verbose");
  return words;
}

/// $XDG_STATE_HOME/umbra/history; empty where it cannot be.
std::filesystem::path history_file() {
  const char* state = std::getenv("XDG_STATE_HOME");
  const char* home = std::getenv("HOME");
  std::filesystem::path directory;
  if (state != nullptr && *state != '\0')
    directory = state;
  else if (home != nullptr && *home != '\0')
    directory = std::filesystem::path(home) / ".local/state";
  if (directory.empty()) return {};
  std::error_code error;
  std::filesystem::create_directories(directory / "umbra", error);
  return error ? std::filesystem::path{} : directory / "umbra/history";
}

/// The context in whose fleet the next verb acts, so that it is seen before it is typed.
std::string prompt(const Flags& flags) {
  const char* chosen = std::getenv("UMBRA_CONTEXT");
  auto context = flags.context;
  if (context.empty() && chosen != nullptr) context = chosen;
  if (context.empty()) context = Contexts::of_user().current();
  return context.empty() ? "umbra> " : fmt::format("umbra ({})> ", context);
}

/// Runs umbractl with these words. @return its exit status
Result<int> run_umbractl(std::vector<std::string> words) {
  words.insert(words.begin(), "umbractl");
  std::vector<char*> arguments;
  for (auto& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  std::fflush(stdout);
  const auto child = ::fork();
  if (child < 0) return fail(Errc::kExhausted, "cannot start a process: {}", std::strerror(errno));
  if (child == 0) {
    ::execv("/proc/self/exe", arguments.data());
    ::_exit(127);
  }
  // Ctrl-C is the child's.
  const auto before = std::signal(SIGINT, SIG_IGN);
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  std::signal(SIGINT, before);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

Outcome shell(const CLI::App& app, const Flags& flags, const Context& context) {
  const auto global = global_words(flags);
  const auto with_global = [&](std::vector<std::string> words) {
    words.insert(words.begin(), global.begin(), global.end());
    return words;
  };
  const bool by_hand = ::isatty(STDIN_FILENO) == 1;
  LineEditor editor(by_hand ? history_file() : "", [&](const std::vector<std::string>& words) {
    return complete(what_is_wanted(app, with_global(words)));
  });
  if (by_hand && context.room > 0) print("`help` lists the verbs, TAB completes, `exit` or Ctrl-D ends\n");
  int last = 0;
  while (const auto line = editor.read(by_hand ? prompt(flags) : "")) {
    const auto words = words_of(*line);
    if (!words) {
      fmt::print(stderr, "umbractl: a quote is not closed\n");
      continue;
    }
    if (words->empty() || words->front().starts_with('#')) continue;
    if (words->front() == "exit" || words->front() == "quit") break;
    if (words->front() == "shell") continue;  // it is one
    const auto status = run_umbractl(with_global(*words));
    if (!status) return failed(status.error());
    last = *status;
  }
  // By hand each verb's outcome was seen; for a script, how the last one ended is how it ended.
  return by_hand ? ExitCode::kOk : static_cast<ExitCode>(last);
}

}  // namespace

void add_shell_verb(CLI::App& app, Action& action, const Flags& flags) {
  auto& verb = add_verb(app, "shell", "Ask for one verb after the other; also what umbractl alone does on a terminal",
                        "umbractl --context prod shell");
  when_given(verb, action, [&app, &flags](const Context& context) { return shell(app, flags, context); });
}

}  // namespace umbra::cli
