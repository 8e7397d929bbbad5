/// Reading TOML configuration, with errors that name the file, the line, the key and the remedy.
#pragma once

#include <chrono>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"

namespace umbra {

/// Where packages put a daemon's defaults, as NAME.toml.
inline constexpr std::string_view kPackagedConfig = "/usr/lib/umbra";
/// A layer of a configuration may be so long.
inline constexpr std::size_t kMostLayerBytes = 1 << 20;
/// So many drop-ins may a configuration have.
inline constexpr std::size_t kMostDropIns = 100;

/// A parsed file, or several in layers. Every getter takes "section.key"; `finish()` at the end reports the first wrong
/// value, the first missing one, or the first key that no getter asked for (a typo).
/// Single thread; meant for start-up.
class Config {
 public:
  /// Reads one file.
  /// @error kNotFound cannot be read; kInvalid larger than kMostLayerBytes, or not TOML, with line and column
  static Result<Config> load(const std::filesystem::path& file);
  /// Reads `packaged`, which may be absent, then `file`, then FILE.d/*.toml in the order of their names (systemd's
  /// drop-ins). What comes later wins, key by key; a list replaces the whole list below it. Errors name the file that
  /// the value came from.
  /// @error as load(); kInvalid more than kMostDropIns, or a section in one layer that is a value in another
  static Result<Config> load_layers(const std::filesystem::path& file, const std::filesystem::path& packaged);
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
  /// How many [[key]] there are; `key = []` says none. Their own keys are "key[0].name" and so on.
  std::size_t tables(std::string_view key);
  /// Written as "250ms", "5s", "10min", "2h".
  std::chrono::milliseconds duration(std::string_view key, std::chrono::milliseconds fallback);

  /// Records a complaint about a key's value that a caller found itself.
  void complain(std::string_view key, std::string_view cause, std::string_view remedy);
  Result<void> finish() const;

  /// What the getters were asked for, and what they answered, as TOML that reads the same: by section and key, with
  /// the file and line of each in a comment, or "default". Of use once finish() found nothing.
  std::string print() const;

 private:
  struct State;
  explicit Config(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

/// Reads "250ms", "5s", "10min", "2h", "1d". @error kInvalid
Result<std::chrono::milliseconds> parse_duration(std::string_view text);
/// The same, written in the largest unit that leaves no fraction.
std::string format_duration(std::chrono::milliseconds duration);

}  // namespace umbra
