// What a SeriesForecaster costs: a new value, a refit, quantiles, paths, storing and loading; and what it takes of
// memory. Each by the length of the series, its seasons, the horizon, and by how many series are served in turn.
#include <benchmark/benchmark.h>
#include <fmt/format.h>
#include <malloc.h>

#include <array>
#include <cmath>
#include <cstdlib>
#include <numbers>
#include <random>

#include "forecast/series_forecaster.hpp"

namespace umbra::forecast {
namespace {

using benchmark::State;
using Shape = SeriesForecaster::Shape;
using Seasons = std::vector<std::size_t>;

constexpr std::array kLevels{0.025, 0.1, 0.25, 0.5, 0.75, 0.9, 0.975};
constexpr std::size_t kUsualLength = 1000, kUsualHorizon = 48;
const Seasons kDayAndWeek{24, 168};

/// A day, weaker at weekends, and noise of a twentieth.
double value(std::size_t step, std::size_t day) {
  std::mt19937_64 random(step);
  std::normal_distribution<double> noise;
  const auto phase = 2 * std::numbers::pi * static_cast<double>(step) / static_cast<double>(day);
  return 100 + (step / day % 7 >= 5 ? 20 : 40) * std::sin(phase) + 5 * noise(random);
}

std::size_t day_of(const Shape& shape) {
  return shape.seasons.empty() ? 24 : shape.seasons.front();
}

void feed(SeriesForecaster& series, std::size_t steps) {
  const auto day = day_of(series.shape());
  for (std::size_t i = 0; i < steps; ++i) series.observe(value(series.size(), day));
}

SeriesForecaster fed(const Shape& shape, std::size_t length) {
  SeriesForecaster series(shape);
  feed(series, length);
  return series;
}

/// A new value, refits and recorded forecasts included as they come: over half of the length, but no more than 1000
/// steps.
void update(State& state, const Shape& shape, std::size_t length) {
  const auto stored = fed(shape, length).save();
  std::vector<double> coming(std::min<std::size_t>(1000, length / 2));
  for (std::size_t i = 0; i < coming.size(); ++i) coming[i] = value(length + i, day_of(shape));
  for (auto _ : state) {
    state.PauseTiming();
    auto series = SeriesForecaster::load(stored);
    state.ResumeTiming();
    for (const auto next : coming) series->observe(next);
  }
  state.counters["per_value"] =
      benchmark::Counter(static_cast<double>(coming.size()) * static_cast<double>(state.iterations()),
                         benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}

void refit(State& state, const Shape& shape, std::size_t length) {
  auto series = fed(shape, length);
  for (auto _ : state) series.refit();
}

/// Quantiles for all of the horizon, learning what a new value teaches; the value itself is not measured.
void quantiles(State& state, const Shape& shape, std::size_t length) {
  auto series = fed(shape, length);
  for (auto _ : state) {
    state.PauseTiming();
    feed(series, 1);
    state.ResumeTiming();
    benchmark::DoNotOptimize(series.look(shape.horizon, kLevels));
  }
}

void paths(State& state, const Shape& shape, std::size_t length) {
  auto series = fed(shape, length);
  for (auto _ : state) benchmark::DoNotOptimize(series.look(shape.horizon, {}, SeriesForecaster::Paths::kYes));
}

void save(State& state, const Shape& shape, std::size_t length) {
  const auto series = fed(shape, length);
  for (auto _ : state) benchmark::DoNotOptimize(series.save());
}

void load(State& state, const Shape& shape, std::size_t length) {
  const auto stored = fed(shape, length).save();
  for (auto _ : state) benchmark::DoNotOptimize(SeriesForecaster::load(stored));
}

/// Not a time: what series take in memory and stored. By malloc's own count, which includes what it keeps aside for
/// later; that is there from the first series on, and so not counted.
void memory(State& state, const Shape& shape, std::size_t length) {
  const auto count = std::clamp<std::size_t>(20'000 / length, 2, 50);
  for (auto _ : state) {
    std::vector<SeriesForecaster> all;
    all.reserve(count + 1);
    all.push_back(fed(shape, length));
    const auto before = mallinfo2().uordblks;
    while (all.size() <= count) all.push_back(fed(shape, length));
    state.counters["bytes"] = static_cast<double>(mallinfo2().uordblks - before) / static_cast<double>(count);
    state.counters["stored_bytes"] = static_cast<double>(all.front().save().size());
  }
}

/// Series of different ages, so that they are not all refitted at once.
std::vector<SeriesForecaster> many(std::size_t count) {
  constexpr std::size_t kAges = 50, kBetween = 20;
  std::vector<std::string> ages;
  auto series = fed({kDayAndWeek, kUsualHorizon, 0}, kUsualLength);
  for (std::size_t i = 0; i < std::min(kAges, count); ++i, feed(series, kBetween)) {
    series.look(kUsualHorizon, kLevels);
    ages.push_back(series.save());
  }
  std::vector<SeriesForecaster> all;
  all.reserve(count);
  while (all.size() < count) all.push_back(SeriesForecaster::load(ages[all.size() % ages.size()]).value());
  return all;
}

void update_in_turn(State& state, std::size_t count) {
  auto all = many(count);
  std::size_t turn = 0;
  for (auto _ : state) {
    auto& series = all[turn++ % count];
    series.observe(100 + static_cast<double>(turn % 7));
  }
}

void quantiles_in_turn(State& state, std::size_t count) {
  auto all = many(count);
  std::size_t turn = 0;
  for (auto _ : state) benchmark::DoNotOptimize(all[turn++ % count].look(kUsualHorizon, kLevels));
}

using Measure = void (*)(State&, const Shape&, std::size_t);

void enlist(const std::string& what, Measure measure, const Shape& shape, std::size_t length) {
  auto* entry = benchmark::RegisterBenchmark(what.c_str(), [=](State& state) { measure(state, shape, length); });
  entry->Unit(benchmark::kMicrosecond);
  if (measure == memory) entry->Iterations(1)->Repetitions(1);
}

void enlist_all() {
  const std::vector<std::pair<std::string, Measure>> measures{
      {"update", update}, {"refit", refit}, {"quantiles", quantiles}, {"paths", paths},
      {"save", save},     {"load", load},   {"memory", memory}};
  const std::vector<std::pair<std::string, Seasons>> seasons{{"none", {}},
                                                             {"24", {24}},
                                                             {"24,168", kDayAndWeek},
                                                             {"24,168,672", {24, 168, 672}},
                                                             {"96,672", {96, 672}},
                                                             {"288,2016", {288, 2016}}};
  for (const auto& [what, measure] : measures) {
    for (const std::size_t length : {250, 1000, 4000, 16'000})
      enlist(fmt::format("{}/length:{}", what, length), measure, {kDayAndWeek, kUsualHorizon, 0}, length);
    for (const auto& [name, its] : seasons)
      enlist(fmt::format("{}/seasons:{}", what, name), measure, {its, kUsualHorizon, 0},
             its.empty() ? kUsualLength : std::max(kUsualLength, 3 * its.back()));
    for (const std::size_t horizon : {24, 48, 168, 336})
      enlist(fmt::format("{}/horizon:{}", what, horizon), measure, {kDayAndWeek, horizon, 0}, kUsualLength);
  }
  // As many turns for any number of series, so that each number sees as many refits a value.
  constexpr int kTurns = 20'000;
  for (const std::size_t count : {1, 100, 10'000}) {
    benchmark::RegisterBenchmark(fmt::format("update/series:{}", count).c_str(),
                                 [=](State& state) { update_in_turn(state, count); })
        ->Unit(benchmark::kMicrosecond)
        ->Iterations(kTurns);
    benchmark::RegisterBenchmark(fmt::format("quantiles/series:{}", count).c_str(), [=](State& state) {
      quantiles_in_turn(state, count);
    })->Unit(benchmark::kMicrosecond);
  }
}

}  // namespace
}  // namespace umbra::forecast

int main(int argc, char** argv) {
  umbra::forecast::enlist_all();
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return EXIT_FAILURE;
  benchmark::RunSpecifiedBenchmarks();
  return EXIT_SUCCESS;
}
