/// What a forecast would have been worth: made at places of the past, judged by what came.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "forecast/baselines.hpp"
#include "forecast/models/model.hpp"

namespace umbra::forecast {

struct BacktestPlan {
  std::vector<std::size_t> seasons;  ///< in steps, ascending
  std::size_t horizon = 1;
  std::size_t origins = 1;         ///< places to forecast from: a horizon apart, the last a horizon before the end
  double interval = 0.95;          ///< what intervals should hold
  std::optional<double> capacity;  ///< to judge the probability of exceeding it …
  std::size_t window = 1;          ///< … within so many steps
};

/// Means over all origins and steps at which a value was seen. The units of MASE and MSIS are those of each origin's
/// past.
struct BacktestScore {
  std::size_t origins = 0;  ///< that there was enough past for: two main seasons, and a change
  double smape = 0, mase = 0, msis = 0;
  double coverage = 0;
  double weighted_quantile_loss = 0;  ///< over the levels 0.1, 0.2 … 0.9, divided by the mean size of what came
  std::optional<double> brier;        ///< where a capacity is given
};

/// @param values NaN where there is a gap
/// @param known a row for each of them, if any
BacktestScore backtest(std::span<const double> values, const BacktestPlan& plan, const Known& known = {});
BacktestScore backtest(std::span<const double> values, const BacktestPlan& plan, Baseline baseline);

}  // namespace umbra::forecast
