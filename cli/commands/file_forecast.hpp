/// Forecasts of the series of a file, without a controller.
#pragma once

#include "cli/series.hpp"

namespace umbra::cli {

struct FileForecastWish : SeriesWish {
  std::string svg;                ///< file; empty for no picture
  std::vector<double> quantiles;  ///< columns of their own
};

Outcome forecast_file(const Context& context, const FileForecastWish& wish);

/// Of series that are client locations' demand: each one's share of the whole, by a Markov chain.
Outcome forecast_shares(const Context& context, const FileForecastWish& wish);

}  // namespace umbra::cli
