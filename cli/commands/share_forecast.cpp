#include <algorithm>
#include <cmath>

#include "base/csv.hpp"
#include "cli/commands/file_forecast.hpp"
#include "cli/output/json.hpp"
#include "forecast/markov.hpp"

namespace umbra::cli {
namespace {

using forecast::NamedSeries;

constexpr std::size_t kMostPhases = 24;  // of a day, each with a chain of its own

/// Which step of the earliest series each one begins with.
Result<std::vector<std::size_t>> offsets_of(const std::vector<NamedSeries>& all) {
  const auto& first = *std::ranges::min_element(all, {}, [](const NamedSeries& one) { return one.steps.start(); });
  std::vector<std::size_t> offsets;
  for (const auto& one : all) {
    const auto offset = first.steps.index(one.steps.start());
    if (one.steps.length() != first.steps.length() || first.steps.at(offset) != one.steps.start())
      return fail({Errc::kInvalid, fmt::format("the steps of {} and {} differ", first.name, one.name),
                   "shares need series of the same steps, at the same times"});
    offsets.push_back(static_cast<std::size_t>(offset));
  }
  return offsets;
}

forecast::LocationChain learned(const std::vector<NamedSeries>& all, const std::vector<std::size_t>& offsets,
                                const std::vector<std::size_t>& seasons) {
  forecast::ChainShape shape;
  if (!seasons.empty()) {
    shape.day = seasons.front();
    shape.phases = std::min(kMostPhases, shape.day);
  }
  forecast::LocationChain chain(shape);
  std::size_t steps = 0;
  for (std::size_t i = 0; i < all.size(); ++i) steps = std::max(steps, offsets[i] + all[i].series.values.size());
  for (std::size_t step = 0; step < steps; ++step) {
    std::vector<forecast::Demand> demand;
    for (std::size_t i = 0; i < all.size(); ++i) {
      const auto& values = all[i].series.values;
      const bool known = step >= offsets[i] && step - offsets[i] < values.size();
      demand.push_back({all[i].name, known ? values[step - offsets[i]] : 0});
    }
    chain.observe(demand);
  }
  return chain;
}

std::string csv(const forecast::LocationChain& chain, const std::vector<forecast::ShareForecast>& ahead) {
  std::string rows = "series,step,share,deviation\n";
  for (std::size_t location = 0; location < chain.locations().size(); ++location)
    for (std::size_t step = 0; step < ahead.size(); ++step)
      rows += fmt::format("{},{},{:.4f},{:.4f}\n", csv_field(chain.locations()[location]), step + 1,
                          ahead[step].mean[location], ahead[step].deviation[location]);
  return rows;
}

boost::json::object json(const forecast::LocationChain& chain, const std::vector<forecast::ShareForecast>& ahead) {
  boost::json::array shares, moves;
  for (std::size_t location = 0; location < chain.locations().size(); ++location) {
    boost::json::array steps;
    for (std::size_t step = 0; step < ahead.size(); ++step)
      steps.push_back(
          {{"step", step + 1}, {"share", ahead[step].mean[location]}, {"deviation", ahead[step].deviation[location]}});
    shares.push_back({{"series", chain.locations()[location]}, {"steps", std::move(steps)}});
    for (std::size_t to = 0; to < chain.locations().size(); ++to)
      moves.push_back({{"from", chain.locations()[location]},
                       {"to", chain.locations()[to]},
                       {"probability", chain.move(location, to)}});
  }
  return {{"shares", std::move(shares)}, {"moves_into_next_step", std::move(moves)}};
}

}  // namespace

Outcome forecast_shares(const Context& context, const FileForecastWish& wish) {
  if (wish.capacity || !wish.quantiles.empty() || !wish.calendar.empty() || !wish.regressors.empty() ||
      !wish.svg.empty())
    return misused({Errc::kInvalid, "--shares goes with --file, --horizon and --season alone", "leave out the others"});
  const auto input = read_input(context, wish);
  if (!input) return misused(input.error());
  const auto& all = input->file.series;
  const auto offsets = offsets_of(all);
  if (!offsets) return misused(offsets.error());
  const auto chain = learned(all, *offsets, wish.seasons);
  const auto ahead = chain.forecast(wish.horizon);
  if (ahead.empty())
    return misused(
        {Errc::kInvalid, fmt::format("{}: there is no demand in it", wish.file), "give series with values above 0"});
  print(context.json() ? serialize(json(chain, ahead)) + "\n" : csv(chain, ahead));
  return ExitCode::kOk;
}

}  // namespace umbra::cli
