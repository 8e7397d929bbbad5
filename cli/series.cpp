#include "cli/series.hpp"
#include <CLI/App.hpp>

#include <sys/stat.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <fstream>
#include <set>

#include "cli/output/table.hpp"
#include "forecast/seasons.hpp"

namespace umbra::cli {
namespace {

constexpr std::size_t kLongestSeason = 1'000'000;
constexpr std::size_t kLeadersTold = 3;

Result<std::ifstream> open(const std::string& name, const char* remedy) {
  errno = 0;
  std::ifstream in(name, std::ios::binary);
  struct stat status {};
  const bool directory = ::stat(name.c_str(), &status) == 0 && S_ISDIR(status.st_mode);
  if (!in || directory)
    return fail({directory ? Errc::kInvalid : Errc::kNotFound,
                 fmt::format("cannot read {}: {}", name, std::strerror(directory ? EISDIR : errno)), remedy});
  return in;
}

/// From the first step of any series to the end of the last one's horizon.
forecast::CalendarWindow window_of(const forecast::SeriesFile& file, std::size_t horizon) {
  forecast::CalendarWindow window;
  for (const auto& series : file.series) {
    const auto end = series.steps.at(static_cast<std::int64_t>(series.series.values.size() + horizon));
    const bool first = &series == &file.series.front();
    window.from = first ? series.steps.start() : std::min(window.from, series.steps.start());
    window.to = first ? end : std::max(window.to, end);
  }
  return window;
}

void append(forecast::KnownColumns& columns, const forecast::KnownColumns& more, std::size_t steps) {
  forecast::KnownColumns both{columns.names, {}};
  both.names.insert(both.names.end(), more.names.begin(), more.names.end());
  for (std::size_t step = 0; step < steps; ++step)
    for (const auto* part : std::array<const forecast::KnownColumns*, 2>{&columns, &more}) {
      const auto row = part->known().row(step);
      both.rows.insert(both.rows.end(), row.begin(), row.end());
    }
  columns = std::move(both);
}

}  // namespace

CLI::Option* add_series_options(CLI::App& verb, SeriesWish& wish) {
  auto* file =
      verb.add_option("--file", wish.file, "CSV of series,timestamp,value, or timestamp,value")->type_name("F");
  verb.add_option("--season", wish.seasons,
                  "A period in steps; may be given several times. Without, they are looked for")
      ->type_name("P")
      ->check(CLI::Range(std::size_t{2}, kLongestSeason))
      ->allow_extra_args(false);
  verb.add_option("--interval", wish.interval, "What lies between lower and upper, as a share of cases (0.95)")
      ->type_name("SHARE")
      ->check(CLI::Range(0.01, 0.999));
  verb.add_option("--capacity", wish.capacity, "Tell the probability that this is exceeded …")->type_name("X");
  verb.add_option("--calendar", wish.calendar, "Events that matter: iCalendar, or CSV of name,start,end")
      ->type_name("F");
  verb.add_option("--regressors", wish.regressors,
                  "CSV of timestamp and any columns that are known beforehand, to the end of the horizon")
      ->type_name("F");
  return file;
}

void add_steps_options(CLI::App& verb, SeriesWish& wish) {
  verb.add_option("--horizon", wish.horizon, "Steps to look ahead")
      ->type_name("N")
      ->required()
      ->check(CLI::Range(std::size_t{1}, kMostHorizon));
  verb.add_option("--window", wish.window, "… in any of so many steps; without, in the whole horizon")
      ->type_name("N")
      ->check(CLI::Range(std::size_t{1}, kMostHorizon))
      ->needs("--capacity");
}

Result<SeriesInput> read_input(const Context& context, const SeriesWish& wish) {
  if (wish.window > wish.horizon)
    return fail({Errc::kInvalid, fmt::format("--window {} is longer than --horizon {}", wish.window, wish.horizon),
                 "look ahead at least as far as the window"});
  UMBRA_TRY(auto in, open(wish.file, "give the path of a CSV file of series,timestamp,value"));
  SeriesInput input;
  UMBRA_TRY(input.file, forecast::read_series(in, wish.file));
  for (const auto& series : input.file.series) {
    const auto& values = series.series.values;
    if (std::none_of(values.begin(), values.end(), [](double value) { return std::isfinite(value); }))
      return fail({Errc::kInvalid, fmt::format("{}: series '{}' has no value", wish.file, printable(series.name)),
                   "leave it out, or give it one"});
  }
  auto notices = input.file.notices;
  const auto note = [&](const std::vector<std::string>& more) {
    notices.insert(notices.end(), more.begin(), more.end());
  };
  if (!wish.calendar.empty()) {
    UMBRA_TRY(auto calendar, open(wish.calendar, "give the path of an iCalendar file, or of a CSV of name,start,end"));
    UMBRA_TRY(input.calendar, forecast::read_calendar(calendar, wish.calendar, window_of(input.file, wish.horizon)));
    note(input.calendar->notices);
  }
  if (!wish.regressors.empty()) {
    UMBRA_TRY(auto regressors, open(wish.regressors, "give the path of a CSV file of timestamp and columns"));
    UMBRA_TRY(input.regressors, forecast::read_regressors(regressors, wish.regressors));
    note(input.regressors->notices);
  }
  tell(context, notices);
  return input;
}

void tell(const Context& context, const std::vector<std::string>& notices) {
  if (context.progress == Progress::Mode::kSilent) return;
  std::set<std::string_view> told;
  for (const auto& notice : notices)
    if (told.insert(notice).second) fmt::print(stderr, "umbractl: {}\n", printable(notice));
}

std::vector<std::size_t> seasons_of(const SeriesWish& wish, const forecast::SeriesFile& file,
                                    const forecast::NamedSeries& series) {
  auto seasons = wish.seasons;
  if (seasons.empty()) {
    const bool timed = file.kind != forecast::TimeKind::kSteps;
    seasons = forecast::find_seasons(series.series.values, timed ? series.series.step : Milliseconds(0));
  }
  std::sort(seasons.begin(), seasons.end());
  seasons.erase(std::unique(seasons.begin(), seasons.end()), seasons.end());
  return seasons;
}

Result<forecast::KnownColumns> known_of(const SeriesWish& wish, const SeriesInput& input,
                                        const forecast::NamedSeries& series, std::vector<std::string>& notices) {
  const auto past = series.series.values.size();
  const auto kind = input.file.kind;
  forecast::KnownColumns columns;
  if (input.calendar) {
    UMBRA_TRY(columns, forecast::event_columns(*input.calendar, kind, series.steps, past + wish.horizon));
  }
  if (input.regressors) {
    UMBRA_TRY(auto more,
              forecast::regressor_columns(*input.regressors, kind, series.steps, past, wish.horizon, notices));
    append(columns, more, past + wish.horizon);
  }
  return columns;
}

std::vector<double> distinct(std::vector<double> levels) {
  std::sort(levels.begin(), levels.end());
  levels.erase(std::unique(levels.begin(), levels.end()), levels.end());
  return levels;
}

double SeriesOutlook::quantile(std::size_t step, double level) const {
  const auto place = std::lower_bound(levels.begin(), levels.end(), level) - levels.begin();
  return quantiles[step][static_cast<std::size_t>(place)];
}

SeriesOutlook look_ahead(const SeriesWish& wish, std::vector<std::size_t> seasons, const forecast::NamedSeries& series,
                         const forecast::KnownColumns& columns, std::vector<double> levels) {
  levels = distinct(std::move(levels));
  const auto known = columns.known();
  const auto& values = series.series.values;
  forecast::SeriesForecaster forecaster({std::move(seasons), wish.horizon, known.width});
  for (std::size_t step = 0; step < values.size(); ++step) forecaster.observe(values[step], known.row(step));
  forecaster.refit();
  const auto paths = wish.capacity ? forecast::SeriesForecaster::Paths::kYes : forecast::SeriesForecaster::Paths::kNo;
  auto outlook = forecaster.look(wish.horizon, levels, paths, known.from(values.size(), wish.horizon));
  SeriesOutlook out{std::move(levels), std::move(outlook.point), std::move(outlook.quantiles), {}};
  out.leaders = forecaster.leaders(kLeadersTold);
  out.moved_from_prior = forecaster.moved_from_prior();
  if (wish.capacity) out.p_exceed = forecast::exceedance(outlook.paths, *wish.capacity, wish.exceedance_window());
  return out;
}

ProgressState working_on(const std::vector<forecast::NamedSeries>& all, std::size_t index) {
  return {printable(all[index].name), fmt::format("{} of {}", index + 1, all.size()), {}, {}, {}, {}, 0};
}

}  // namespace umbra::cli
