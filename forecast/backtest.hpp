/// What a forecast would have been worth: made at places of the past, judged by what came.
#pragma once

#include <functional>
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

/// What was said at one of the places; valid during the call that tells it.
struct BacktestForecast {
  std::size_t place = 0;  ///< of the first step that was forecast
  std::span<const double> point;
  std::span<const std::vector<double>> quantiles;  ///< per step, one for each of backtest_levels()
};
using BacktestWitness = std::function<void(const BacktestForecast&)>;

/// Both ends of the interval and the nine deciles, ascending.
std::vector<double> backtest_levels(const BacktestPlan& plan);

/// @param values NaN where there is a gap
/// @param known a row for each of them, if any
/// @param witness is told each forecast, the oldest first, also those that cannot be judged
BacktestScore backtest(std::span<const double> values, const BacktestPlan& plan, const Known& known = {},
                       const BacktestWitness& witness = {});
BacktestScore backtest(std::span<const double> values, const BacktestPlan& plan, Baseline baseline);

}  // namespace umbra::forecast
