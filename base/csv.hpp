/// CSV (RFC 4180), a line at a time, so that a file may be larger than memory.
#pragma once

#include <cstdint>
#include <iosfwd>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"

namespace umbra {

/// The text without the spaces and tabs around it.
std::string_view trimmed(std::string_view text);

/// A finite number such as 1.5, +2 or 1e-3, and nothing else; neither NaN nor infinite.
std::optional<double> parse_number(std::string_view text);

/// Splits one line into its fields; quoted fields may hold commas and doubled quotes, but no line break.
/// @param fields replaced; given again, it lends its memory to the next line
/// @error kInvalid "column N: cause"
Result<void> split_csv(std::string_view line, std::vector<std::string>& fields);

/// Reads a file's lines and counts them. Empty lines, a byte order mark and CRLF line ends are fine. Single thread.
class CsvLines {
 public:
  static constexpr std::size_t kLongest = 4'095;  ///< bytes in a line, if nothing else is said

  /// @param in outlives the reader
  /// @param name of the file, for messages
  CsvLines(std::istream& in, std::string name, std::size_t longest = kLongest)
      : in_(in), name_(std::move(name)), buffer_(longest + 1) {}

  /// Splits the next line that is not empty; false at the end of the file.
  /// @error kInvalid "name:line: cause", with the remedy; kUnavailable when reading fails
  Result<bool> next(std::vector<std::string>& fields);
  /// The next line, which may be empty, without its end; valid until the next call. Errors as next().
  Result<std::optional<std::string_view>> next_line();

  std::uint64_t line() const { return line_; }  ///< of what was read last, from 1
  const std::string& name() const { return name_; }
  /// kInvalid "name:line: cause" of the line that was read last.
  Error error(std::string_view cause, std::string remedy) const;

 private:
  std::istream& in_;
  std::string name_;
  std::uint64_t line_ = 0;
  std::vector<char> buffer_;
};

/// A field as it is written: in quotes where it needs them.
std::string csv_field(std::string_view text);

}  // namespace umbra
