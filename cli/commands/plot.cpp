// plot: forecasts of series in a file as a picture.
#include <unistd.h>
#include <CLI/App.hpp>

#include "cli/charts.hpp"
#include "cli/output/json.hpp"
#include "cli/output/table.hpp"
#include "cli/whole_file.hpp"

namespace umbra::cli {
namespace {

struct Wish : SeriesWish {
  std::string svg;          // file; empty for standard output
  std::size_t history = 0;  // steps; 0: as usual
  std::string title, unit;
};

/// Before anything is computed: is there a place for the picture?
Result<void> check_destination(const Context& context, const Wish& wish) {
  if (!wish.svg.empty()) return check_writable(wish.svg);
  if (::isatty(STDOUT_FILENO) == 1)
    return fail({Errc::kInvalid, "a picture is nothing for a terminal", "give --svg FILE, or redirect the output"});
  if (context.json())
    return fail({Errc::kInvalid, "standard output cannot hold both a picture and JSON",
                 "give --svg FILE, or leave out `-o json` (or set `-o table`)"});
  return {};
}

void say_what_was_drawn(const Context& context, const Wish& wish, const FanFigure& figure) {
  if (context.json())
    print(serialize(
              boost::json::object{{"svg", wish.svg}, {"series", figure.panels.size()}, {"left_out", figure.left_out}}) +
          "\n");
  else
    print(printable(drawn_in_words(figure, wish.svg)) + "\n");
}

Outcome plot_file(const Context& context, const Wish& wish) {
  if (const auto fine = check_destination(context, wish); !fine) return misused(fine.error());
  const auto input = read_input(context, wish);
  if (!input) return misused(input.error());
  const auto& all = input->file.series;
  auto figure = forecast_figure(wish, *input);
  if (!wish.title.empty()) figure.title = wish.title;
  figure.unit = wish.unit;
  std::vector<std::string> notices;
  Progress progress(context.progress, stderr);
  for (std::size_t i = 0; i < all.size() && i < kMostPanels; ++i) {
    progress.show(working_on(all, i));
    const auto columns = known_of(wish, *input, all[i], notices);
    if (!columns) return misused(columns.error());
    const auto seasons = seasons_of(wish, input->file, all[i]);
    std::vector<double> levels;
    add_band_levels(wish.interval, levels);
    const auto outlook = look_ahead(wish, seasons, all[i], *columns, std::move(levels));
    figure.panels.push_back(forecast_panel(wish, *input, all[i], seasons, outlook, wish.history));
  }
  progress.clear();
  tell(context, notices);
  if (wish.svg.empty()) {
    figure.left_out = all.size() - figure.panels.size();
    print(fan_chart(figure));
    return ExitCode::kOk;
  }
  if (const auto written = write_figure(figure, all.size(), wish.svg); !written) return failed(written.error());
  say_what_was_drawn(context, wish, figure);
  return ExitCode::kOk;
}

}  // namespace

void add_plot_verb(CLI::App& app, Action& action) {
  auto wish = std::make_shared<Wish>();
  auto& verb =
      add_verb(app, "plot",
               fmt::format("Draw the forecasts of a file's series (SVG): history, forecast, fan of intervals,\n"
                           "capacity and events. Of several series the first {}. Needs no controller.",
                           kMostPanels)
                   .c_str(),
               "umbractl plot --file cpu.csv --horizon 48 --season 24 --calendar launches.ics --svg cpu.svg");
  add_series_options(verb, *wish)->required();
  add_steps_options(verb, *wish);
  add_svg_option(verb, wish->svg, "Where the picture goes; without, standard output");
  verb.add_option("--history", wish->history,
                  "Steps of the past to show; without, four horizons or three seasons, whichever is more")
      ->type_name("N")
      ->check(CLI::Range(std::size_t{1}, std::size_t{100'000'000}));
  verb.add_option("--title", wish->title, "Of the picture; without, the name of the series or of the file")
      ->type_name("TEXT");
  verb.add_option("--unit", wish->unit, "What the values are, such as \"cores\"")->type_name("TEXT");
  verb.callback([&action, wish] { action = [wish](const Context& context) { return plot_file(context, *wish); }; });
}

}  // namespace umbra::cli
