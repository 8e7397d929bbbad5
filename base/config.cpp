#include "base/config.hpp"

#include <toml++/toml.h>

#include <array>
#include <charconv>
#include <fstream>
#include <sstream>

namespace umbra {

struct Config::State {
  std::string name;
  toml::table table;
  std::set<std::string, std::less<>> asked;
  std::optional<Error> complaint;

  template <class Node>
  void complain(const Node* node, std::string_view key, std::string_view cause, std::string_view remedy) {
    if (complaint) return;
    const auto line = node != nullptr ? fmt::format(":{}", node->source().begin.line) : std::string{};
    complaint = Error{Errc::kInvalid, fmt::format("{}{}: {}: {}", name, line, key, cause), std::string(remedy)};
  }

  toml::node* find(std::string_view key) {
    asked.emplace(key);
    return table.at_path(key).node();
  }

  /// The value of `key` as T; nothing when absent, a complaint when it is of another type.
  template <class T>
  std::optional<T> value(std::string_view key, std::string_view kind) {
    auto* node = find(key);
    if (node == nullptr) return std::nullopt;
    if (auto value = node->value<T>()) return value;
    complain(node, key, fmt::format("is not {}", kind), fmt::format("give {}", kind));
    return std::nullopt;
  }

  template <class T>
  T ranged(std::string_view key, std::string_view kind, T fallback, T least, T most) {
    const auto value = this->value<T>(key, kind).value_or(fallback);
    if (value >= least && value <= most) return value;
    complain(find(key), key, fmt::format("{} is out of range", value),
             fmt::format("allowed are {} to {}", least, most));
    return fallback;
  }
};

Config::Config(std::unique_ptr<State> state) : state_(std::move(state)) {}
Config::Config(Config&&) noexcept = default;
Config& Config::operator=(Config&&) noexcept = default;
Config::~Config() = default;

Result<Config> Config::load(const std::filesystem::path& file) {
  std::ifstream in(file);
  if (!in)
    return fail({Errc::kNotFound, fmt::format("cannot read configuration {}: {}", file.string(), std::strerror(errno)),
                 "pass the right file with --config"});
  std::ostringstream text;
  text << in.rdbuf();
  return parse(text.str(), file.string());
}

Result<Config> Config::parse(std::string_view text, std::string_view name) {
  auto state = std::make_unique<State>();
  state->name = name;
  try {
    state->table = toml::parse(text, name);
  } catch (const toml::parse_error& error) {
    return fail(
        {Errc::kInvalid,
         fmt::format("{}:{}:{}: {}", name, error.source().begin.line, error.source().begin.column, error.description()),
         "the file must be TOML 1.0"});
  }
  return Config(std::move(state));
}

std::string Config::text(std::string_view key, std::string_view fallback) {
  return state_->value<std::string>(key, "a string").value_or(std::string(fallback));
}

std::string Config::required_text(std::string_view key) {
  auto value = state_->value<std::string>(key, "a string");
  if (!value || value->empty())
    state_->complain(state_->find(key), key, "is missing",
                     "give it a value; docs/configuration.md tells what it means");
  return value.value_or("");
}

std::int64_t Config::integer(std::string_view key, std::int64_t fallback, std::int64_t least, std::int64_t most) {
  return state_->ranged<std::int64_t>(key, "a whole number", fallback, least, most);
}

double Config::number(std::string_view key, double fallback, double least, double most) {
  return state_->ranged<double>(key, "a number", fallback, least, most);
}

bool Config::boolean(std::string_view key, bool fallback) {
  return state_->value<bool>(key, "true or false").value_or(fallback);
}

std::vector<std::string> Config::texts(std::string_view key) {
  std::vector<std::string> values;
  auto* node = state_->find(key);
  if (node == nullptr) return values;
  const auto* array = node->as_array();
  if (array != nullptr)
    for (const auto& element : *array)
      if (auto value = element.value<std::string>()) values.push_back(*value);
  if (array == nullptr || values.size() != array->size())
    state_->complain(node, key, "is not a list of strings", "write it like [\"a\", \"b\"]");
  return values;
}

std::size_t Config::tables(std::string_view key) {
  auto* node = state_->find(key);
  if (node == nullptr) return 0;
  const auto* array = node->as_array();
  if (array != nullptr && array->is_homogeneous(toml::node_type::table)) return array->size();
  state_->complain(node, key, "is no list of tables", fmt::format("write [[{}]] above each", key));
  return 0;
}

std::chrono::milliseconds Config::duration(std::string_view key, std::chrono::milliseconds fallback) {
  const auto text = state_->value<std::string>(key, "a duration in quotes");
  if (!text) return fallback;
  const auto parsed = parse_duration(*text);
  if (!parsed) state_->complain(state_->find(key), key, parsed.error().message, parsed.error().remedy);
  return parsed.value_or(fallback);
}

void Config::complain(std::string_view key, std::string_view cause, std::string_view remedy) {
  state_->complain(state_->find(key), key, cause, remedy);
}

Result<void> Config::finish() const {
  if (state_->complaint) return fail(*state_->complaint);
  const auto unknown = [this](const toml::node& node, std::string_view key) {
    return fail({Errc::kInvalid, fmt::format("{}:{}: unknown key {}", state_->name, node.source().begin.line, key),
                 "correct or remove it"});
  };
  // The keys of [[lists of tables]], which are asked for one by one.
  const auto check_list = [&](const toml::node& list, std::string_view key) -> Result<void> {
    if (!list.is_array_of_tables()) return {};
    for (std::size_t i = 0; i < list.as_array()->size(); ++i)
      for (const auto& [name, value] : *list.as_array()->get(i)->as_table())
        if (const auto inner = fmt::format("{}[{}].{}", key, i, name.str()); !state_->asked.contains(inner))
          return unknown(value, inner);
    return {};
  };
  for (const auto& [section, node] : state_->table) {
    const auto* table = node.as_table();
    if (table == nullptr) {
      if (!state_->asked.contains(section.str())) return unknown(node, section.str());
      UMBRA_CHECK(check_list(node, section.str()));
      continue;
    }
    for (const auto& [key, value] : *table) {
      const auto name = fmt::format("{}.{}", section.str(), key.str());
      if (!state_->asked.contains(name)) return unknown(value, name);
      UMBRA_CHECK(check_list(value, name));
    }
  }
  return {};
}

Result<std::chrono::milliseconds> parse_duration(std::string_view text) {
  static constexpr std::array<std::pair<std::string_view, std::int64_t>, 5> kUnits{
      {{"ms", 1}, {"s", 1000}, {"min", 60'000}, {"h", 3'600'000}, {"d", 86'400'000}}};
  std::int64_t number = 0;
  const auto* end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, number);
  const std::string_view unit(rest, static_cast<std::size_t>(end - rest));
  constexpr std::int64_t kMost = 1'000'000'000;  // keeps every product far from overflow
  if (error == std::errc{} && number >= 0 && number <= kMost)
    for (const auto& [name, factor] : kUnits)
      if (unit == name) return std::chrono::milliseconds(number * factor);
  return fail({Errc::kInvalid, fmt::format("'{}' is not a duration", text), "write it like 250ms, 5s, 10min or 2h"});
}

}  // namespace umbra
