#include "forecast/fuzz/targets.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <cstdlib>

#include "forecast/series_forecaster.hpp"
#include "forecast/stored.hpp"

namespace umbra::forecast {
namespace {

constexpr std::size_t kSteps = 10;
constexpr std::array kAskedLevels{0.1, 0.5, 0.9};
constexpr std::size_t kAffordable = 1'000;  // seasons and horizons beyond it are right, but slow

void must(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "promise broken: %s\n", what);
  std::abort();
}

bool finite(std::span<const double> values) {
  return std::all_of(values.begin(), values.end(), [](double value) { return std::isfinite(value); });
}

}  // namespace

void fuzz_state(std::string_view body) {
  using Forecaster = SeriesForecaster;
  auto loaded = Forecaster::load(sealed(Forecaster::kStoredKind, Forecaster::kStoredVersion, body));
  if (!loaded) return must(loaded.error().code == Errc::kInvalid, "what cannot be read is invalid");
  const auto stored = loaded->save();
  const auto again = Forecaster::load(stored);
  must(again && again->save() == stored, "what was read can be stored and read");
  const auto& shape = loaded->shape();
  if (shape.horizon > kAffordable || (!shape.seasons.empty() && shape.seasons.back() > kAffordable)) return;
  const std::vector<double> row(shape.known), rows(kSteps * shape.known);
  for (int i = 0; i < 3; ++i) loaded->observe(i, row);
  const auto outlook = loaded->look(kSteps, kAskedLevels, Forecaster::Paths::kYes, Known{rows, shape.known});
  must(finite(outlook.point), "forecasts are finite");
  for (const auto& step : outlook.quantiles)
    must(finite(step) && std::is_sorted(step.begin(), step.end()), "quantiles are finite and ascend");
  for (const auto& path : outlook.paths) must(finite(path.values), "paths are finite");
}

}  // namespace umbra::forecast
