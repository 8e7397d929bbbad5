#include "cli/charts.hpp"

#include <CLI/App.hpp>
#include <algorithm>
#include <cmath>
#include <filesystem>
#include <limits>

#include "cli/output/words.hpp"
#include "cli/whole_file.hpp"

namespace umbra::cli {
namespace {

using forecast::NamedSeries;

/// "2026-05-01 12:00 UTC", or a step's number.
std::string time_text(UnixMillis time, forecast::TimeKind kind) {
  if (kind == forecast::TimeKind::kSteps) return forecast::written(time, kind);
  auto text = forecast::written(time, forecast::TimeKind::kIso);
  if (const auto parted = text.find('T'); parted != std::string::npos) text[parted] = ' ';
  if (text.ends_with('Z')) text.pop_back();
  if (text.ends_with(":00")) text.resize(text.size() - 3);
  return text + " UTC";
}

UnixMillis at(const NamedSeries& series, std::size_t step) {
  return series.steps.at(static_cast<std::int64_t>(step));
}

std::vector<ChartPoint> points_of(const NamedSeries& series, std::size_t begin, std::size_t end) {
  std::vector<ChartPoint> points;
  for (auto step = begin; step < end; ++step) points.push_back({at(series, step), series.series.values[step]});
  return points;
}

std::size_t usual_history(const SeriesWish& wish, const std::vector<std::size_t>& seasons) {
  const auto season = seasons.empty() ? 0 : seasons.front();
  return std::max(4 * wish.horizon, 3 * season);
}

/// The last value before a step, if there was one right before it.
std::optional<ChartPoint> value_before(const NamedSeries& series, std::size_t step) {
  if (step == 0 || !std::isfinite(series.series.values[step - 1])) return std::nullopt;
  return ChartPoint{at(series, step - 1), series.series.values[step - 1]};
}

FanPanel panel_of(const SeriesWish& wish, const SeriesInput& input, const NamedSeries& series, std::size_t begin,
                  std::size_t end) {
  FanPanel panel;
  panel.title = series.name;
  panel.history = points_of(series, begin, end);
  if (wish.capacity) panel.capacity = ChartCapacity{*wish.capacity, {}, {}};
  if (input.calendar)
    for (const auto& event : input.calendar->events) panel.events.push_back({event.start, event.end, event.name});
  return panel;
}

}  // namespace

std::vector<double> band_shares(double interval) {
  constexpr double kDistinct = 0.04;  // bands closer than this look like one
  std::vector<double> shares{interval};
  for (const auto share : {0.8, 0.5})
    if (share < interval - kDistinct) shares.push_back(share);
  return shares;
}

void add_svg_option(CLI::App& verb, std::string& svg, const char* what) {
  verb.add_option("--svg", svg, what)->type_name("FILE");
}

void add_band_levels(double interval, std::vector<double>& levels) {
  for (const auto share : band_shares(interval)) {
    levels.push_back(lower_of(share));
    levels.push_back(1 - lower_of(share));
  }
}

std::vector<Fan::Band> bands_of(double interval, std::size_t steps,
                                const std::function<double(std::size_t, double)>& quantile) {
  std::vector<Fan::Band> bands;
  for (const auto share : band_shares(interval)) {
    auto& band = bands.emplace_back(Fan::Band{share, {}, {}});
    for (std::size_t step = 0; step < steps; ++step) {
      band.lower.push_back(quantile(step, lower_of(share)));
      band.upper.push_back(quantile(step, 1 - lower_of(share)));
    }
  }
  return bands;
}

std::string span_ahead(const SeriesWish& wish, const SeriesInput& input, const NamedSeries& series) {
  const auto steps = fmt::format("{} step{}", wish.horizon, wish.horizon == 1 ? "" : "s");
  if (input.file.kind == forecast::TimeKind::kSteps) return steps + " ahead";
  if (const auto months = series.steps.months(); months > 0)
    return fmt::format("{} months ahead", wish.horizon * static_cast<std::size_t>(months));
  const auto length = static_cast<double>(series.steps.length().count());
  return fmt::format("{} ahead ({} of {})", span(length * static_cast<double>(wish.horizon)), steps, span(length));
}

FanFigure forecast_figure(const SeriesWish& wish, const SeriesInput& input) {
  FanFigure figure;
  figure.time = input.file.kind == forecast::TimeKind::kSteps ? ChartTime::kSteps : ChartTime::kUtc;
  const auto& all = input.file.series;
  const auto& first = all.front();
  figure.title = all.size() == 1 && first.name != forecast::kOnlySeries
                     ? first.name
                     : std::filesystem::path(wish.file).stem().string();
  figure.subtitle = "Forecast " + span_ahead(wish, input, first);
  if (all.size() == 1) {
    const bool steps = figure.time == ChartTime::kSteps;
    figure.subtitle += steps ? " from step " : " from ";
    figure.subtitle += time_text(at(first, first.series.values.size()), input.file.kind);
  }
  return figure;
}

FanPanel forecast_panel(const SeriesWish& wish, const SeriesInput& input, const NamedSeries& series,
                        const std::vector<std::size_t>& seasons, const SeriesOutlook& outlook, std::size_t history) {
  const auto past = series.series.values.size();
  const auto shown = std::min(past, history > 0 ? history : usual_history(wish, seasons));
  auto panel = panel_of(wish, input, series, past - shown, past);
  Fan fan;
  fan.label = "now";
  fan.from = value_before(series, past);
  for (std::size_t step = 0; step < wish.horizon; ++step)
    fan.steps.push_back({at(series, past + step), outlook.point[step]});
  fan.bands = bands_of(wish.interval, wish.horizon,
                       [&](std::size_t step, double level) { return outlook.quantile(step, level); });
  panel.fans.push_back(std::move(fan));
  if (panel.capacity) {
    panel.capacity->p_exceeded = outlook.p_exceed;
    if (wish.exceedance_window() < wish.horizon)
      panel.capacity->within = fmt::format("in {} steps", wish.exceedance_window());
  }
  return panel;
}

FanPanel backtest_panel(const SeriesWish& wish, const SeriesInput& input, const NamedSeries& series,
                        const std::vector<std::size_t>& seasons, const std::vector<double>& levels,
                        const std::vector<PastForecast>& told) {
  const auto all = series.series.values.size();
  const auto first = told.empty() ? all : told.front().place;
  const auto usual = usual_history(wish, seasons);
  const auto covered = all - first;
  const auto least = std::max(wish.horizon, seasons.empty() ? 0 : seasons.front());  // before the first forecast
  const auto shown = std::min(first, std::max(least, usual > covered ? usual - covered : 0));
  auto panel = panel_of(wish, input, series, first - shown, first);
  panel.came = points_of(series, first > 0 ? first - 1 : 0, all);  // joined to the history
  for (const auto& one : told) {
    Fan fan;
    fan.from = value_before(series, one.place);
    for (std::size_t step = 0; step < one.point.size(); ++step)
      fan.steps.push_back({at(series, one.place + step), one.point[step]});
    for (std::size_t low = 0; low < levels.size() / 2; ++low) {
      const auto high = levels.size() - 1 - low;
      const auto share = levels[high] - levels[low];
      const bool known = std::abs(share - 0.8) < 1e-6 || std::abs(share - 0.4) < 1e-6;
      if (low > 0 && (!known || share > fan.bands.back().share - 1e-6)) continue;
      auto& band = fan.bands.emplace_back(Fan::Band{share, {}, {}});
      for (const auto& quantiles : one.quantiles) {
        band.lower.push_back(quantiles[low]);
        band.upper.push_back(quantiles[high]);
      }
    }
    panel.fans.push_back(std::move(fan));
  }
  return panel;
}

Result<void> write_figure(FanFigure& figure, std::size_t all, const std::string& svg) {
  figure.left_out = all - figure.panels.size();
  return write_whole_file(svg, fan_chart(figure));
}

std::string drawn_in_words(const FanFigure& figure, const std::string& svg) {
  const auto drawn = figure.panels.size();
  return figure.left_out > 0 ? fmt::format("{}: the first {} of {} series", svg, drawn, drawn + figure.left_out)
                             : fmt::format("{}: {} series", svg, drawn);
}

}  // namespace umbra::cli
