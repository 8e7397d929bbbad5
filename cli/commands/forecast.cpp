// forecast: of series in a file, without a controller; of the fleet, by the controller.
#include <algorithm>
#include <charconv>

#include "base/config.hpp"
#include "cli/charts.hpp"
#include "cli/commands/fleet_forecast.hpp"
#include "cli/output/json.hpp"
#include "cli/series.hpp"
#include "cli/whole_file.hpp"

namespace umbra::cli {
namespace {

using forecast::NamedSeries;
using forecast::SeriesFile;

constexpr Milliseconds kUsualHorizon = std::chrono::hours(2);
constexpr Milliseconds kUsualHistory = std::chrono::hours(12);
constexpr int kHorizonsBack = 6;

struct Wish : SeriesWish {
  std::string svg;                // file; empty for no picture
  std::vector<double> quantiles;  // columns of their own
};

/// The columns' quantiles.
std::vector<double> levels_of(const Wish& wish) {
  std::vector<double> levels{wish.lower(), wish.upper()};
  levels.insert(levels.end(), wish.quantiles.begin(), wish.quantiles.end());
  return levels;
}

std::string quoted(const std::string& name) {
  if (name.find_first_of(",\"\r\n") == std::string::npos) return name;
  std::string out = "\"";
  for (const auto c : name) out += c == '"' ? std::string("\"\"") : std::string(1, c);
  return out + "\"";
}

std::string csv_heading(const Wish& wish) {
  std::string heading = "series,step,mean,lower,upper";
  for (const auto level : wish.quantiles) heading += fmt::format(",q{}", level);
  if (wish.capacity) heading += ",p_exceed";
  return heading + "\n";
}

std::string csv_rows(const Wish& wish, const std::string& name, const SeriesOutlook& outlook) {
  std::string rows;
  for (std::size_t step = 0; step < outlook.point.size(); ++step) {
    auto line = fmt::format("{},{},{:.6g},{:.6g},{:.6g}", quoted(name), step + 1, outlook.point[step],
                            outlook.quantile(step, wish.lower()), outlook.quantile(step, wish.upper()));
    for (const auto level : wish.quantiles) line += fmt::format(",{:.6g}", outlook.quantile(step, level));
    if (outlook.p_exceed) line += fmt::format(",{:.4f}", *outlook.p_exceed);
    rows += line + "\n";
  }
  return rows;
}

boost::json::object as_json(const Wish& wish, const std::vector<std::size_t>& seasons, const SeriesFile& file,
                            const NamedSeries& series, const SeriesOutlook& outlook) {
  boost::json::array steps;
  const auto seen = static_cast<std::int64_t>(series.series.values.size());
  for (std::size_t step = 0; step < outlook.point.size(); ++step) {
    boost::json::object told{
        {"step", step + 1},
        {"at", forecast::written(series.steps.at(seen + static_cast<std::int64_t>(step)), file.kind)},
        {"mean", outlook.point[step]},
        {"lower", outlook.quantile(step, wish.lower())},
        {"upper", outlook.quantile(step, wish.upper())}};
    if (!wish.quantiles.empty()) {
      boost::json::object asked;
      for (const auto level : wish.quantiles) asked[fmt::format("{}", level)] = outlook.quantile(step, level);
      told["quantiles"] = std::move(asked);
    }
    steps.push_back(std::move(told));
  }
  boost::json::object out{{"series", series.name}};
  out["seasons"] = boost::json::array(seasons.begin(), seasons.end());
  if (outlook.p_exceed) out["p_exceed"] = *outlook.p_exceed;
  out["steps"] = std::move(steps);
  return out;
}

Outcome forecast_file(const Context& context, const Wish& wish) {
  const auto input = read_input(context, wish);
  if (!input) return misused(input.error());
  if (!wish.svg.empty())
    if (const auto writable = check_writable(wish.svg); !writable) return misused(writable.error());
  const auto& all = input->file.series;
  auto figure = forecast_figure(wish, *input);
  boost::json::array told;
  Progress progress(context.progress, stderr);
  std::string rows;  // nothing is printed before all is known to be well
  for (std::size_t i = 0; i < all.size(); ++i) {
    progress.show(working_on(all, i));
    const auto columns = known_of(wish, *input, all[i]);
    if (!columns) return misused(columns.error());
    const auto seasons = seasons_of(wish, input->file, all[i]);
    const bool drawn = !wish.svg.empty() && i < kMostPanels;
    auto levels = levels_of(wish);
    if (drawn) add_band_levels(wish, levels);
    const auto outlook = look_ahead(wish, seasons, all[i], *columns, std::move(levels));
    if (drawn) figure.panels.push_back(forecast_panel(wish, *input, all[i], seasons, outlook));
    if (context.json())
      told.push_back(as_json(wish, seasons, input->file, all[i], outlook));
    else
      rows += csv_rows(wish, all[i].name, outlook);
  }
  progress.clear();
  if (!wish.svg.empty())
    if (const auto written = write_figure(figure, all.size(), wish.svg); !written) return failed(written.error());
  print(context.json() ? serialize(boost::json::object{{"forecasts", std::move(told)}}) + "\n"
                       : csv_heading(wish) + rows);
  return ExitCode::kOk;
}

/// What was said of times: steps of a file's series, or durations for the fleet.
struct Ahead {
  std::string horizon, window, history;
};

Result<std::size_t> steps_in(const std::string& option, const std::string& text) {
  std::size_t steps = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), steps);
  if (error == std::errc() && end == text.data() + text.size() && steps >= 1 && steps <= kMostHorizon) return steps;
  return fail({Errc::kInvalid, fmt::format("{} '{}' is no number of steps", option, text),
               fmt::format("of series in a file, give steps: 1 to {}", kMostHorizon)});
}

Result<Milliseconds> time_in(const std::string& option, const std::string& text) {
  const auto time = parse_duration(text);
  if (time && time->count() > 0) return *time;
  return fail({Errc::kInvalid, fmt::format("{} '{}' is no duration", option, text),
               "of the fleet, give one such as 2h or 90min"});
}

Outcome forecast_what_was_asked(const Context& context, Wish wish, FleetForecastWish fleet, const Ahead& ahead) {
  if (fleet.name.empty() == wish.file.empty())
    return misused({Errc::kInvalid, fleet.name.empty() ? "nothing to forecast" : "both a name and a file to forecast",
                    "name a VM, host, account or zone, or give --file F"});
  if (!wish.file.empty()) {
    if (ahead.horizon.empty())
      return misused({Errc::kInvalid, "--horizon is required with --file", "give the steps to look ahead"});
    if (!ahead.window.empty() && !wish.capacity)
      return misused({Errc::kInvalid, "--window requires --capacity", "say what may be exceeded in it"});
    if (!fleet.of.empty() || !ahead.history.empty())
      return misused(
          {Errc::kInvalid, "--of and --history are for the fleet", "leave them out, or name what to forecast"});
    for (auto [option, text, steps] :
         {std::tuple{"--horizon", &ahead.horizon, &wish.horizon}, {"--window", &ahead.window, &wish.window}}) {
      if (text->empty()) continue;
      const auto read = steps_in(option, *text);
      if (!read) return misused(read.error());
      *steps = *read;
    }
    return forecast_file(context, wish);
  }
  if (!wish.seasons.empty() || !wish.calendar.empty() || !wish.regressors.empty())
    return misused(
        {Errc::kInvalid, "--season, --calendar and --regressors are for files", "leave them out, or give --file F"});
  fleet.horizon = kUsualHorizon;
  for (auto [option, text, time] : {std::tuple{"--horizon", &ahead.horizon, &fleet.horizon},
                                    {"--window", &ahead.window, &fleet.window},
                                    {"--history", &ahead.history, &fleet.history}}) {
    if (text->empty()) continue;
    const auto read = time_in(option, *text);
    if (!read) return misused(read.error());
    *time = *read;
  }
  if (fleet.window > fleet.horizon)
    return misused({Errc::kInvalid, fmt::format("--window {} is longer than the horizon", ahead.window),
                    "look ahead at least as far"});
  if (fleet.history.count() == 0) fleet.history = std::max(kUsualHistory, kHorizonsBack * fleet.horizon);
  fleet.interval = wish.interval;
  fleet.quantiles = wish.quantiles;
  fleet.capacity = wish.capacity;
  fleet.svg = wish.svg;
  return forecast_fleet(context, fleet);
}

}  // namespace

void add_forecast_verb(CLI::App& app, Action& action) {
  auto wish = std::make_shared<Wish>();
  auto fleet = std::make_shared<FleetForecastWish>();
  auto ahead = std::make_shared<Ahead>();
  auto& verb = add_verb(app, "forecast",
                        "Forecast the CPU demand of a VM, host, account or zone, or the series of a file:\n"
                        "mean and interval of each step to come. With --file it needs no controller, and writes CSV.\n"
                        "Times in files are ISO 8601, seconds since the Unix epoch, or step numbers.",
                        "umbractl forecast host1 --horizon 2h\n"
                        "  umbractl forecast --file cpu.csv --horizon 48 --season 24 --season 168 --capacity 16");
  verb.add_option("NAME", fleet->name, "VM (or its uuid), host, account or zone");
  verb.add_option("--of", fleet->of, "Which of these NAME is: vm, host, account or zone; where one name has several")
      ->type_name("KIND")
      ->check(CLI::IsMember({"vm", "host", "account", "zone"}));
  verb.add_option("--horizon", ahead->horizon, "How far to look: a duration (2h), or with --file steps")
      ->type_name("TIME|N");
  add_series_options(verb, *wish);
  verb.add_option("--window", ahead->window, "… within a time (or steps, with --file); without, in the whole horizon")
      ->type_name("TIME|N");
  verb.add_option("--quantile", wish->quantiles, "A column of its own for this quantile; may be given several times")
      ->type_name("Q")
      ->check(CLI::Range(0.0001, 0.9999))
      ->allow_extra_args(false);
  add_svg_option(verb, wish->svg, "Draw it as well: a picture of history and forecast, to this file");
  verb.add_option("--history", ahead->history, "Of the past to draw (six times the horizon, at least 12h)")
      ->type_name("TIME");
  verb.callback([&action, wish, fleet, ahead] {
    action = [wish, fleet, ahead](const Context& context) {
      return forecast_what_was_asked(context, *wish, *fleet, *ahead);
    };
  });
}

}  // namespace umbra::cli
