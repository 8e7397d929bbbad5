#include "cli/commands/file_forecast.hpp"

#include <algorithm>

#include "base/csv.hpp"
#include "cli/charts.hpp"
#include "cli/output/json.hpp"
#include "cli/whole_file.hpp"

namespace umbra::cli {
namespace {

using forecast::NamedSeries;
using forecast::SeriesFile;

/// The columns' quantiles.
std::vector<double> levels_of(const FileForecastWish& wish) {
  std::vector<double> levels{wish.lower(), wish.upper()};
  levels.insert(levels.end(), wish.quantiles.begin(), wish.quantiles.end());
  return levels;
}

std::string csv_heading(const FileForecastWish& wish) {
  std::string heading = "series,step,mean,lower,upper";
  for (const auto level : wish.quantiles) heading += fmt::format(",q{}", level);
  if (wish.capacity) heading += ",p_exceed";
  return heading + "\n";
}

std::string csv_rows(const FileForecastWish& wish, const std::string& name, const SeriesOutlook& outlook) {
  std::string rows;
  for (std::size_t step = 0; step < outlook.point.size(); ++step) {
    auto line = fmt::format("{},{},{:.6g},{:.6g},{:.6g}", csv_field(name), step + 1, outlook.point[step],
                            outlook.quantile(step, wish.lower()), outlook.quantile(step, wish.upper()));
    for (const auto level : wish.quantiles) line += fmt::format(",{:.6g}", outlook.quantile(step, level));
    if (outlook.p_exceed) line += fmt::format(",{:.4f}", *outlook.p_exceed);
    rows += line + "\n";
  }
  return rows;
}

boost::json::object as_json(const FileForecastWish& wish, const std::vector<std::size_t>& seasons,
                            const SeriesFile& file, const NamedSeries& series, const SeriesOutlook& outlook) {
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
  auto& leaders = out["leaders"].emplace_array();
  for (const auto& [model, share] : outlook.leaders)
    leaders.push_back(boost::json::object{{"model", model}, {"share", share}});
  out["moved_from_prior"] = outlook.moved_from_prior;
  if (outlook.p_exceed) out["p_exceed"] = *outlook.p_exceed;
  out["steps"] = std::move(steps);
  return out;
}

}  // namespace

Outcome forecast_file(const Context& context, const FileForecastWish& wish) {
  const auto input = read_input(context, wish);
  if (!input) return misused(input.error());
  if (!wish.svg.empty())
    if (const auto writable = check_writable(wish.svg); !writable) return misused(writable.error());
  const auto& all = input->file.series;
  auto figure = forecast_figure(wish, *input);
  boost::json::array told;
  std::vector<std::string> notices;
  Progress progress(context.progress, stderr);
  std::string rows;  // nothing is printed before all is known to be well
  for (std::size_t i = 0; i < all.size(); ++i) {
    progress.show(working_on(all, i));
    const auto columns = known_of(wish, *input, all[i], notices);
    if (!columns) return misused(columns.error());
    const auto seasons = seasons_of(wish, input->file, all[i]);
    const bool drawn = !wish.svg.empty() && i < kMostPanels;
    auto levels = levels_of(wish);
    if (drawn) add_band_levels(wish.interval, levels);
    const auto outlook = look_ahead(wish, seasons, all[i], *columns, std::move(levels));
    if (drawn) figure.panels.push_back(forecast_panel(wish, *input, all[i], seasons, outlook));
    if (context.json())
      told.push_back(as_json(wish, seasons, input->file, all[i], outlook));
    else
      rows += csv_rows(wish, all[i].name, outlook);
  }
  progress.clear();
  tell(context, notices);
  if (!wish.svg.empty()) {
    if (const auto written = write_figure(figure, all.size(), wish.svg); !written) return failed(written.error());
    tell(context, {drawn_in_words(figure, wish.svg)});
  }
  print(context.json() ? serialize(boost::json::object{{"forecasts", std::move(told)}}) + "\n"
                       : csv_heading(wish) + rows);
  return ExitCode::kOk;
}

}  // namespace umbra::cli
