/// Telemetry from CSV files (base/csv.hpp), read as a stream so that a file may be larger than memory.
#pragma once

#include <array>
#include <iosfwd>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.hpp"
#include "base/csv.hpp"
#include "base/result.hpp"

namespace umbra::cli {

/// One observation of one VM.
struct TelemetryRow {
  std::string vm;      ///< name or uuid
  std::string metric;  ///< one of kMetrics
  UnixMillis at = 0;
  double value = 0;  ///< in the metric's unit; finite and not negative
};

/// What can be imported: cpu in cores, memory in bytes, the others in bytes per second.
inline constexpr std::array<std::string_view, 7> kMetrics{"cpu",       "memory",     "net_rx", "net_tx",
                                                          "disk_read", "disk_write", "dirty"};

/// Reads rows of `vm,metric,timestamp,value`. That heading may be the first line; empty lines, a byte order mark and
/// CRLF line ends are fine. Single thread.
class TelemetryReader {
 public:
  /// @param in outlives the reader
  /// @param name of the file, for messages
  TelemetryReader(std::istream& in, std::string name) : lines_(in, std::move(name)) {}

  /// The next row; nothing at the end of the file.
  /// @error kInvalid "name:line: column N (what): cause", with the remedy; kUnavailable when reading fails
  Result<std::optional<TelemetryRow>> next();

  std::uint64_t line() const { return lines_.line(); }  ///< of the row that next() gave last

  /// An error about column `column` (from 1) of the last row.
  Error at_column(std::size_t column, std::string cause, std::string remedy) const;

 private:
  Result<TelemetryRow> parse() const;

  CsvLines lines_;
  std::vector<std::string> fields_;
};

}  // namespace umbra::cli
