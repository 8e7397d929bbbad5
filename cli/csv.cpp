#include "cli/csv.hpp"

#include <charconv>
#include <cmath>
#include <istream>

#include "cli/times.hpp"

namespace umbra::cli {
namespace {

constexpr std::array<std::string_view, 4> kColumns{"vm", "metric", "timestamp", "value"};
constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

bool is_heading(const std::vector<std::string>& fields) {
  return std::equal(fields.begin(), fields.end(), kColumns.begin(), kColumns.end());
}

}  // namespace

Result<std::vector<std::string>> split_csv(std::string_view line) {
  std::vector<std::string> fields;
  while (true) {
    const auto column = fields.size() + 1;
    std::string field;
    if (line.starts_with('"')) {
      line.remove_prefix(1);
      while (true) {
        const auto quote = line.find('"');
        if (quote == std::string_view::npos) return fail(Errc::kInvalid, "column {}: the quote is not closed", column);
        field += line.substr(0, quote);
        line.remove_prefix(quote + 1);
        if (!line.starts_with('"')) break;
        field += '"';
        line.remove_prefix(1);
      }
      if (!line.empty() && line.front() != ',')
        return fail(Errc::kInvalid, "column {}: text after the closing quote", column);
    } else {
      const auto text = line.substr(0, line.find(','));
      field = trimmed(text);
      line.remove_prefix(text.size());
    }
    fields.push_back(std::move(field));
    if (line.empty()) return fields;
    line.remove_prefix(1);
  }
}

Error TelemetryReader::at_column(std::size_t column, std::string cause, std::string remedy) const {
  return {Errc::kInvalid,
          fmt::format("{}:{}: column {} ({}): {}", name_, line_, column, kColumns.at(column - 1), cause),
          std::move(remedy)};
}

Result<std::optional<std::string_view>> TelemetryReader::read_line() {
  in_.getline(buffer_.data(), static_cast<std::streamsize>(buffer_.size()));
  auto length = static_cast<std::size_t>(in_.gcount());
  if (in_.bad()) return fail(Errc::kUnavailable, "{}: reading failed after line {}", name_, line_);
  if (in_.eof() && length == 0) return std::nullopt;
  ++line_;
  if (in_.fail())
    return fail({Errc::kInvalid,
                 fmt::format("{}:{}: the line is longer than {} bytes", name_, line_, buffer_.size() - 1),
                 "a line holds vm,metric,timestamp,value; is this a CSV file?"});
  if (!in_.eof()) --length;  // gcount() counts the line feed
  std::string_view text(buffer_.data(), length);
  if (text.ends_with('\r')) text.remove_suffix(1);
  if (line_ == 1 && text.starts_with(kByteOrderMark)) text.remove_prefix(kByteOrderMark.size());
  return text;
}

Result<std::optional<TelemetryRow>> TelemetryReader::next() {
  while (true) {
    UMBRA_TRY(const auto text, read_line());
    if (!text) return std::nullopt;
    if (trimmed(*text).empty()) continue;
    auto fields = split_csv(*text);
    if (!fields)
      return fail({Errc::kInvalid, fmt::format("{}:{}: {}", name_, line_, fields.error().message),
                   "quote a field as \"…\" and double the quotes inside it"});
    if (line_ == 1 && is_heading(*fields)) continue;
    UMBRA_TRY(auto row, parse(*fields));
    return row;
  }
}

Result<TelemetryRow> TelemetryReader::parse(const std::vector<std::string>& fields) const {
  if (fields.size() != kColumns.size())
    return fail({Errc::kInvalid,
                 fmt::format("{}:{}: {} columns instead of {}", name_, line_, fields.size(), kColumns.size()),
                 "a line holds vm,metric,timestamp,value, parted by commas"});
  TelemetryRow row{fields[0], fields[1], 0, 0};
  if (row.vm.empty()) return fail(at_column(1, "no VM is named", "give the VM's name or uuid"));
  if (std::find(kMetrics.begin(), kMetrics.end(), row.metric) == kMetrics.end())
    return fail(at_column(2, fmt::format("'{}' is not a metric", row.metric),
                          fmt::format("known are {}", fmt::join(kMetrics, ", "))));
  const auto at = parse_time(fields[2]);
  if (!at) return fail(at_column(3, at.error().message, at.error().remedy));
  row.at = *at;
  const auto& number = fields[3];
  const auto [rest, error] = std::from_chars(number.data(), number.data() + number.size(), row.value);
  if (error != std::errc{} || rest != number.data() + number.size() || !std::isfinite(row.value))
    return fail(at_column(4, fmt::format("'{}' is not a number", number),
                          "write it like 1.5; leave out lines that have no value"));
  if (row.value < 0) return fail(at_column(4, fmt::format("{} is negative", number), "every metric is zero or more"));
  return row;
}

}  // namespace umbra::cli
