/// Looking at configurations as text, for tests of daemons' keys and their packaged defaults.
#pragma once

#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>
#include <string>

namespace umbra::test {

inline std::string text_of(const std::filesystem::path& file) {
  std::ostringstream text;
  text << std::ifstream(file).rdbuf();
  return text.str();
}

/// What Config::print() wrote, without the comments that tell where each key comes from.
inline std::string without_origins(const std::string& printed) {
  std::istringstream lines(printed);
  std::string out;
  for (std::string line; std::getline(lines, line);) out += line.substr(0, line.rfind("  # ")) + '\n';
  return out;
}

/// With the examples in force: keys and lists that are commented out by a # without a space behind.
inline std::string with_examples(const std::string& text) {
  std::istringstream lines(text);
  std::string out;
  for (std::string line; std::getline(lines, line);)
    out += line.substr(line.size() > 1 && line[0] == '#' && line[1] != ' ' ? 1 : 0) + '\n';
  return out;
}

/// Every key, as "section.key".
inline std::set<std::string> keys_of(const std::string& text) {
  std::istringstream lines(text);
  std::set<std::string> keys;
  std::string section;
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with('[')) {
      const auto name = line.find_first_not_of('[');
      section = line.substr(name, line.find(']') - name);
    } else if (const auto equals = line.find(" = "); !line.starts_with('#') && equals != std::string::npos) {
      keys.insert(section + '.' + line.substr(0, equals));
    }
  }
  return keys;
}

}  // namespace umbra::test
