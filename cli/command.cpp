#include "cli/command.hpp"
#include <CLI/App.hpp>

#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <cstdio>
#include <numeric>

#include "base/printable.hpp"

namespace umbra::cli {
namespace {

/// Insertions, deletions, replacements and swaps of neighbours that make one word the other (optimal string alignment).
std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::vector<std::size_t>> cost(a.size() + 1, std::vector<std::size_t>(b.size() + 1));
  for (std::size_t i = 0; i <= a.size(); ++i) cost[i][0] = i;
  std::iota(cost[0].begin(), cost[0].end(), std::size_t{0});
  for (std::size_t i = 1; i <= a.size(); ++i) {
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t replace = cost[i - 1][j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      cost[i][j] = std::min({cost[i - 1][j] + 1, cost[i][j - 1] + 1, replace});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        cost[i][j] = std::min(cost[i][j], cost[i - 2][j - 2] + 1);
    }
  }
  return cost[a.size()][b.size()];
}

/// The name that was probably meant; empty when none is near.
std::string nearest(const std::vector<std::string>& names, std::string_view word) {
  std::string best;
  auto least = std::max<std::size_t>(2, word.size() / 3) + 1;
  for (const auto& name : names) {
    const auto distance = name.starts_with(word) ? 1 : edit_distance(word, name);
    if (distance >= least || distance >= name.size()) continue;
    least = distance;
    best = name;
  }
  return best;
}

}  // namespace

CLI::App& add_verb(CLI::App& parent, const char* name, const char* what, std::string_view example) {
  auto& verb = *parent.add_subcommand(name, what);
  verb.fallthrough();  // global options may stand after the verb
  verb.footer(fmt::format("Example:\n  {}\n\nGlobal options and exit status: `umbractl --help`", example));
  return verb;
}

CLI::Option* add_argument(CLI::App& verb, const char* name, const char* what, const Setter& set) {
  return verb.add_option_function<std::string>(name, set, what)->type_name("")->required();
}

CLI::Option* add_text(CLI::App& verb, const char* name, const char* kind, const char* what, const Setter& set) {
  return verb.add_option_function<std::string>(name, set, what)->type_name(kind);
}

CLI::Option* add_choice(CLI::App& verb, const char* name, const std::string& words, const char* what,
                        const Setter& set) {
  auto one_of_them = CLI::IsMember(CLI::detail::split(words, '|'));
  one_of_them.description("");  // the help has the words already
  return add_text(verb, name, words.c_str(), what, set)->check(one_of_them);
}

void when_given(CLI::App& verb, Action& action, Action what) {
  verb.callback([&action, what = std::move(what)] { action = what; });
}

std::vector<const CLI::App*> all_verbs(const CLI::App& parent) {
  return parent.get_subcommands([](const CLI::App* verb) { return !verb->get_group().empty(); });
}

std::string nearest_verb(const CLI::App& parent, std::string_view word) {
  std::vector<std::string> names;
  for (const auto* verb : all_verbs(parent)) names.push_back(verb->get_name());
  return nearest(names, word);
}

std::string nearest_option(const CLI::App& verb, std::string_view word) {
  std::vector<std::string> names;
  for (const auto* app = &verb; app != nullptr; app = app->get_parent())
    for (const auto* option : app->get_options())
      for (const auto& name : option->get_lnames()) names.push_back("--" + name);
  return nearest(names, word);
}

std::string for_terminal(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const auto line = text.substr(0, text.find('\n'));
    auto rest = line;
    while (!rest.empty()) {
      // "\x1b[31m": our own colours, the only sequence that is let through.
      const auto colour = rest.find("\x1b[");
      const auto end = colour == rest.npos ? rest.npos : rest.find_first_not_of("0123456789;", colour + 2);
      const bool ours = end != rest.npos && rest[end] == 'm' && end - colour <= 6;
      const auto plain = ours ? colour : rest.size();
      out += printable(rest.substr(0, plain));
      if (ours) out += rest.substr(plain, end + 1 - plain);
      rest.remove_prefix(ours ? end + 1 : plain);
    }
    if (line.size() < text.size()) out += '\n';
    text.remove_prefix(std::min(text.size(), line.size() + 1));
  }
  return out;
}

void print(std::string_view text) {
  print_raw(for_terminal(text));
}

void print_raw(std::string_view text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
}

}  // namespace umbra::cli
