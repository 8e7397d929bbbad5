#include "base/csv.hpp"

#include <charconv>
#include <cmath>
#include <istream>

namespace umbra {
namespace {

constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

/// Moves a quoted field from the front of `line`, after its opening quote, to `field`; false if no quote ends it.
bool take_quoted(std::string_view& line, std::string& field) {
  while (true) {
    const auto quote = line.find('"');
    if (quote == std::string_view::npos) return false;
    field += line.substr(0, quote);
    line.remove_prefix(quote + 1);
    if (!line.starts_with('"')) return true;
    field += '"';
    line.remove_prefix(1);
  }
}

}  // namespace

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

std::optional<double> parse_number(std::string_view text) {
  if (text.starts_with('+') && !text.starts_with("+-")) text.remove_prefix(1);
  double value = 0;
  const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || rest != text.data() + text.size() || !std::isfinite(value)) return std::nullopt;
  return value;
}

Result<void> split_csv(std::string_view line, std::vector<std::string>& fields) {
  for (std::size_t column = 1;; ++column) {
    if (fields.size() < column) fields.emplace_back();
    auto& field = fields[column - 1];
    field.clear();
    if (line.starts_with('"')) {
      line.remove_prefix(1);
      if (!take_quoted(line, field)) return fail(Errc::kInvalid, "column {}: the quote is not closed", column);
      if (!line.empty() && line.front() != ',')
        return fail(Errc::kInvalid, "column {}: text after the closing quote", column);
    } else {
      const auto text = line.substr(0, line.find(','));
      field = trimmed(text);
      line.remove_prefix(text.size());
    }
    if (line.empty()) {
      fields.resize(column);
      return {};
    }
    line.remove_prefix(1);
  }
}

Error CsvLines::error(std::string_view cause, std::string remedy) const {
  return {Errc::kInvalid, fmt::format("{}:{}: {}", name_, line_, cause), std::move(remedy)};
}

Result<std::optional<std::string_view>> CsvLines::next_line() {
  in_.getline(buffer_.data(), static_cast<std::streamsize>(buffer_.size()));
  auto length = static_cast<std::size_t>(in_.gcount());
  if (in_.bad()) return fail(Errc::kUnavailable, "{}: reading failed after line {}", name_, line_);
  if (in_.eof() && length == 0) return std::nullopt;
  ++line_;
  if (in_.fail())
    return fail(error(fmt::format("the line is longer than {} bytes", buffer_.size() - 1), "is this a text file?"));
  if (!in_.eof()) --length;  // gcount() counts the line feed
  std::string_view text(buffer_.data(), length);
  if (text.ends_with('\r')) text.remove_suffix(1);
  if (line_ == 1 && text.starts_with(kByteOrderMark)) text.remove_prefix(kByteOrderMark.size());
  return text;
}

Result<bool> CsvLines::next(std::vector<std::string>& fields) {
  while (true) {
    UMBRA_TRY(const auto text, next_line());
    if (!text) return false;
    if (trimmed(*text).empty()) continue;
    if (auto split = split_csv(*text, fields); !split)
      return fail(error(split.error().message, "quote a field as \"…\" and double the quotes inside it"));
    return true;
  }
}

std::string csv_field(std::string_view text) {
  if (text.find_first_of(",\"\r\n") == std::string_view::npos) return std::string(text);
  std::string out = "\"";
  for (const auto c : text) out += c == '"' ? std::string("\"\"") : std::string(1, c);
  return out + "\"";
}

}  // namespace umbra
