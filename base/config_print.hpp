/// How a configuration that was read is shown. For base/config.cpp.
#pragma once

#include <map>
#include <string>
#include <vector>

namespace umbra {

/// A key that a getter was asked for.
struct AskedKey {
  std::string value;                ///< the one that counts, as TOML writes it
  std::string origin;               ///< "file:line", or "default"
  std::vector<std::string> tables;  ///< of a list of tables: the origin of each, in place of a value
};
/// By name: "section.key", "list[0].key".
using AskedKeys = std::map<std::string, AskedKey, std::less<>>;

/// TOML, by section and key, with each key's origin in a comment.
std::string print_keys(const AskedKeys& keys);

}  // namespace umbra
