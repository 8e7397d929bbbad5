#include "cli/contexts.hpp"

#include <algorithm>
#include <boost/json/string.hpp>
#include <fstream>

#include "cli/options.hpp"
#include "cli/output/json.hpp"
#include "cli/output/table.hpp"
#include "cli/whole_file.hpp"

namespace umbra::cli {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kLongestName = 64;
constexpr const char* kSeeList = "see `umbractl context list`";

/// A name is also a file's.
Result<void> check_name(const std::string& name) {
  constexpr const char* kAllowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
  const bool good = !name.empty() && name.size() <= kLongestName && name.front() != '.' && name.front() != '-' &&
                    name.find_first_not_of(kAllowed) == std::string::npos;
  if (good) return {};
  return fail({Errc::kInvalid, fmt::format("'{}' is no name for a context", name),
               fmt::format("use letters, digits, dots, dashes and underscores, {} at most", kLongestName)});
}

/// A JSON string is also a TOML one.
std::string line(const char* key, const std::string& value) {
  return fmt::format("{} = {}\n", key, serialize(boost::json::string(value)));
}
std::string line(const char* key, const fs::path& file) {
  return line(key, fs::absolute(file).lexically_normal().string());
}

Result<void> succeeded(const std::error_code& error, const fs::path& file, const char* what) {
  if (!error) return {};
  return fail({Errc::kUnavailable, fmt::format("cannot {} {}: {}", what, file.string(), error.message()),
               "check the permissions of that directory"});
}

}  // namespace

Contexts Contexts::of_user() {
  return Contexts(user_config_directory());
}

std::vector<std::string> Contexts::names() const {
  std::vector<std::string> names;
  std::error_code none;  // no directory, no contexts
  for (fs::directory_iterator file(directory_ / "contexts", none), end; !none && file != end; file.increment(none))
    if (file->path().extension() == ".toml" && check_name(file->path().stem())) names.push_back(file->path().stem());
  std::ranges::sort(names, natural_less);
  return names;
}

std::string Contexts::current() const {
  std::string name;
  std::ifstream in(current_file());
  std::getline(in, name);
  return name;
}

Result<fs::path> Contexts::file_of(const std::string& name) const {
  UMBRA_CHECK(check_name(name));
  std::error_code none;
  if (!directory_.empty() && fs::exists(path_of(name), none)) return path_of(name);
  return fail({Errc::kNotFound, fmt::format("no context '{}'", name), kSeeList});
}

Result<void> Contexts::add(const std::string& name, const Settings& settings) const {
  UMBRA_CHECK(check_name(name));
  if (directory_.empty())
    return fail({Errc::kInvalid, "there is no directory for contexts", "set HOME or XDG_CONFIG_HOME"});
  if (file_of(name))
    return fail({Errc::kConflict, fmt::format("the context {} is there already", name),
                 fmt::format("take another name, or first: umbractl context remove {}", name)});
  std::error_code error;
  fs::create_directories(path_of(name).parent_path(), error);
  UMBRA_CHECK(succeeded(error, path_of(name).parent_path(), "make"));
  return write_whole_file(path_of(name), line("controller", settings.controller) + line("ca", settings.tls.ca) +
                                             line("cert", settings.tls.certificate) + line("key", settings.tls.key));
}

Result<void> Contexts::use(const std::string& name) const {
  if (!name.empty()) {
    UMBRA_CHECK(file_of(name));
    return write_whole_file(current_file(), name + "\n");
  }
  std::error_code error;
  fs::remove(current_file(), error);
  return succeeded(error, current_file(), "remove");
}

Result<void> Contexts::remove(const std::string& name) const {
  UMBRA_TRY(const auto file, file_of(name));
  if (current() == name) UMBRA_CHECK(use(""));
  std::error_code error;
  fs::remove(file, error);
  return succeeded(error, file, "remove");
}

}  // namespace umbra::cli
