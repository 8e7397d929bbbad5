#include "base/config_layers.hpp"

#include <algorithm>
#include <cstring>
#include <fstream>

#include "base/config.hpp"

namespace umbra {
namespace {

namespace fs = std::filesystem;

Error unreadable(const fs::path& file, std::string_view cause) {
  return {Errc::kNotFound, fmt::format("cannot read configuration {}: {}", file.string(), cause),
          "pass the right file with --config; a drop-in is corrected or removed"};
}

bool is_drop_in(const fs::path& file) {
  return file.extension() == ".toml" && !file.filename().string().starts_with('.');
}

}  // namespace

Result<toml::table> parse_toml(std::string_view text, std::string_view name) {
  try {
    return toml::parse(text, name);
  } catch (const toml::parse_error& error) {
    return fail(
        {Errc::kInvalid,
         fmt::format("{}:{}:{}: {}", name, error.source().begin.line, error.source().begin.column, error.description()),
         "the file must be TOML 1.0"});
  }
}

Result<toml::table> read_toml(const fs::path& file) {
  std::ifstream in(file);
  if (!in) return fail(unreadable(file, std::strerror(errno)));
  std::string text(kMostLayerBytes + 1, '\0');
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (in.bad()) return fail(unreadable(file, std::strerror(errno)));
  text.resize(static_cast<std::size_t>(in.gcount()));
  if (text.size() > kMostLayerBytes)
    return fail({Errc::kInvalid, fmt::format("configuration {} is larger than 1 MiB", file.string()),
                 "make it shorter; a configuration has some KiB"});
  return parse_toml(text, file.string());
}

Result<toml::table> read_regular_toml(const fs::path& file) {
  std::error_code error;
  const auto status = fs::status(file, error);
  if (error) return fail(unreadable(file, error.message()));
  if (!fs::is_regular_file(status)) return fail(unreadable(file, "is not a regular file"));
  return read_toml(file);
}

Result<std::vector<fs::path>> drop_ins_of(const fs::path& file) {
  const fs::path directory = file.string() + ".d";
  std::vector<fs::path> found;
  std::error_code error;
  for (fs::directory_iterator entry(directory, error), end; !error && entry != end; entry.increment(error))
    if (is_drop_in(entry->path())) found.push_back(entry->path());
  if (error == std::errc::no_such_file_or_directory) return found;
  if (error) return fail(unreadable(directory, error.message()));
  if (found.size() > kMostDropIns)
    return fail(
        {Errc::kInvalid,
         fmt::format("{} has {} configuration files, more than {}", directory.string(), found.size(), kMostDropIns),
         "put what belongs together into one file"});
  std::sort(found.begin(), found.end());
  return found;
}

Result<void> merge(toml::table& below, toml::table above) {
  for (auto&& [key, node] : above) {
    auto* known = below.get(key);
    if (known != nullptr && known->is_table() != node.is_table())
      return fail({Errc::kInvalid,
                   fmt::format("{}: {} is {}, but {} in {}", source_of(node), key.str(),
                               node.is_table() ? "a section" : "a value", known->is_table() ? "a section" : "a value",
                               source_of(*known)),
                   "correct one of them"});
    if (known != nullptr && node.is_table()) {
      UMBRA_CHECK(merge(*known->as_table(), std::move(*node.as_table())));
    } else {
      below.insert_or_assign(key, std::move(node));
    }
  }
  return {};
}

std::string source_of(const toml::node& node) {
  const auto& source = node.source();
  return fmt::format("{}:{}", source.path ? *source.path : std::string{}, source.begin.line);
}

}  // namespace umbra
