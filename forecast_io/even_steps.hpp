/// Rows at any times made into evenly spaced values.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/result.hpp"
#include "forecast_io/stamps.hpp"
#include "forecast_io/steps.hpp"

namespace umbra::forecast {

/// One row of a series.
struct Row {
  std::int64_t at = 0;  ///< as StampReader gives it, scaled
  double value = 0;     ///< NaN: an empty one
  std::uint32_t line = 0;
};

struct Disorder {
  std::uint64_t rows = 0;  ///< that it is about
  std::uint64_t line = 0;  ///< of the first of them
};
/// Sorts by time. @return rows that came later than one that belongs after them
Disorder sort_rows(std::vector<Row>& rows);

/// Keeps the last of the rows of each time. @param rows sorted @return rows whose time another had before
Disorder drop_repeats(std::vector<Row>& rows);

/// Steps on which most of the rows begin, the first row in step 0. As long as the most frequent distance between rows;
/// where few distances are alike (a sampler that drifts), as their median.
/// @param rows sorted, each time once
/// @return nothing for less than two rows
std::optional<Steps> find_steps(std::span<const Row> rows, TimeKind kind);

/// Steps of a known length for a series of one row, which does not tell.
Steps steps_from(UnixMillis start, const Steps& like);

/// The step that a row counts for: the one it is in, or the next one if it is early by less than a tenth of a step,
/// as the looks of a busy sampler and days of 23 hours are.
std::int64_t step_of(const Steps& steps, UnixMillis at);

}  // namespace umbra::forecast
