/// The simple forecasts that a better one has to beat.
#pragma once

#include <span>
#include <string_view>
#include <vector>

namespace umbra::forecast {

enum class Baseline { kNaive, kSeasonalNaive, kSimpleSmoothing, kHoltWinters };

std::string_view to_string(Baseline baseline);

struct BaselineForecast {
  std::vector<double> point;                   ///< per step
  std::vector<std::vector<double>> quantiles;  ///< per step, one for each level
};

/// - naive: the last value;
/// - seasonal naive: what was a season ago;
/// - simple smoothing: an exponentially weighted mean, its rate by the least square error of one step;
/// - Holt-Winters: additive, with trend and season, all three rates likewise (Winters 1960).
///
/// Quantiles are the point forecast plus those of the errors that the same rule made so many steps ahead at each place
/// of the past (split conformal without a split: the rules have next to nothing to overfit with). Nothing below zero
/// where nothing was.
/// @param past finite, at least one value
/// @param season in steps; a past shorter than two of them, or 0, means none
/// @param levels ascending, in (0, 1)
BaselineForecast baseline_forecast(Baseline baseline, std::span<const double> past, std::size_t season,
                                   std::size_t steps, std::span<const double> levels);

}  // namespace umbra::forecast
