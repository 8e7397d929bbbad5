/// Forecasts of series in files as figures (output/fan_chart.hpp).
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "cli/output/fan_chart.hpp"
#include "cli/series.hpp"

namespace umbra::cli {

void add_svg_option(CLI::App& verb, std::string& svg, const char* what);

/// What the bands of a picture hold: the interval that was asked for, and 80 % and 50 % where they are narrower.
std::vector<double> band_shares(double interval);
/// The quantile at the lower edge of a band; the upper one's is 1 less this.
inline double lower_of(double share) {
  return (1 - share) / 2;
}

/// Adds the quantiles that the bands of a picture need.
void add_band_levels(double interval, std::vector<double>& levels);
/// @param quantile of a step and a level
std::vector<Fan::Band> bands_of(double interval, std::size_t steps,
                                const std::function<double(std::size_t, double)>& quantile);

/// The figure without its panels.
FanFigure forecast_figure(const SeriesWish& wish, const SeriesInput& input);

/// @param outlook with the levels of add_band_levels()
/// @param history steps to show; 0: four horizons or three main seasons, whichever is more
FanPanel forecast_panel(const SeriesWish& wish, const SeriesInput& input, const forecast::NamedSeries& series,
                        const std::vector<std::size_t>& seasons, const SeriesOutlook& outlook, std::size_t history = 0);

/// A forecast that was made at a place of the past.
struct PastForecast {
  std::size_t place = 0;  ///< of its first step
  std::vector<double> point;
  std::vector<std::vector<double>> quantiles;  ///< per step, one for each of the levels
};
inline constexpr std::size_t kMostPastForecasts = 7;  ///< in a picture: of a week, if they are made daily

/// What was forecast, and what came. @param levels ascending, the same from both ends @param told the oldest first
FanPanel backtest_panel(const SeriesWish& wish, const SeriesInput& input, const forecast::NamedSeries& series,
                        const std::vector<std::size_t>& seasons, const std::vector<double>& levels,
                        const std::vector<PastForecast>& told);

/// "1 d ahead (288 steps of 5 min)"
std::string span_ahead(const SeriesWish& wish, const SeriesInput& input, const forecast::NamedSeries& series);

/// Draws and writes it. @param all series that there are @error as write_whole_file()
Result<void> write_figure(FanFigure& figure, std::size_t all, const std::string& svg);
/// "cpu.svg: the first 12 of 30 series", of a figure that was written.
std::string drawn_in_words(const FanFigure& figure, const std::string& svg);

}  // namespace umbra::cli
