#include "forecast_io/icalendar.hpp"

#include <algorithm>

namespace umbra::forecast {
namespace {

constexpr std::size_t kLongest = 1 << 20;  // bytes in an unfolded line

bool is_name(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-';
  });
}

std::string capitals(std::string_view text) {
  std::string out(text);
  for (char& c : out)
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  return out;
}

/// Eats a parameter's value, which may be quoted, and may be several.
std::optional<std::string> take_value(std::string_view& text) {
  std::string value;
  bool quoted = false;
  while (!text.empty() && (quoted || (text.front() != ';' && text.front() != ':'))) {
    if (text.front() == '"')
      quoted = !quoted;
    else
      value += text.front();
    text.remove_prefix(1);
  }
  if (quoted) return std::nullopt;
  return value;
}

}  // namespace

std::string_view ContentLine::parameter(std::string_view wanted) const {
  for (const auto& [key, text] : parameters)
    if (key == wanted) return text;
  return {};
}

Error ContentLines::error(std::uint64_t line, std::string_view cause, std::string remedy, Errc code) const {
  return {code, fmt::format("{}:{}: {}", lines_.name(), line, cause), std::move(remedy)};
}

Result<std::optional<std::string>> ContentLines::unfold(std::uint64_t& line) {
  auto whole = std::move(ahead_);
  line = ahead_line_;
  ahead_.reset();
  while (true) {
    UMBRA_TRY(const auto more, lines_.next_line());
    if (!more) return whole;
    if (whole && (more->starts_with(' ') || more->starts_with('\t'))) {
      *whole += more->substr(1);
      if (whole->size() > kLongest)
        return fail(error(line, fmt::format("the line is longer than {} bytes", kLongest), "is this a calendar?"));
    } else if (whole) {
      ahead_ = *more;
      ahead_line_ = lines_.line();
      return whole;
    } else {
      whole = *more;
      line = lines_.line();
    }
  }
}

Result<std::optional<ContentLine>> ContentLines::next() {
  ContentLine content;
  std::optional<std::string> whole;
  do {
    UMBRA_TRY(whole, unfold(content.line));
    if (!whole) return std::nullopt;
  } while (trimmed(*whole).empty());
  const auto refuse = [&](std::string_view cause) {
    return fail(
        error(content.line, cause, "lines look like SUMMARY:Backup or DTSTART;TZID=Europe/Berlin:20260501T090000"));
  };
  std::string_view rest = *whole;
  const auto name = rest.substr(0, rest.find_first_of(";:"));
  if (!is_name(name)) return refuse(fmt::format("'{}' is not a line of a calendar", excerpt(rest)));
  content.name = capitals(name);
  rest.remove_prefix(name.size());
  while (rest.starts_with(';')) {
    rest.remove_prefix(1);
    const auto key = rest.substr(0, rest.find_first_of("=;:"));
    rest.remove_prefix(key.size());
    if (!is_name(key) || !rest.starts_with('='))
      return refuse(fmt::format("a parameter of {} has no value", content.name));
    rest.remove_prefix(1);
    auto value = take_value(rest);
    if (!value) return refuse("a quote is not closed");
    content.parameters.emplace_back(capitals(key), std::move(*value));
  }
  if (!rest.starts_with(':')) return refuse(fmt::format("{} has no value", content.name));
  content.value = rest.substr(1);
  return content;
}

}  // namespace umbra::forecast
