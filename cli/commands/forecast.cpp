// forecast: of series in a file, without a controller; of the fleet, by the controller.
#include <CLI/App.hpp>
#include <algorithm>
#include <charconv>

#include "base/config.hpp"
#include "cli/charts.hpp"
#include "cli/commands/file_forecast.hpp"
#include "cli/commands/fleet_forecast.hpp"

namespace umbra::cli {
namespace {

constexpr Milliseconds kUsualHorizon = std::chrono::hours(2);
constexpr Milliseconds kUsualHistory = std::chrono::hours(12);
constexpr int kHorizonsBack = 6;

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

Outcome forecast_what_was_asked(const Context& context, FileForecastWish wish, FleetForecastWish fleet, bool shares,
                                const Ahead& ahead) {
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
    return shares ? forecast_shares(context, wish) : forecast_file(context, wish);
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
  auto wish = std::make_shared<FileForecastWish>();
  auto fleet = std::make_shared<FleetForecastWish>();
  auto ahead = std::make_shared<Ahead>();
  auto shares = std::make_shared<bool>(false);
  auto& verb = add_verb(app, "forecast",
                        "Forecast the CPU demand of a VM, host, account or zone, or the series of a file:\n"
                        "mean and interval of each step to come. With --file it needs no controller, and writes CSV.\n"
                        "Times in files are ISO 8601, seconds since the Unix epoch, or step numbers.",
                        "umbractl forecast host1 --horizon 2h\n"
                        "  umbractl forecast --file cpu.csv --horizon 48 --season 24 --season 168 --capacity 16");
  verb.add_option("NAME", fleet->name, "VM (or its uuid), host, account or zone");
  add_choice(verb, "--of", "vm|host|account|zone", "Which of these NAME is, where one name has several",
             [fleet](const std::string& kind) { fleet->of = kind; });
  verb.add_option("--horizon", ahead->horizon, "How far to look: a duration (2h), or with --file steps")
      ->type_name("TIME|N");
  add_series_options(verb, *wish);
  verb.add_option("--window", ahead->window, "… within a time (or steps, with --file); without, in the whole horizon")
      ->type_name("TIME|N");
  verb.add_option("--quantile", wish->quantiles, "A column of its own for this quantile; may be given several times")
      ->type_name("Q")
      ->check(CLI::Range(0.0001, 0.9999))
      ->allow_extra_args(false);
  verb.add_flag("--shares", *shares,
                "Take a file's series as demand from client locations: forecast each one's share of the whole");
  add_svg_option(verb, wish->svg, "Draw it as well: a picture of history and forecast, to this file");
  verb.add_option("--history", ahead->history, "Of the past to draw (six times the horizon, at least 12h)")
      ->type_name("TIME");
  verb.callback([&action, wish, fleet, shares, ahead] {
    action = [wish, fleet, shares, ahead](const Context& context) {
      return forecast_what_was_asked(context, *wish, *fleet, *shares, *ahead);
    };
  });
}

}  // namespace umbra::cli
