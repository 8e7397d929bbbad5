#include "base/config.hpp"

#include <array>
#include <charconv>
#include <sstream>

#include "base/config_layers.hpp"
#include "base/config_print.hpp"

namespace umbra {
namespace {

constexpr std::array<std::pair<std::string_view, std::int64_t>, 5> kUnits{
    {{"ms", 1}, {"s", 1000}, {"min", 60'000}, {"h", 3'600'000}, {"d", 86'400'000}}};

/// In quotes, on one line.
std::string as_toml(std::string_view text) {
  std::ostringstream out;
  out << toml::toml_formatter(toml::value<std::string>(text), toml::format_flags::none);
  return out.str();
}

std::string as_toml(const std::vector<std::string>& texts) {
  std::string out;
  for (const auto& text : texts) out += (out.empty() ? "" : ", ") + as_toml(text);
  return '[' + out + ']';
}

}  // namespace

struct Config::State {
  std::string name;      ///< of the file that was asked for, which lacks what is missing
  std::string packaged;  ///< the file with the packaged defaults, which is not to be edited
  toml::table table;
  AskedKeys asked;
  std::optional<Error> complaint;

  void complain(std::string_view key, std::string_view cause, std::string_view remedy) {
    if (complaint) return;
    const auto* node = find(key);
    const auto where = node != nullptr ? source_of(*node) : name;
    complaint = Error{Errc::kInvalid, fmt::format("{}: {}: {}", where, key, cause), std::string(remedy)};
    // A default that does not go with another value.
    if (node != nullptr && node->source().path && *node->source().path == packaged)
      complaint->remedy += fmt::format("; set it in {}", name);
  }

  toml::node* find(std::string_view key) { return table.at_path(key).node(); }

  /// Remembers that `key` was asked for, and what was answered, for finish() and print().
  AskedKey& answered(std::string_view key, std::string value) {
    const auto* node = find(key);
    auto origin = node != nullptr ? source_of(*node) : "default";
    return asked.insert_or_assign(std::string(key), AskedKey{std::move(value), std::move(origin), {}}).first->second;
  }

  /// The value of `key` as T; nothing when absent, a complaint when it is of another type.
  template <class T>
  std::optional<T> value(std::string_view key, std::string_view kind) {
    auto* node = find(key);
    if (node == nullptr) return std::nullopt;
    if (auto value = node->value<T>()) return value;
    complain(key, fmt::format("is not {}", kind), fmt::format("give {}", kind));
    return std::nullopt;
  }

  template <class T>
  T ranged(std::string_view key, std::string_view kind, T fallback, T least, T most) {
    const auto value = this->value<T>(key, kind).value_or(fallback);
    answered(key, fmt::format("{}", value));
    if (value >= least && value <= most) return value;
    complain(key, fmt::format("{} is out of range", value), fmt::format("allowed are {} to {}", least, most));
    return fallback;
  }
};

Config::Config(std::unique_ptr<State> state) : state_(std::move(state)) {}
Config::Config(Config&&) noexcept = default;
Config& Config::operator=(Config&&) noexcept = default;
Config::~Config() = default;

Result<Config> Config::load(const std::filesystem::path& file) {
  UMBRA_TRY(auto table, read_toml(file));
  return Config(std::make_unique<State>(State{file.string(), {}, std::move(table), {}, {}}));
}

Result<Config> Config::load_layers(const std::filesystem::path& file, const std::filesystem::path& packaged) {
  toml::table table;
  std::error_code error;
  if (std::filesystem::status(packaged, error).type() != std::filesystem::file_type::not_found) {
    UMBRA_TRY(table, read_regular_toml(packaged));
  }
  UMBRA_TRY(auto own, read_toml(file));
  UMBRA_CHECK(merge(table, std::move(own)));
  UMBRA_TRY(const auto drop_ins, drop_ins_of(file));
  for (const auto& drop_in : drop_ins) {
    UMBRA_TRY(auto layer, read_regular_toml(drop_in));
    UMBRA_CHECK(merge(table, std::move(layer)));
  }
  return Config(std::make_unique<State>(State{file.string(), packaged.string(), std::move(table), {}, {}}));
}

Result<Config> Config::parse(std::string_view text, std::string_view name) {
  UMBRA_TRY(auto table, parse_toml(text, name));
  return Config(std::make_unique<State>(State{std::string(name), {}, std::move(table), {}, {}}));
}

std::string Config::text(std::string_view key, std::string_view fallback) {
  auto value = state_->value<std::string>(key, "a string").value_or(std::string(fallback));
  state_->answered(key, as_toml(value));
  return value;
}

std::string Config::required_text(std::string_view key) {
  auto value = text(key, "");
  if (value.empty()) state_->complain(key, "is missing", "give it a value; docs/configuration.md tells what it means");
  return value;
}

std::int64_t Config::integer(std::string_view key, std::int64_t fallback, std::int64_t least, std::int64_t most) {
  return state_->ranged<std::int64_t>(key, "a whole number", fallback, least, most);
}

double Config::number(std::string_view key, double fallback, double least, double most) {
  return state_->ranged<double>(key, "a number", fallback, least, most);
}

bool Config::boolean(std::string_view key, bool fallback) {
  const auto value = state_->value<bool>(key, "true or false").value_or(fallback);
  state_->answered(key, value ? "true" : "false");
  return value;
}

std::vector<std::string> Config::texts(std::string_view key) {
  std::vector<std::string> values;
  const auto* node = state_->find(key);
  const auto* array = node != nullptr ? node->as_array() : nullptr;
  if (array != nullptr)
    for (const auto& element : *array)
      if (auto value = element.value<std::string>()) values.push_back(*value);
  state_->answered(key, as_toml(values));
  if (node != nullptr && (array == nullptr || values.size() != array->size()))
    state_->complain(key, "is not a list of strings", "write it like [\"a\", \"b\"]");
  return values;
}

std::size_t Config::tables(std::string_view key) {
  auto& answer = state_->answered(key, "[]");
  const auto* node = state_->find(key);
  if (node == nullptr) return 0;
  const auto* array = node->as_array();
  if (array != nullptr && array->empty()) return 0;
  if (array == nullptr || !array->is_homogeneous(toml::node_type::table)) {
    state_->complain(key, "is no list of tables", fmt::format("write [[{}]] above each", key));
    return 0;
  }
  for (const auto& table : *array) answer.tables.push_back(source_of(table));
  return array->size();
}

std::chrono::milliseconds Config::duration(std::string_view key, std::chrono::milliseconds fallback) {
  const auto text = state_->value<std::string>(key, "a duration in quotes");
  const auto parsed = text ? parse_duration(*text) : fallback;
  state_->answered(key, as_toml(format_duration(parsed.value_or(fallback))));
  if (!parsed) state_->complain(key, parsed.error().message, parsed.error().remedy);
  return parsed.value_or(fallback);
}

void Config::complain(std::string_view key, std::string_view cause, std::string_view remedy) {
  state_->complain(key, cause, remedy);
}

Result<void> Config::finish() const {
  if (state_->complaint) return fail(*state_->complaint);
  const auto unknown = [](const toml::node& node, std::string_view key) {
    return fail({Errc::kInvalid, fmt::format("{}: unknown key {}", source_of(node), key), "correct or remove it"});
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

std::string Config::print() const {
  return print_keys(state_->asked);
}

Result<std::chrono::milliseconds> parse_duration(std::string_view text) {
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

std::string format_duration(std::chrono::milliseconds duration) {
  if (duration.count() == 0) return "0s";
  const auto fits = [&](const auto& unit) { return duration.count() % unit.second == 0; };
  const auto& [name, factor] = *std::find_if(kUnits.rbegin(), kUnits.rend(), fits);
  return fmt::format("{}{}", duration.count() / factor, name);
}

}  // namespace umbra
