#include "forecast_io/even_steps.hpp"

#include <algorithm>

namespace umbra::forecast {
namespace {

constexpr std::int64_t kShortestMonth = 28LL * 86'400'000;
constexpr std::int64_t kEarly = 10;  // a row may be early by this part of a step

constexpr std::size_t kAlike = 4;  // one in so many distances must be the most frequent one for it to be the step

struct Mode {
  std::int64_t value = 0;
  std::size_t count = 0;
};

/// The most frequent of `values`, the smallest of these where several are. @param values not empty; sorted afterwards
Mode most_frequent(std::vector<std::int64_t>& values) {
  std::sort(values.begin(), values.end());
  Mode best;
  for (auto from = values.begin(); from != values.end();) {
    const auto to = std::upper_bound(from, values.end(), *from);
    const auto count = static_cast<std::size_t>(to - from);
    if (count > best.count) best = {*from, count};
    from = to;
  }
  return best;
}

/// Rounded to a unit that is no more than a tenth of it.
std::int64_t rounded(std::int64_t step, TimeKind kind) {
  constexpr std::int64_t kUnits[] = {3'600'000, 60'000, 1'000, 100, 10};
  if (kind == TimeKind::kSteps) return step;
  for (const auto unit : kUnits)
    if (step >= 10 * unit) return (step + unit / 2) / unit * unit;
  return step;
}

std::int64_t find_length(std::vector<std::int64_t>& apart, TimeKind kind) {
  const auto mode = most_frequent(apart);  // sorts
  return mode.count * kAlike >= apart.size() ? mode.value : rounded(apart[apart.size() / 2], kind);
}

std::vector<std::int64_t> distances(std::span<const Row> rows) {
  std::vector<std::int64_t> found;
  found.reserve(rows.size());
  for (std::size_t i = 1; i < rows.size(); ++i) found.push_back(rows[i].at - rows[i - 1].at);
  return found;
}

/// Steps of months, if the rows are that far apart and all on the same day of the month, or all on the last.
std::optional<Steps> find_months(std::span<const Row> rows) {
  const auto first = month_place(rows.front().at);
  bool same_day = true, last_day = true;
  std::vector<std::int64_t> months;
  auto before = first.month;
  for (const auto& row : rows) {
    const auto place = month_place(row.at);
    if (place.time_of_day != first.time_of_day) return std::nullopt;
    same_day = same_day && place.day == first.day;
    last_day = last_day && place.last_day;
    if (!same_day && !last_day) return std::nullopt;
    if (&row != rows.data()) months.push_back(place.month - before);
    before = place.month;
  }
  constexpr unsigned kLast = 31;
  return Steps::of_months(rows.front().at, static_cast<int>(most_frequent(months).value), same_day ? first.day : kLast);
}

}  // namespace

Disorder sort_rows(std::vector<Row>& rows) {
  Disorder late;
  for (std::size_t i = 1; i < rows.size(); ++i) {
    if (rows[i].at >= rows[i - 1].at) continue;
    if (late.rows++ == 0) late.line = rows[i].line;
  }
  if (late.rows > 0)
    std::sort(rows.begin(), rows.end(),
              [](const Row& a, const Row& b) { return a.at != b.at ? a.at < b.at : a.line < b.line; });
  return late;
}

Disorder drop_repeats(std::vector<Row>& rows) {
  Disorder repeats;
  std::size_t kept = 0;
  for (const auto& row : rows) {
    if (kept > 0 && rows[kept - 1].at == row.at) {
      repeats.line = repeats.rows++ == 0 ? row.line : std::min<std::uint64_t>(repeats.line, row.line);
      rows[kept - 1] = row;
    } else {
      rows[kept++] = row;
    }
  }
  rows.resize(kept);
  return repeats;
}

std::optional<Steps> find_steps(std::span<const Row> rows, TimeKind kind) {
  if (rows.size() < 2) return std::nullopt;
  auto apart = distances(rows);
  const auto step = find_length(apart, kind);  // sorts
  if (kind != TimeKind::kSteps && apart.front() >= kShortestMonth)
    if (auto months = find_months(rows)) return months;

  const auto on_grid = [&](const Row& row) { return (row.at - rows.front().at) % step == 0; };
  if (std::all_of(rows.begin(), rows.end(), on_grid)) return Steps(rows.front().at, Milliseconds(step));
  // The first row may be off the grid that the others keep.
  std::vector<std::int64_t> phases;
  phases.reserve(rows.size());
  for (const auto& row : rows) phases.push_back(row.at - floor_div(row.at, step) * step);
  const Steps any(most_frequent(phases).value, Milliseconds(step));
  return Steps(any.at(step_of(any, rows.front().at)), Milliseconds(step));
}

Steps steps_from(UnixMillis start, const Steps& like) {
  if (like.months() == 0) return {start, like.length()};
  return Steps::of_months(start, like.months(), month_place(start).day);
}

std::int64_t step_of(const Steps& steps, UnixMillis at) {
  const auto index = steps.index(at);
  const auto next = steps.at(index + 1);
  return (next - at) * kEarly < next - steps.at(index) ? index + 1 : index;
}

}  // namespace umbra::forecast
