/// The time column of a CSV file.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/clock.hpp"
#include "base/csv.hpp"
#include "base/result.hpp"

namespace umbra::forecast {

/// How a file writes its times; a file keeps to one kind.
enum class TimeKind {
  kIso,    ///< ISO 8601; no zone means UTC
  kEpoch,  ///< seconds since the Unix epoch, possibly with a fraction
  kSteps,  ///< the number of the step: whole numbers below kLeastEpoch
};

/// Reads the times of one file, row by row, and finds out their kind.
///
/// Whether a number counts seconds or steps only shows in the file as a whole: a fraction or a number from kLeastEpoch
/// on makes all of them seconds.
class StampReader {
 public:
  static constexpr double kLeastEpoch = 1e8;  ///< March 1973; smaller whole numbers are steps

  /// @return milliseconds since the Unix epoch, or a step number × 1000 (see scale())
  /// @error kInvalid "file:line: cause" of the line that `lines` read last
  Result<std::int64_t> read(const CsvLines& lines, std::string_view text);

  /// After the last row.
  /// @error kInvalid the numbers are compact dates (20260501), which are neither seconds nor steps
  Result<TimeKind> kind(const std::string& file) const;

  /// What read()'s values are to be divided by.
  static std::int64_t scale(TimeKind kind) { return kind == TimeKind::kSteps ? 1000 : 1; }

 private:
  Result<std::int64_t> number(const CsvLines& lines, std::string_view text, double value);

  std::uint64_t rows_ = 0;
  std::uint64_t iso_line_ = 0, large_line_ = 0, small_line_ = 0;  // the first of each; 0: none
  bool fraction_ = false, compact_dates_ = true;
};

/// A time as the file would write it: "2026-05-01T12:00:00Z" or the step's number.
std::string written(UnixMillis at, TimeKind kind);

/// Text of a file for a message: control characters replaced, cut where it gets long.
std::string excerpt(std::string_view text);

}  // namespace umbra::forecast
