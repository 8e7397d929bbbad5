#include "forecast_io/fuzz/targets.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <sstream>

#include "forecast_io/calendar_file.hpp"
#include "forecast_io/regressors_file.hpp"
#include "forecast_io/series_file.hpp"

namespace umbra::forecast {
namespace {

constexpr UnixMillis kFirst = 1'577'836'800'000;  // 2020
constexpr Milliseconds kStep = std::chrono::hours(6);
constexpr std::size_t kPast = 1'000, kHorizon = 40;

void must(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "promise broken: %s\n", what);
  std::abort();
}

/// An error without a place or a remedy is of no use.
void check(const Error& error) {
  must(error.message.starts_with("fuzz:"), "an error names the file");
  must(!error.remedy.empty(), "an error has a remedy");
}

void check_columns(const Result<KnownColumns>& columns, std::size_t count, double most) {
  if (!columns) return check(columns.error());
  must(columns->rows.size() == count * columns->names.size(), "a value for each step and column");
  must(std::all_of(columns->rows.begin(), columns->rows.end(), [&](double v) { return std::abs(v) <= most; }),
       "values are finite and scaled");
}

}  // namespace

void fuzz_series(std::string_view text) {
  std::istringstream in{std::string(text)};
  const auto file = read_series(in, "fuzz");
  if (!file) return check(file.error());
  must(!file->series.empty(), "a file that is read has series");
  for (const auto& [name, series, steps] : file->series) {
    must(!name.empty(), "series have names");
    must(!series.values.empty() && series.step.count() > 0, "series have steps");
    must(steps.start() == series.start && steps.at(0) == series.start, "steps begin where the series does");
    must(std::none_of(series.values.begin(), series.values.end(), [](double v) { return std::isinf(v); }),
         "values are finite or gaps");
  }
}

void fuzz_calendar(std::string_view text) {
  const Steps steps(kFirst, kStep);
  std::istringstream in{std::string(text)};
  const auto calendar = read_calendar(in, "fuzz", {kFirst, steps.at(kPast), {}});
  if (!calendar) return check(calendar.error());
  for (const auto& event : calendar->events) must(event.start <= event.end && !event.name.empty(), "events last");
  constexpr double kRounding = 1e-9;
  check_columns(event_columns(*calendar, calendar->kind, steps, kPast), kPast, 1 + kRounding);
}

void fuzz_regressors(std::string_view text) {
  std::istringstream in{std::string(text)};
  const auto regressors = read_regressors(in, "fuzz");
  if (!regressors) return check(regressors.error());
  must(std::is_sorted(regressors->times.begin(), regressors->times.end()), "times rise");
  std::vector<std::string> notices;
  const auto span = std::max<std::int64_t>(1, (regressors->end - regressors->times.front()) / 20);
  const Steps fitting(regressors->times.front(), Milliseconds(span));
  check_columns(regressor_columns(*regressors, regressors->kind, fitting, 15, 5, notices), 20, kFarthest);
  check_columns(regressor_columns(*regressors, regressors->kind, Steps(kFirst, kStep), kPast, kHorizon, notices),
                kPast + kHorizon, kFarthest);
}

}  // namespace umbra::forecast
