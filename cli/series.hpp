/// Series in files, for verbs that need no controller.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "cli/command.hpp"
#include "forecast/series_forecaster.hpp"
#include "forecast_io/calendar_file.hpp"
#include "forecast_io/regressors_file.hpp"
#include "forecast_io/series_file.hpp"

namespace umbra::cli {

/// What verbs over a file of series are told.
struct SeriesWish {
  std::string file;
  std::size_t horizon = 0;
  std::vector<std::size_t> seasons;  ///< none: looked for in each series
  double interval = 0.95;
  std::optional<double> capacity;
  std::size_t window = 0;  ///< 0: the whole horizon
  std::string calendar;    ///< file; empty for none
  std::string regressors;  ///< file; empty for none

  std::size_t exceedance_window() const { return window > 0 ? window : horizon; }
  double lower() const { return (1 - interval) / 2; }
  double upper() const { return 1 - lower(); }
};

inline constexpr std::size_t kMostHorizon = 100'000;  ///< steps

/// All but how far to look. @return the option --file
CLI::Option* add_series_options(CLI::App& verb, SeriesWish& wish);
/// --horizon and --window in steps; after the others.
void add_steps_options(CLI::App& verb, SeriesWish& wish);

/// Each once, to standard error, where somebody watches.
void tell(const Context& context, const std::vector<std::string>& notices);

/// All that was asked for, read and checked. Tells its notices.
struct SeriesInput {
  forecast::SeriesFile file;
  std::optional<forecast::Calendar> calendar;
  std::optional<forecast::Regressors> regressors;
};
Result<SeriesInput> read_input(const Context& context, const SeriesWish& wish);

/// The seasons asked for, or the ones found; ascending.
std::vector<std::size_t> seasons_of(const SeriesWish& wish, const forecast::SeriesFile& file,
                                    const forecast::NamedSeries& series);

/// What calendar and regressors say of the steps of a series, and of `horizon` more.
/// @param notices what they do not know of the past is added
Result<forecast::KnownColumns> known_of(const SeriesWish& wish, const SeriesInput& input,
                                        const forecast::NamedSeries& series, std::vector<std::string>& notices);

/// Ascending, each once.
std::vector<double> distinct(std::vector<double> levels);

/// The forecast of one series.
struct SeriesOutlook {
  std::vector<double> levels;                             ///< ascending
  std::vector<double> point;                              ///< per step
  std::vector<std::vector<double>> quantiles;             ///< per step, one for each level
  std::optional<double> p_exceed;                         ///< where a capacity is given
  std::vector<std::pair<std::string, double>> leaders{};  ///< the models that count for most, and their shares
  double moved_from_prior = 0;                            ///< by the data, in the prior's standard deviations

  /// @param level one of `levels`
  double quantile(std::size_t step, double level) const;
};
/// @param levels in (0, 1), in any order
SeriesOutlook look_ahead(const SeriesWish& wish, std::vector<std::size_t> seasons, const forecast::NamedSeries& series,
                         const forecast::KnownColumns& columns, std::vector<double> levels);

/// Which series is being worked on.
ProgressState working_on(const std::vector<forecast::NamedSeries>& all, std::size_t index);

}  // namespace umbra::cli
