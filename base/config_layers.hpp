/// The files that a configuration is read from, as TOML tables. For base/config.cpp.
#pragma once

#include <toml++/toml.h>

#include <filesystem>
#include <string_view>
#include <vector>

#include "base/result.hpp"

namespace umbra {

/// @param name stands in errors, and with every node as its source
/// @error kInvalid not TOML, with line and column
Result<toml::table> parse_toml(std::string_view text, std::string_view name);

/// Reads the file that was named, which may be a pipe.
/// @error kNotFound cannot be read; kInvalid larger than kMostLayerBytes, or not TOML
Result<toml::table> read_toml(const std::filesystem::path& file);

/// Reads a file that nobody named, which must be a regular one: nobody would write to the other end of a pipe.
/// @error as read_toml()
Result<toml::table> read_regular_toml(const std::filesystem::path& file);

/// FILE.d/*.toml in the order of their names, without hidden files; none when there is no such directory.
/// @error kNotFound the directory cannot be read; kInvalid more than kMostDropIns
Result<std::vector<std::filesystem::path>> drop_ins_of(const std::filesystem::path& file);

/// Puts `above` over `below`: tables merge key by key, everything else replaces what is there. Nodes keep their source.
/// @error kInvalid a table here is no table there
Result<void> merge(toml::table& below, toml::table above);

/// "file:line" of a node that was read from a file.
std::string source_of(const toml::node& node);

}  // namespace umbra
