#include "cli/usage.hpp"
#include <CLI/App.hpp>

#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <regex>

#include "cli/command.hpp"

namespace umbra::cli {
namespace {

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

/// The parser's words for a wrong value, as ours: what is expected, and what was given.
std::string about_value(const std::string& told) {
  static const std::regex unconvertible("Could not convert: (.*) = (.*)");
  static const std::regex out_of_range("(.*): Value (.*) not in range (\\S*) to (\\S*)");
  static const std::regex no_member("(.*): (.*) not in \\{(.*)\\}");
  constexpr double kNoLimit = 1e300;  // CLI::PositiveNumber has the largest double as its limit
  std::smatch part;
  const auto must = [&](std::string_view what) {
    return fmt::format("{} must be {}, not '{}'", part.str(1), what, part.str(2));
  };
  if (std::regex_match(told, part, unconvertible)) {
    const bool fraction = part.str(2).find_first_not_of("0123456789.") == std::string::npos;
    return must(fraction ? "a whole number" : "a number");
  }
  if (std::regex_match(told, part, out_of_range)) {
    const auto least = std::stod(part.str(3)), most = std::stod(part.str(4));
    return must(most < kNoLimit ? fmt::format("between {:g} and {:g}", least, most) : "a number above 0");
  }
  if (std::regex_match(told, part, no_member))
    return must("one of " + std::regex_replace(part.str(3), std::regex(","), ", "));
  return told;
}

const CLI::App* verb_named(const CLI::App& parent, const std::string& name) {
  const auto found = parent.get_subcommands([&](const CLI::App* verb) { return verb->check_name(name); });
  return found.empty() ? nullptr : found.front();
}

}  // namespace

std::vector<std::string> spelled_out(const CLI::App& app, std::vector<std::string> words) {
  if (words.empty() || words.front() != "help") return words;
  if (words.size() > 1 && words[1].starts_with('-')) return words;  // of help itself
  words.erase(words.begin());
  const auto* verb = &app;
  std::size_t depth = 0;
  while (depth < words.size()) {
    const auto* below = verb_named(*verb, words[depth]);
    if (below == nullptr) break;
    verb = below;
    ++depth;
  }
  if (depth == 0 && !words.empty()) return words;  // no such verb, which the parser will say
  words.resize(depth);
  words.emplace_back("--help");
  return words;
}

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
  return refuse(about_value(problem.what()));
}

bool asks_for_json(const std::vector<std::string>& words) {
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (words[i] == "-ojson" || words[i] == "--output=json") return true;
    const bool output = words[i] == "-o" || words[i] == "--output";
    if (output && i + 1 < words.size() && words[i + 1] == "json") return true;
  }
  return false;
}

}  // namespace umbra::cli
