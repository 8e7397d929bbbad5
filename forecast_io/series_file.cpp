#include "forecast_io/series_file.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <unordered_map>

#include "base/csv.hpp"
#include "forecast_io/even_steps.hpp"
#include "forecast_io/notices.hpp"

namespace umbra::forecast {
namespace {

constexpr double kGap = std::numeric_limits<double>::quiet_NaN();
constexpr std::string_view kHeading = "the first line names the columns: series,timestamp,value or timestamp,value";

/// Where each column is; kNone: the file has no such column.
struct Columns {
  static constexpr std::size_t kNone = std::numeric_limits<std::size_t>::max();
  std::size_t series = kNone, timestamp = kNone, value = kNone;
  std::size_t count = 0;
};

/// The rows of one series as they come.
struct Raw {
  std::string name;
  std::vector<Row> rows;
};

/// Everything that a file's rows say, before they are made even.
class Collector {
 public:
  explicit Collector(CsvLines& lines) : lines_(lines) {}

  Result<void> read() {
    UMBRA_CHECK(heading());
    while (true) {
      UMBRA_TRY(const bool found, lines_.next(fields_));
      if (!found) break;
      UMBRA_CHECK(row());
    }
    if (all_.empty()) return fail(lines_.error("no rows", "give at least two rows below the heading"));
    UMBRA_TRY(kind_, stamps_.kind(lines_.name()));
    if (const auto scale = StampReader::scale(kind_); scale != 1)
      for (auto& raw : all_)
        for (auto& row : raw.rows) row.at /= scale;
    return {};
  }

  TimeKind kind() const { return kind_; }
  std::vector<Raw>& all() { return all_; }

 private:
  Result<void> heading() {
    UMBRA_TRY(const bool found, lines_.next(fields_));
    if (!found)
      return fail({Errc::kInvalid, fmt::format("{}: the file is empty", lines_.name()), std::string(kHeading)});
    columns_.count = fields_.size();
    const std::array known{std::pair("series", &columns_.series), std::pair("timestamp", &columns_.timestamp),
                           std::pair("value", &columns_.value)};
    for (std::size_t i = 0; i < fields_.size(); ++i) {
      const auto at = std::find_if(known.begin(), known.end(), [&](auto& entry) { return entry.first == fields_[i]; });
      if (at == known.end())
        return fail(
            lines_.error(fmt::format("column {}: '{}' is not a column of a series file", i + 1, excerpt(fields_[i])),
                         std::string(kHeading)));
      if (*at->second != Columns::kNone)
        return fail(lines_.error(fmt::format("column {}: a second column '{}'", i + 1, at->first), "remove one"));
      *at->second = i;
    }
    for (const auto& [name, at] : {known[1], known[2]})
      if (*at == Columns::kNone)
        return fail(lines_.error(fmt::format("there is no column '{}'", name), std::string(kHeading)));
    return {};
  }

  Result<void> row() {
    if (fields_.size() != columns_.count)
      return fail(lines_.error(fmt::format("{} columns instead of {}", fields_.size(), columns_.count),
                               "a line has as many as the heading; an empty value is a gap"));
    UMBRA_TRY(auto* raw, series());
    UMBRA_TRY(const auto at, stamps_.read(lines_, fields_[columns_.timestamp]));
    const auto& text = fields_[columns_.value];
    const auto value = text.empty() ? kGap : parse_number(text);
    if (!value)
      return fail(
          lines_.error(fmt::format("column {} (value): '{}' is not a finite number", columns_.value + 1, excerpt(text)),
                       "write it like 1.5, or leave it empty where nothing is known"));
    raw->rows.push_back({at, *value, static_cast<std::uint32_t>(lines_.line())});
    return {};
  }

  Result<Raw*> series() {
    static const std::string kName(kOnlySeries);
    const auto& name = columns_.series == Columns::kNone ? kName : fields_[columns_.series];
    if (!all_.empty() && all_[last_].name == name) return &all_[last_];
    if (name.empty())
      return fail(lines_.error(fmt::format("column {} (series): no series is named", columns_.series + 1),
                               "name one in every line"));
    last_ = places_.try_emplace(name, all_.size()).first->second;
    if (last_ == all_.size()) all_.push_back({name, {}});
    return &all_[last_];
  }

  CsvLines& lines_;
  Columns columns_;
  StampReader stamps_;
  TimeKind kind_ = TimeKind::kIso;
  std::vector<std::string> fields_;
  std::vector<Raw> all_;
  std::unordered_map<std::string, std::size_t> places_;
  std::size_t last_ = 0;
};

/// Makes the series of a file even, one after the other.
class Evener {
 public:
  Evener(std::string file, TimeKind kind) : file_(std::move(file)), kind_(kind) {}

  Result<std::vector<NamedSeries>> even(std::vector<Raw>& all) {
    std::vector<std::optional<Steps>> steps;
    for (auto& raw : all) {
      const auto late = sort_rows(raw.rows);
      late_.add(late.rows, late.line);
      const auto repeats = drop_repeats(raw.rows);
      repeats_.add(repeats.rows, repeats.line);
      steps.push_back(find_steps(raw.rows, kind_));
      if (steps.back() && !usual_) usual_ = steps.back();
    }
    std::vector<NamedSeries> evened;
    for (std::size_t i = 0; i < all.size(); ++i) {
      UMBRA_TRY(auto one, even(all[i], steps[i]));
      evened.push_back(std::move(one));
      all[i].rows = {};
    }
    return evened;
  }

  std::vector<std::string> notices() const {
    std::vector<std::string> all;
    for (const auto* notice : {&late_, &repeats_, &uneven_, &alone_, &gaps_, &empty_}) notice->put(file_, all);
    return all;
  }

 private:
  Result<NamedSeries> even(Raw& raw, const std::optional<Steps>& found) {
    const auto& rows = raw.rows;
    if (!found && !usual_)
      return fail({Errc::kInvalid,
                   fmt::format("{}:{}: no step can be found for series '{}': it has one time only", file_,
                               rows.front().line, excerpt(raw.name)),
                   "give at least two rows at different times"});
    if (!found) alone_.add(1, rows.front().line);
    const auto steps = found ? *found : steps_from(rows.front().at, *usual_);
    UMBRA_CHECK(check_gaps(raw, steps));
    NamedSeries named{std::move(raw.name), {steps.start(), steps.length(), {}}, steps};
    named.series.values.assign(static_cast<std::size_t>(step_of(steps, rows.back().at) + 1), kGap);
    fill(rows, named);
    return named;
  }

  /// The mean of the rows of each step.
  void fill(const std::vector<Row>& rows, NamedSeries& named) {
    auto& values = named.series.values;
    std::uint64_t off = 0, off_line = 0, missing = 0, missing_line = 0, empty = 0, empty_line = 0;
    std::int64_t step = -1, count = 0;
    for (const auto& row : rows) {
      const auto at = step_of(named.steps, row.at);
      if (row.at != named.steps.at(at) && off++ == 0) off_line = row.line;
      if (at > step + 1 && missing == 0) missing_line = row.line;
      missing += static_cast<std::uint64_t>(std::max<std::int64_t>(0, at - step - 1));
      if (at != step) count = 0;
      step = at;
      if (std::isnan(row.value)) {
        if (empty++ == 0) empty_line = row.line;
        continue;
      }
      auto& value = values[static_cast<std::size_t>(at)];
      ++count;
      value = count == 1 ? row.value : std::lerp(value, row.value, 1 / static_cast<double>(count));  // never overflows
    }
    uneven_.add(off, off_line);
    gaps_.add(missing, missing_line);
    empty_.add(empty, empty_line);
  }

  /// @error kInvalid the rows span far more steps than they are
  Result<void> check_gaps(const Raw& raw, const Steps& steps) {
    const auto& rows = raw.rows;
    const auto span = static_cast<std::uint64_t>(step_of(steps, rows.back().at) + 1);
    all_gaps_ += span > rows.size() ? span - rows.size() : 0;
    if (all_gaps_ <= kMostGaps) return {};
    std::size_t widest = 1;
    for (std::size_t i = 2; i < rows.size(); ++i)
      if (rows[i].at - rows[i - 1].at > rows[widest].at - rows[widest - 1].at) widest = i;
    const auto &before = rows[widest - 1], &after = rows[widest];
    return fail({Errc::kInvalid,
                 fmt::format("{}:{}: series '{}' would need more than {} steps without a row: from {} in line {} to {} "
                             "in line {}",
                             file_, std::max(before.line, after.line), excerpt(raw.name), kMostGaps,
                             written(before.at, kind_), before.line, written(after.at, kind_), after.line),
                 "correct the time that is wrong, or give a row for each step"});
  }

  std::string file_;
  TimeKind kind_;
  std::optional<Steps> usual_;  // of the first series that tells
  std::uint64_t all_gaps_ = 0;
  Notice late_{"row", "out of order: sorted by time"};
  Notice repeats_{"row", "with a time that the series has already: the last row of a time counts"};
  Notice uneven_{"row", "off the series' regular steps: each step gets the mean of its rows"};
  Notice alone_{"row", "alone in a series: its step is taken from the other series"};
  Notice gaps_{"step", "without a row: a gap"};
  Notice empty_{"row", "without a value: a gap"};
};

}  // namespace

Result<SeriesFile> read_series(std::istream& in, const std::string& name) {
  CsvLines lines(in, name);
  Collector collector(lines);
  UMBRA_CHECK(collector.read());
  Evener evener(name, collector.kind());
  UMBRA_TRY(auto series, evener.even(collector.all()));
  return SeriesFile{collector.kind(), std::move(series), evener.notices()};
}

}  // namespace umbra::forecast
