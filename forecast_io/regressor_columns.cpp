#include <algorithm>
#include <cmath>
#include <limits>
#include <span>

#include "forecast_io/regressors_file.hpp"

namespace umbra::forecast {
namespace {

constexpr double kUnknown = std::numeric_limits<double>::quiet_NaN();

/// The means of one column over the steps, weighted by the time for which each of its values holds; NaN where none
/// does.
std::vector<double> step_means(const Regressors& from, std::size_t column, const Steps& steps, std::size_t count) {
  std::vector<double> means(count, kUnknown);
  const auto width = from.names.size();
  std::size_t row = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const auto begin = steps.at(static_cast<std::int64_t>(i)), end = steps.at(static_cast<std::int64_t>(i) + 1);
    double sum = 0, weight = 0;
    const auto row_end = [&] { return row + 1 < from.times.size() ? from.times[row + 1] : from.end; };
    while (row < from.times.size() && row_end() <= begin) ++row;
    for (; row < from.times.size() && from.times[row] < end; ++row) {
      const auto value = from.values[row * width + column];
      const auto held = static_cast<double>(std::min(end, row_end()) - std::max(begin, from.times[row]));
      if (!std::isnan(value)) {
        weight += held;
        sum += value * (held / static_cast<double>(end - begin));
      }
      if (row_end() > end) break;
    }
    constexpr double kMost = std::numeric_limits<double>::max();  // which rounding could exceed
    if (weight > 0) means[i] = std::clamp(sum / (weight / static_cast<double>(end - begin)), -kMost, kMost);
  }
  return means;
}

/// The value that a share q of `values` is not above. @param values not empty
double quantile(std::vector<double> values, double q) {
  const auto at = values.begin() + static_cast<std::ptrdiff_t>(q * static_cast<double>(values.size() - 1));
  std::nth_element(values.begin(), at, values.end());
  return *at;
}

/// Centres and scales in place; what is not known becomes 0.
void scale(std::vector<double>& values) {
  constexpr double kWithin = 0.95;
  std::vector<double> known;
  std::copy_if(values.begin(), values.end(), std::back_inserter(known), [](double v) { return !std::isnan(v); });
  const double centre = quantile(known, 0.5);
  std::transform(known.begin(), known.end(), known.begin(), [&](double v) { return std::abs(v / 2 - centre / 2); });
  double spread = quantile(known, kWithin);
  if (spread == 0) spread = *std::max_element(known.begin(), known.end());  // it is nearly always the same
  for (auto& value : values)
    value = std::isnan(value) || spread == 0 ? 0 : std::clamp((value / 2 - centre / 2) / spread, -kFarthest, kFarthest);
}

}  // namespace

Result<KnownColumns> regressor_columns(const Regressors& regressors, TimeKind kind, const Steps& steps,
                                       std::size_t past, std::size_t horizon, std::vector<std::string>& notices) {
  if ((regressors.kind == TimeKind::kSteps) != (kind == TimeKind::kSteps))
    return fail(
        {Errc::kInvalid,
         fmt::format("{}: one of it and the series is written in times and the other in step numbers", regressors.file),
         "write both in the same way"});
  const auto count = past + horizon, width = regressors.names.size();
  KnownColumns columns{regressors.names, std::vector<double>(count * width)};
  for (std::size_t column = 0; column < width; ++column) {
    auto means = step_means(regressors, column, steps, count);
    const auto now = means.begin() + static_cast<std::ptrdiff_t>(past);
    const auto missing = std::find_if(now, means.end(), [](double v) { return std::isnan(v); });
    const auto& name = regressors.names[column];
    if (missing != means.end())
      return fail({Errc::kInvalid,
                   fmt::format("{}: column '{}' says nothing of the step that begins at {}", regressors.file,
                               excerpt(name), written(steps.at(missing - means.begin()), kind)),
                   fmt::format("give its values up to the forecast's end, {}, or forecast less far",
                               written(steps.at(static_cast<std::int64_t>(count)), kind))});
    const auto unknown =
        static_cast<std::size_t>(std::count_if(means.begin(), now, [](double v) { return std::isnan(v); }));
    if (unknown == past)
      return fail({Errc::kInvalid,
                   fmt::format("{}: column '{}' says nothing of the series' past, so nothing can be learned of it",
                               regressors.file, excerpt(name)),
                   "give its values for the past also, or leave the column out"});
    if (unknown > 0)
      notices.push_back(fmt::format("{}: column '{}' says nothing of {} of {} steps of the past: taken as usual",
                                    regressors.file, excerpt(name), unknown, past));
    scale(means);
    for (std::size_t i = 0; i < count; ++i) columns.rows[i * width + column] = means[i];
  }
  return columns;
}

}  // namespace umbra::forecast
