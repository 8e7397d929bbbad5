/// Series from CSV files: what `umbractl forecast`, `backtest` and `plot` work on.
#pragma once

#include <iosfwd>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "forecast/series.hpp"
#include "forecast_io/stamps.hpp"
#include "forecast_io/steps.hpp"

namespace umbra::forecast {

/// One series of a file, made even.
struct NamedSeries {
  std::string name;
  /// Times of kind kSteps are step numbers in place of milliseconds. Months count with their mean length; `steps` has
  /// their true begins.
  Series series;
  Steps steps;
};

struct SeriesFile {
  TimeKind kind = TimeKind::kIso;
  std::vector<NamedSeries> series;   ///< in the order in which the file first names them
  std::vector<std::string> notices;  ///< what was put right or left out, "file:line: …", for people
};

inline constexpr std::string_view kOnlySeries = "series";  ///< the name where the file has no such column
/// Steps without a row, in all series of a file together: more are a wrong time and not a gap.
inline constexpr std::uint64_t kMostGaps = 5'000'000;

/// Reads `series,timestamp,value` or `timestamp,value`; the heading gives the columns' order. Rows may come in any
/// order. An empty value is a gap. Memory grows with the rows, by 24 bytes each and 8 for each step.
///
/// A series' step is the most frequent distance of its rows, or calendar months where they keep to one day of the
/// month. Of rows with the same time the last counts; of several rows within a step, their mean.
/// @param in outlives the call
/// @param name of the file, for messages
/// @error kInvalid "name:line: cause", with the remedy; kUnavailable when reading fails
Result<SeriesFile> read_series(std::istream& in, const std::string& name);

}  // namespace umbra::forecast
