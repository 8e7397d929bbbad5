#include "cli/output/svg.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "base/printable.hpp"
#include "cli/output/table.hpp"

namespace umbra::cli {
namespace {

constexpr std::string_view kReplacement = "\uFFFD";
constexpr std::string_view kEllipsis = "…";
constexpr double kColumnWidth = 0.62;  // of the font size: DejaVu Sans' digits are 0.636, most fonts' letters 0.55

bool blank(char32_t point) {
  return point == '\t' || point == '\n' || point == '\r';
}

}  // namespace

std::string legible(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const auto [point, length] = decode_utf8(text);
    if (length > 0 && blank(point))
      out += ' ';
    else if (length > 0 && !is_steering(point))
      out += text.substr(0, length);
    else
      out += kReplacement;
    text.remove_prefix(std::max<std::size_t>(1, length));
  }
  return out;
}

std::string shortened(std::string_view text, double width, double font_size) {
  const auto whole = legible(text);
  if (text_width(whole, font_size) <= width) return whole;
  const auto columns = static_cast<std::size_t>(std::max(1.0, width / (kColumnWidth * font_size)));
  return std::string(fit(whole, columns - 1)) + std::string(kEllipsis);
}

std::string xml_text(std::string_view text) {
  std::string out;
  for (const auto c : legible(text)) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

double text_width(std::string_view text, double font_size) {
  return static_cast<double>(display_width(text)) * kColumnWidth * font_size;
}

std::string coordinate(double value) {
  if (!std::isfinite(value)) return "0";
  auto text = fmt::format("{:.1f}", std::clamp(value, -1e6, 1e6));
  if (text.ends_with(".0")) text.resize(text.size() - 2);
  return text == "-0" ? "0" : text;
}

}  // namespace umbra::cli
