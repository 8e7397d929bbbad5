#include "forecast_io/regressors_file.hpp"

#include <algorithm>
#include <limits>
#include <set>

#include "base/csv.hpp"
#include "forecast_io/even_steps.hpp"
#include "forecast_io/notices.hpp"

namespace umbra::forecast {
namespace {

constexpr std::size_t kLongestLine = 65'535;
constexpr double kUnknown = std::numeric_limits<double>::quiet_NaN();
constexpr std::string_view kTimestamp = "timestamp";
constexpr std::string_view kHeading =
    "the first line is timestamp and a name for each column: timestamp,price,temperature";

class RegressorRows {
 public:
  explicit RegressorRows(CsvLines& lines) : lines_(lines) {}

  Result<Regressors> read() {
    UMBRA_CHECK(heading());
    while (true) {
      UMBRA_TRY(const bool found, lines_.next(fields_));
      if (!found) break;
      UMBRA_CHECK(row());
    }
    UMBRA_TRY(regressors_.kind, stamps_.kind(lines_.name()));
    UMBRA_CHECK(finish());
    return std::move(regressors_);
  }

 private:
  Result<void> heading() {
    UMBRA_TRY(const bool found, lines_.next(fields_));
    if (!found)
      return fail({Errc::kInvalid, fmt::format("{}: the file is empty", lines_.name()), std::string(kHeading)});
    const auto at = std::find(fields_.begin(), fields_.end(), kTimestamp);
    if (at == fields_.end()) return fail(lines_.error("there is no column 'timestamp'", std::string(kHeading)));
    timestamp_ = static_cast<std::size_t>(at - fields_.begin());
    std::set<std::string_view> seen;
    for (std::size_t i = 0; i < fields_.size(); ++i) {
      if (fields_[i].empty())
        return fail(lines_.error(fmt::format("column {} has no name", i + 1), std::string(kHeading)));
      if (!seen.insert(fields_[i]).second)
        return fail(
            lines_.error(fmt::format("column {}: a second column '{}'", i + 1, excerpt(fields_[i])), "remove one"));
      if (i != timestamp_) regressors_.names.push_back(fields_[i]);
    }
    if (regressors_.names.empty()) return fail(lines_.error("only a column 'timestamp'", std::string(kHeading)));
    if (regressors_.names.size() > kMostRegressors)
      return fail(
          lines_.error(fmt::format("{} columns, and at most {} can be used", regressors_.names.size(), kMostRegressors),
                       "leave out those that matter least"));
    return {};
  }

  Result<void> row() {
    if (fields_.size() != regressors_.names.size() + 1)
      return fail(lines_.error(fmt::format("{} columns instead of {}", fields_.size(), regressors_.names.size() + 1),
                               "a line has as many as the heading; an empty value is not known"));
    UMBRA_TRY(const auto at, stamps_.read(lines_, fields_[timestamp_]));
    // The row's place stands in for its value, so that rows are sorted and thinned as those of series are.
    rows_.push_back({at, static_cast<double>(rows_.size()), static_cast<std::uint32_t>(lines_.line())});
    for (std::size_t i = 0; i < fields_.size(); ++i) {
      if (i == timestamp_) continue;
      const auto value = fields_[i].empty() ? kUnknown : parse_number(fields_[i]);
      if (!value)
        return fail(lines_.error(fmt::format("column {}: '{}' is not a finite number", i + 1, excerpt(fields_[i])),
                                 "write it like 1.5, or leave it empty where nothing is known"));
      values_.push_back(*value);
    }
    return {};
  }

  Result<void> finish() {
    Notice late("row", "out of order: sorted by time"),
        repeats("row", "with a time that was there already: the last counts");
    const auto disorder = sort_rows(rows_);
    late.add(disorder.rows, disorder.line);
    const auto repeated = drop_repeats(rows_);
    repeats.add(repeated.rows, repeated.line);
    auto& out = regressors_;
    out.file = lines_.name();
    for (const auto* notice : {&late, &repeats}) notice->put(out.file, out.notices);
    if (rows_.size() < 2)
      return fail({Errc::kInvalid, fmt::format("{}: fewer than two rows with times of their own", out.file),
                   "give a row for each time at which a value changes, past and to come"});
    const auto scale = StampReader::scale(out.kind);
    const auto width = static_cast<std::ptrdiff_t>(out.names.size());
    std::vector<std::int64_t> apart;
    for (const auto& row : rows_) {
      if (!out.times.empty()) apart.push_back(row.at / scale - out.times.back());
      out.times.push_back(row.at / scale);
      const auto first = values_.begin() + static_cast<std::ptrdiff_t>(row.value) * width;
      out.values.insert(out.values.end(), first, first + width);
    }
    const auto middle = apart.begin() + static_cast<std::ptrdiff_t>(apart.size() / 2);
    std::nth_element(apart.begin(), middle, apart.end());
    out.end = out.times.back() + *middle;
    return {};
  }

  CsvLines& lines_;
  std::size_t timestamp_ = 0;
  StampReader stamps_;
  std::vector<std::string> fields_;
  std::vector<Row> rows_;
  std::vector<double> values_;
  Regressors regressors_;
};

}  // namespace

Result<Regressors> read_regressors(std::istream& in, const std::string& name) {
  CsvLines lines(in, name, kLongestLine);
  return RegressorRows(lines).read();
}

}  // namespace umbra::forecast
