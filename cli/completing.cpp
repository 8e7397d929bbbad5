#include "cli/completing.hpp"
#include <CLI/App.hpp>

#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>

#include "cli/conversation.hpp"

namespace umbra::cli {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

constexpr auto kPatience = 1s;  // of somebody who pressed TAB

bool takes_value(const CLI::Option& option) {
  return option.get_items_expected_min() > 0;
}

/// The option of this verb, or of one above it; null when there is none.
const CLI::Option* option_named(const CLI::App& verb, const std::string& name) {
  for (const auto* app = &verb; app != nullptr; app = app->get_parent())
    for (const auto* option : app->get_options())
      if (option->nonpositional() && option->check_name(name)) return option;
  return nullptr;
}

const CLI::App* verb_named(const CLI::App& parent, const std::string& name) {
  const auto found = parent.get_subcommands([&](const CLI::App* verb) { return verb->check_name(name); });
  return found.empty() ? nullptr : found.front();
}

/// The argument that stands alone; null when the verb takes none.
const CLI::Option* argument_of(const CLI::App& verb) {
  const auto options = verb.get_options([](const CLI::Option* option) { return option->get_positional(); });
  return options.empty() ? nullptr : options.front();
}

std::string first_line(const std::string& text) {
  return text.substr(0, text.find('\n'));
}

void add_verbs(const CLI::App& parent, Wanted& wanted) {
  for (const auto* verb : all_verbs(parent))
    wanted.candidates.push_back({verb->get_name(), first_line(verb->get_description())});
}

void add_options(const CLI::App& verb, Wanted& wanted) {
  for (const auto* app = &verb; app != nullptr; app = app->get_parent())
    for (const auto* option : app->get_options())
      for (const auto& name : option->get_lnames())
        wanted.candidates.push_back({"--" + name, first_line(option->get_description())});
}

/// What a value of this kind may be: "FILE", "HOST|ZONE" (names), "table|json" (words).
void add_values(const std::string& kind, Wanted& wanted) {
  const auto has = [&](const char* part) { return kind.find(part) != std::string::npos; };
  if (has("FILE") || has("DIR"))
    wanted.files = true;
  else if (has("CONTEXT"))
    for (const auto& name : Contexts::of_user().names()) wanted.candidates.push_back({name, ""});
  else if (has("VM") || has("HOST") || has("ZONE") || has("ACCOUNT"))
    wanted.kind = kind;
  else if (has("|"))
    for (const auto& word : CLI::detail::split(kind, '|')) wanted.candidates.push_back({word, ""});
}

bool is_plain(const std::string& name) {
  constexpr const char* kPlain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._:@%+=-";
  return !name.empty() && name.front() != '-' && name.find_first_not_of(kPlain) == std::string::npos;
}

Task<ExitCode> find_names(v1::FleetClient fleet, std::string kind, Clock::time_point until,
                          std::vector<Candidate>* names) {
  const auto has = [&](const char* part) { return kind.find(part) != std::string::npos; };
  const auto left = [&] { return std::chrono::duration_cast<Deadline>(until - Clock::now()); };
  const auto add = [&](const std::string& name) {
    const bool known = std::ranges::any_of(*names, [&](const Candidate& other) { return other.word == name; });
    if (is_plain(name) && !known) names->push_back({name, ""});
  };
  if (has("VM") || has("ACCOUNT")) {
    const v1::ListVmsRequest all;
    UMBRA_CO_TRY(const auto vms, co_await fleet.list_vms(all, left()));
    for (const auto& view : vms.vms()) add(has("VM") ? view.vm().name() : view.vm().account());
  }
  if (has("HOST")) {
    const v1::ListHostsRequest all;
    UMBRA_CO_TRY(const auto hosts, co_await fleet.list_hosts(all, left()));
    for (const auto& host : hosts.hosts()) add(host.node().name());
  }
  if (has("ZONE")) {
    const v1::ListZonesRequest all;
    UMBRA_CO_TRY(const auto zones, co_await fleet.list_zones(all, left()));
    for (const auto& zone : zones.zones()) add(zone.name());
  }
  co_return ExitCode::kOk;
}

/// The settings that the command line so far amounts to.
Result<Settings> settings_of(const std::vector<std::string>& global) {
  CLI::App app;
  Flags flags;
  add_global_options(app, flags);
  try {
    app.parse(std::vector<std::string>(global.rbegin(), global.rend()));
  } catch (const CLI::ParseError& problem) {
    return fail(Errc::kInvalid, "{}", problem.what());
  }
  return settle(flags, usual_config_files(), Contexts::of_user());
}

std::vector<Candidate> names_of_fleet(const Wanted& wanted) {
  std::vector<Candidate> names;
  auto settings = settings_of(wanted.global);
  if (!settings) return names;
  const auto until = Clock::now() + kPatience;
  settings->timeout = kPatience;
  const Context context{std::move(*settings)};
  const auto asked =
      talk(context, [&](v1::FleetClient fleet) { return find_names(fleet, wanted.kind, until, &names); });
  static_cast<void>(asked);  // nobody is told
  return names;
}

}  // namespace

Wanted what_is_wanted(const CLI::App& root, const std::vector<std::string>& words) {
  Wanted wanted;
  const auto* verb = &root;
  const CLI::Option* pending = nullptr;  // whose value comes next
  const bool help = !words.empty() && words.front() == "help" && words.size() > 1;
  for (std::size_t i = help ? 1 : 0; i + 1 < words.size(); ++i) {
    const auto& word = words[i];
    if (word == "=") continue;  // bash takes "--to=host1" apart
    if (pending != nullptr) {
      if (pending->get_group() == kGlobalGroup) wanted.global.push_back(word);
      pending = nullptr;
      continue;
    }
    if (word.starts_with('-')) {
      const auto name = word.substr(0, word.find('='));
      const auto* option = option_named(*verb, name);
      if (option == nullptr) continue;
      if (option->get_group() == kGlobalGroup) wanted.global.push_back(word);
      if (takes_value(*option) && name == word) pending = option;
    } else if (const auto* below = verb_named(*verb, word)) {
      verb = below;
    }
  }
  wanted.typed = words.empty() || words.back() == "=" ? "" : words.back();
  if (const auto equals = wanted.typed.find('='); wanted.typed.starts_with("--") && equals != std::string::npos) {
    wanted.before = wanted.typed.substr(0, equals + 1);
    pending = option_named(*verb, wanted.typed.substr(0, equals));
    wanted.typed.erase(0, equals + 1);
  }
  if (pending != nullptr)
    add_values(pending->get_type_name(), wanted);
  else if (wanted.typed.starts_with('-'))
    add_options(*verb, wanted);
  else if (!all_verbs(*verb).empty())
    add_verbs(*verb, wanted);
  else if (const auto* argument = argument_of(*verb); argument != nullptr && !help)
    add_values(argument->get_name(true) == "NAME" ? "VM|HOST|ZONE" : argument->get_name(true), wanted);
  return wanted;
}

std::vector<Candidate> complete(const Wanted& wanted) {
  auto all = wanted.candidates;
  if (!wanted.kind.empty()) all = names_of_fleet(wanted);
  std::erase_if(all, [&](const Candidate& each) { return !each.word.starts_with(wanted.typed); });
  for (auto& each : all) each.word.insert(0, wanted.before);
  return all;
}

}  // namespace umbra::cli
