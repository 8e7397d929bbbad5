// backtest: forecasts of series in a file, judged by what came.
#include <CLI/App.hpp>
#include <algorithm>
#include <chrono>

#include "cli/charts.hpp"
#include "cli/output/json.hpp"
#include "cli/output/table.hpp"
#include "cli/series.hpp"
#include "cli/whole_file.hpp"
#include "forecast/backtest.hpp"
#include "forecast/statistics.hpp"

namespace umbra::cli {
namespace {

using forecast::NamedSeries;

struct Wish : SeriesWish {
  std::string svg;  // file; empty for no picture
  std::size_t origins = 10;
};

struct Verdict {
  std::string method;
  forecast::BacktestScore score;
  double seconds = 0;
};

forecast::BacktestPlan plan_of(const Wish& wish, const std::vector<std::size_t>& seasons) {
  return {seasons, wish.horizon, wish.origins, wish.interval, wish.capacity, wish.exceedance_window()};
}

/// @param told the last forecasts of Umbra, for a picture; may be null
std::vector<Verdict> judge(const forecast::BacktestPlan& plan, const NamedSeries& series,
                           const forecast::KnownColumns& columns, std::vector<PastForecast>* told) {
  std::vector<Verdict> verdicts;
  const auto timed = [&](std::string_view method, const auto& run) {
    const auto begun = std::chrono::steady_clock::now();
    const auto score = run();
    const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - begun;
    verdicts.push_back({std::string(method), score, taken.count()});
  };
  const auto& values = series.series.values;
  forecast::BacktestWitness witness;
  if (told != nullptr)
    witness = [told](const forecast::BacktestForecast& said) {
      if (told->size() == kMostPastForecasts) told->erase(told->begin());
      told->push_back(
          {said.place, {said.point.begin(), said.point.end()}, {said.quantiles.begin(), said.quantiles.end()}});
    };
  timed("umbra", [&] { return forecast::backtest(values, plan, columns.known(), witness); });
  for (const auto baseline : {forecast::Baseline::kNaive, forecast::Baseline::kSeasonalNaive,
                              forecast::Baseline::kSimpleSmoothing, forecast::Baseline::kHoltWinters})
    timed(to_string(baseline), [&] { return forecast::backtest(values, plan, baseline); });
  return verdicts;
}

/// Over all series: the median of MASE, since some series have none to speak of, and the means of the rest.
struct Summary {
  std::size_t series = 0, origins = 0;
  double seconds = 0;
  std::vector<double> smape, mase, msis, coverage, loss, brier;

  void add(const Verdict& verdict) {
    seconds += verdict.seconds;
    if (verdict.score.origins == 0) return;
    ++series;
    origins += verdict.score.origins;
    smape.push_back(verdict.score.smape);
    mase.push_back(verdict.score.mase);
    msis.push_back(verdict.score.msis);
    coverage.push_back(verdict.score.coverage);
    loss.push_back(verdict.score.weighted_quantile_loss);
    if (verdict.score.brier) brier.push_back(*verdict.score.brier);
  }
};

double mean(const std::vector<double>& of) {
  double sum = 0;
  for (const auto value : of) sum += value;
  return of.empty() ? 0 : sum / static_cast<double>(of.size());
}

boost::json::object as_json(const forecast::BacktestScore& score) {
  boost::json::object out{{"origins", score.origins},   {"smape", score.smape},
                          {"mase", score.mase},         {"msis", score.msis},
                          {"coverage", score.coverage}, {"weighted_quantile_loss", score.weighted_quantile_loss}};
  if (score.brier) out["brier"] = *score.brier;
  return out;
}

/// Of Umbra's forecasts in the picture.
std::string told_in_words(const Wish& wish, const SeriesInput& input, const Summary& summary) {
  return fmt::format("What was forecast {}, and what came · of {} forecasts, the {:.4g} % interval held {:.1f} %",
                     span_ahead(wish, input, input.file.series.front()), summary.origins, 100 * wish.interval,
                     100 * mean(summary.coverage));
}

Outcome backtest_file(const Context& context, const Wish& wish) {
  const auto input = read_input(context, wish);
  if (!input) return misused(input.error());
  if (!wish.svg.empty())
    if (const auto writable = check_writable(wish.svg); !writable) return misused(writable.error());
  const auto& every = input->file.series;
  auto figure = forecast_figure(wish, *input);
  std::vector<std::pair<std::string, Summary>> summaries;
  boost::json::array all;
  std::vector<std::string> notices;
  Progress progress(context.progress, stderr);
  for (std::size_t i = 0; i < every.size(); ++i) {
    const auto& series = every[i];
    progress.show(working_on(every, i));
    const auto columns = known_of(wish, *input, series, notices);
    if (!columns) return misused(columns.error());
    const bool drawn = !wish.svg.empty() && i < kMostPanels;
    const auto seasons = seasons_of(wish, input->file, series);
    const auto plan = plan_of(wish, seasons);
    std::vector<PastForecast> told;
    const auto verdicts = judge(plan, series, *columns, drawn ? &told : nullptr);
    if (drawn)
      figure.panels.push_back(backtest_panel(wish, *input, series, seasons, forecast::backtest_levels(plan), told));
    boost::json::object methods;
    for (std::size_t method = 0; method < verdicts.size(); ++method) {
      if (summaries.size() <= method) summaries.emplace_back(verdicts[method].method, Summary());
      summaries[method].second.add(verdicts[method]);
      methods[verdicts[method].method] = as_json(verdicts[method].score);
    }
    all.push_back(boost::json::object{{"series", series.name}, {"methods", std::move(methods)}});
  }
  progress.clear();
  tell(context, notices);
  if (summaries.empty() || summaries.front().second.series == 0)
    return misused({Errc::kInvalid, fmt::format("{}: no series is long enough, or none changes", wish.file),
                    "a backtest needs two main seasons and a horizon of past; try a shorter --horizon"});
  if (!wish.svg.empty()) {
    figure.subtitle = told_in_words(wish, *input, summaries.front().second);
    if (const auto written = write_figure(figure, every.size(), wish.svg); !written) return failed(written.error());
    tell(context, {drawn_in_words(figure, wish.svg)});
  }
  if (context.json()) {
    print(serialize(boost::json::object{{"series", std::move(all)}}) + "\n");
    return ExitCode::kOk;
  }
  using enum Table::Align;
  std::vector<Table::Column> columns{{"METHOD"},       {"SERIES", kRight}, {"ORIGINS", kRight}, {"SMAPE", kRight},
                                     {"MASE", kRight}, {"MSIS", kRight},   {"COVERED", kRight}, {"WQL", kRight}};
  if (wish.capacity) columns.emplace_back("BRIER", kRight);
  columns.emplace_back("TIME", kRight);
  Table table(std::move(columns));
  for (auto& [method, summary] : summaries) {
    std::sort(summary.mase.begin(), summary.mase.end());
    const auto middle = summary.mase.empty() ? 0 : forecast::quantile(summary.mase, 0.5);
    std::vector<Cell> row{method,
                          fmt::format("{}", summary.series),
                          fmt::format("{}", summary.origins),
                          fmt::format("{:.2f} %", mean(summary.smape)),
                          fmt::format("{:.3f}", middle),
                          fmt::format("{:.2f}", mean(summary.msis)),
                          fmt::format("{:.1f} %", 100 * mean(summary.coverage)),
                          fmt::format("{:.4f}", mean(summary.loss))};
    if (wish.capacity) row.emplace_back(fmt::format("{:.4f}", mean(summary.brier)));
    row.emplace_back(fmt::format("{:.2f} s", summary.seconds));
    table.add(std::move(row));
  }
  print(table.render(context.colour));
  return ExitCode::kOk;
}

}  // namespace

void add_backtest_verb(CLI::App& app, Action& action) {
  auto wish = std::make_shared<Wish>();
  auto& verb = add_verb(app, "backtest",
                        "Judge forecasts of a file's series by what came, against the simple rules.\n"
                        "Of several series: the median MASE, and the means of the rest.",
                        "umbractl backtest --file cpu.csv --horizon 24 --season 24 --season 168 --origins 7");
  add_series_options(verb, *wish)->required();
  add_steps_options(verb, *wish);
  verb.add_option("--origins", wish->origins, "Places of the past to forecast from, a horizon apart (10)")
      ->type_name("K")
      ->check(CLI::Range(std::size_t{1}, std::size_t{10'000}));
  add_svg_option(verb, wish->svg, "Draw the last forecasts of Umbra and what came, to this file");
  verb.callback([&action, wish] { action = [wish](const Context& context) { return backtest_file(context, *wish); }; });
}

}  // namespace umbra::cli
