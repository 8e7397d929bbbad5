// forecast: of series in a file, without a controller.
#include <algorithm>

#include "cli/output/json.hpp"
#include "cli/series.hpp"
#include "forecast/series_forecaster.hpp"

namespace umbra::cli {
namespace {

using forecast::NamedSeries;
using forecast::SeriesFile;

struct Wish : SeriesWish {
  std::vector<double> quantiles;  // columns of their own
};

/// All quantiles that are needed, ascending.
std::vector<double> levels_of(const Wish& wish) {
  std::vector<double> levels{wish.lower(), wish.upper()};
  levels.insert(levels.end(), wish.quantiles.begin(), wish.quantiles.end());
  std::sort(levels.begin(), levels.end());
  levels.erase(std::unique(levels.begin(), levels.end()), levels.end());
  return levels;
}

std::string quoted(const std::string& name) {
  if (name.find_first_of(",\"\r\n") == std::string::npos) return name;
  std::string out = "\"";
  for (const auto c : name) out += c == '"' ? std::string("\"\"") : std::string(1, c);
  return out + "\"";
}

/// One series' future, in the terms of the output.
struct Future {
  struct Step {
    double mean = 0, lower = 0, upper = 0;
    std::vector<double> quantiles;  // as asked for
  };
  std::vector<Step> steps;
  std::optional<double> p_exceed;
};

Future future_of(const Wish& wish, std::vector<std::size_t> seasons, const NamedSeries& series,
                 const forecast::KnownColumns& columns) {
  const auto known = columns.known();
  const auto& values = series.series.values;
  forecast::SeriesForecaster forecaster({std::move(seasons), wish.horizon, known.width});
  for (std::size_t step = 0; step < values.size(); ++step) forecaster.observe(values[step], known.row(step));
  forecaster.refit();
  const auto paths = wish.capacity ? forecast::SeriesForecaster::Paths::kYes : forecast::SeriesForecaster::Paths::kNo;
  const auto levels = levels_of(wish);
  const auto outlook = forecaster.look(wish.horizon, levels, paths, known.from(values.size(), wish.horizon));
  Future future;
  for (std::size_t step = 0; step < wish.horizon; ++step) {
    const auto at = [&](double level) {
      const auto place = std::lower_bound(levels.begin(), levels.end(), level) - levels.begin();
      return outlook.quantiles[step][static_cast<std::size_t>(place)];
    };
    auto& one = future.steps.emplace_back(Future::Step{outlook.point[step], at(wish.lower()), at(wish.upper()), {}});
    for (const auto level : wish.quantiles) one.quantiles.push_back(at(level));
  }
  if (wish.capacity) future.p_exceed = forecast::exceedance(outlook.paths, *wish.capacity, wish.exceedance_window());
  return future;
}

std::string csv_heading(const Wish& wish) {
  std::string heading = "series,step,mean,lower,upper";
  for (const auto level : wish.quantiles) heading += fmt::format(",q{}", level);
  if (wish.capacity) heading += ",p_exceed";
  return heading + "\n";
}

std::string csv_rows(const std::string& name, const Future& future) {
  std::string rows;
  for (std::size_t step = 0; step < future.steps.size(); ++step) {
    const auto& one = future.steps[step];
    auto line = fmt::format("{},{},{:.6g},{:.6g},{:.6g}", quoted(name), step + 1, one.mean, one.lower, one.upper);
    for (const auto quantile : one.quantiles) line += fmt::format(",{:.6g}", quantile);
    if (future.p_exceed) line += fmt::format(",{:.4f}", *future.p_exceed);
    rows += line + "\n";
  }
  return rows;
}

boost::json::object as_json(const Wish& wish, const std::vector<std::size_t>& seasons, const SeriesFile& file,
                            const NamedSeries& series, const Future& future) {
  boost::json::array steps;
  const auto seen = static_cast<std::int64_t>(series.series.values.size());
  for (std::size_t step = 0; step < future.steps.size(); ++step) {
    const auto& one = future.steps[step];
    boost::json::object told{
        {"step", step + 1},
        {"at", forecast::written(series.steps.at(seen + static_cast<std::int64_t>(step)), file.kind)},
        {"mean", one.mean},
        {"lower", one.lower},
        {"upper", one.upper}};
    if (!wish.quantiles.empty()) {
      boost::json::object asked;
      for (std::size_t i = 0; i < wish.quantiles.size(); ++i)
        asked[fmt::format("{}", wish.quantiles[i])] = one.quantiles[i];
      told["quantiles"] = std::move(asked);
    }
    steps.push_back(std::move(told));
  }
  boost::json::object out{{"series", series.name}};
  out["seasons"] = boost::json::array(seasons.begin(), seasons.end());
  if (future.p_exceed) out["p_exceed"] = *future.p_exceed;
  out["steps"] = std::move(steps);
  return out;
}

Outcome forecast_file(const Context& context, const Wish& wish) {
  const auto input = read_input(context, wish);
  if (!input) return misused(input.error());
  const auto& all = input->file.series;
  boost::json::array told;
  Progress progress(context.progress, stderr);
  std::string rows;  // nothing is printed before all is known to be well
  for (std::size_t i = 0; i < all.size(); ++i) {
    progress.show(working_on(all, i));
    const auto columns = known_of(wish, *input, all[i]);
    if (!columns) return misused(columns.error());
    const auto seasons = seasons_of(wish, input->file, all[i]);
    const auto future = future_of(wish, seasons, all[i], *columns);
    if (context.json())
      told.push_back(as_json(wish, seasons, input->file, all[i], future));
    else
      rows += csv_rows(all[i].name, future);
  }
  progress.clear();
  print(context.json() ? serialize(boost::json::object{{"forecasts", std::move(told)}}) + "\n"
                       : csv_heading(wish) + rows);
  return ExitCode::kOk;
}

}  // namespace

void add_forecast_verb(CLI::App& app, Action& action) {
  auto wish = std::make_shared<Wish>();
  auto& verb = add_verb(app, "forecast",
                        "Forecast the series of a file: mean and interval of each step to come, as CSV.\n"
                        "Needs no controller. Times are ISO 8601, seconds since the Unix epoch, or step numbers.",
                        "umbractl forecast --file cpu.csv --horizon 48 --season 24 --season 168 --capacity 16");
  add_series_options(verb, *wish);
  verb.add_option("--quantile", wish->quantiles, "A column of its own for this quantile; may be given several times")
      ->type_name("Q")
      ->check(CLI::Range(0.0001, 0.9999))
      ->allow_extra_args(false);
  verb.callback([&action, wish] { action = [wish](const Context& context) { return forecast_file(context, *wish); }; });
}

}  // namespace umbra::cli
