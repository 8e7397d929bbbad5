#include "base/config_print.hpp"

#include "base/printable.hpp"

namespace umbra {
namespace {

std::string with_origin(std::string_view line, const std::string& origin) {
  return fmt::format("{}  # {}\n", line, printable(origin));
}

std::string print_key(std::string_view name, const AskedKey& key) {
  return with_origin(fmt::format("{} = {}", name, key.value), key.origin);
}

/// [[name]] and the keys of each.
std::string print_tables(const AskedKeys& keys, const std::string& name, const AskedKey& list) {
  std::string text;
  for (std::size_t i = 0; i < list.tables.size(); ++i) {
    text += with_origin(fmt::format("\n[[{}]]", name), list.tables[i]);
    const auto prefix = fmt::format("{}[{}].", name, i);
    for (auto key = keys.lower_bound(prefix); key != keys.end() && key->first.starts_with(prefix); ++key)
      text += print_key(key->first.substr(prefix.size()), key->second);
  }
  return text;
}

}  // namespace

std::string print_keys(const AskedKeys& keys) {
  struct Section {
    std::string keys, lists;  // TOML wants a section's own keys before its lists of tables
  };
  std::map<std::string, Section> sections;
  for (const auto& [name, key] : keys) {
    if (name.find('[') != std::string::npos) continue;  // printed with its list
    const auto dot = name.find('.');
    auto& section = sections[dot == std::string::npos ? "" : name.substr(0, dot)];
    if (key.tables.empty())
      section.keys += print_key(name.substr(dot + 1), key);  // npos + 1 is 0: the whole name
    else
      section.lists += print_tables(keys, name, key);
  }
  std::string text;
  for (const auto& [name, section] : sections) {
    if (!name.empty()) text += fmt::format("{}[{}]\n", text.empty() ? "" : "\n", name);
    text += section.keys + section.lists;
  }
  return text;
}

}  // namespace umbra
