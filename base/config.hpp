/// Reading TOML configuration, with errors that name the file, the line, the key and the remedy.
#pragma once

#include <chrono>
#include <filesystem>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"

namespace umbra {

/// A parsed file. Every getter takes "section.key"; `finish()` at the end reports the first wrong value, the first
/// missing one, or the first key that no getter asked for (a typo).
/// Single thread; meant for start-up.
class Config {
 public:
  /// @error kNotFound no such file; kInvalid not TOML, with line and column
  static Result<Config> load(const std::filesystem::path& file);
  static Result<Config> parse(std::string_view text, std::string_view name);

  Config(Config&&) noexcept;
  Config& operator=(Config&&) noexcept;
  ~Config();

  std::string text(std::string_view key, std::string_view fallback);
  std::string required_text(std::string_view key);
  std::int64_t integer(std::string_view key, std::int64_t fallback, std::int64_t least, std::int64_t most);
  double number(std::string_view key, double fallback, double least, double most);
  bool boolean(std::string_view key, bool fallback);
  std::vector<std::string> texts(std::string_view key);
  /// How many [[key]] there are. Their own keys are "key[0].name" and so on.
  std::size_t tables(std::string_view key);
  /// Written as "250ms", "5s", "10min", "2h".
  std::chrono::milliseconds duration(std::string_view key, std::chrono::milliseconds fallback);

  /// Records a complaint about a key's value that a caller found itself.
  void complain(std::string_view key, std::string_view cause, std::string_view remedy);
  Result<void> finish() const;

 private:
  struct State;
  explicit Config(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

/// Reads "250ms", "5s", "10min", "2h", "1d". @error kInvalid
Result<std::chrono::milliseconds> parse_duration(std::string_view text);

}  // namespace umbra
