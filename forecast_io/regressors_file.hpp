/// Quantities that are known beforehand (prices, temperatures, planned jobs), as columns for the models.
#pragma once

#include <iosfwd>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "forecast_io/calendar_file.hpp"
#include "forecast_io/stamps.hpp"
#include "forecast_io/steps.hpp"

namespace umbra::forecast {

/// The content of a file; a row's values hold from its time to the next row's.
struct Regressors {
  std::string file;  ///< for messages
  TimeKind kind = TimeKind::kIso;
  std::vector<std::string> names;
  std::vector<std::int64_t> times;   ///< rising; step numbers for kSteps
  std::int64_t end = 0;              ///< the last row holds as long as the median of the others
  std::vector<double> values;        ///< row by row; NaN: not known
  std::vector<std::string> notices;  ///< what was put right, for people
};

inline constexpr std::size_t kMostRegressors = 32;  ///< columns in a file

/// Reads `timestamp,<column>…`; the columns may be in any order. Rows may be in any order, and the last of a time
/// counts.
/// @param in outlives the call
/// @param name of the file, for messages
/// @error kInvalid "name:line: cause", with the remedy; kUnavailable when reading fails
Result<Regressors> read_regressors(std::istream& in, const std::string& name);

/// The mean of each column over each of the steps 0 … past + horizon - 1, centred at the column's median, and divided
/// so that 19 of 20 steps lie within -1 … 1; none is beyond ± kFarthest. Steps of the past that the file does not know
/// are 0.
/// @param notices what is missing of the past is added
/// @error kInvalid a step to come is missing, nothing of the past is known, or one has times and the other step numbers
Result<KnownColumns> regressor_columns(const Regressors& regressors, TimeKind kind, const Steps& steps,
                                       std::size_t past, std::size_t horizon, std::vector<std::string>& notices);

inline constexpr double kFarthest = 4;

}  // namespace umbra::forecast
