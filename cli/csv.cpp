#include "cli/csv.hpp"

#include "cli/times.hpp"

namespace umbra::cli {
namespace {

constexpr std::array<std::string_view, 4> kColumns{"vm", "metric", "timestamp", "value"};

bool is_heading(const std::vector<std::string>& fields) {
  return std::equal(fields.begin(), fields.end(), kColumns.begin(), kColumns.end());
}

}  // namespace

Error TelemetryReader::at_column(std::size_t column, std::string cause, std::string remedy) const {
  return lines_.error(fmt::format("column {} ({}): {}", column, kColumns.at(column - 1), cause), std::move(remedy));
}

Result<std::optional<TelemetryRow>> TelemetryReader::next() {
  do {
    UMBRA_TRY(const bool found, lines_.next(fields_));
    if (!found) return std::nullopt;
  } while (lines_.line() == 1 && is_heading(fields_));
  UMBRA_TRY(auto row, parse());
  return row;
}

Result<TelemetryRow> TelemetryReader::parse() const {
  if (fields_.size() != kColumns.size())
    return fail(lines_.error(fmt::format("{} columns instead of {}", fields_.size(), kColumns.size()),
                             "a line holds vm,metric,timestamp,value, parted by commas"));
  TelemetryRow row{fields_[0], fields_[1], 0, 0};
  if (row.vm.empty()) return fail(at_column(1, "no VM is named", "give the VM's name or uuid"));
  if (std::find(kMetrics.begin(), kMetrics.end(), row.metric) == kMetrics.end())
    return fail(at_column(2, fmt::format("'{}' is not a metric", row.metric),
                          fmt::format("known are {}", fmt::join(kMetrics, ", "))));
  const auto at = parse_time(fields_[2]);
  if (!at) return fail(at_column(3, at.error().message, at.error().remedy));
  row.at = *at;
  const auto value = parse_number(fields_[3]);
  if (!value)
    return fail(at_column(4, fmt::format("'{}' is not a number", fields_[3]),
                          "write it like 1.5; leave out lines that have no value"));
  row.value = *value;
  if (row.value < 0)
    return fail(at_column(4, fmt::format("{} is negative", fields_[3]), "every metric is zero or more"));
  return row;
}

}  // namespace umbra::cli
