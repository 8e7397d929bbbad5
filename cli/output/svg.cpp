#include "cli/output/svg.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "cli/output/table.hpp"

namespace umbra::cli {
namespace {

constexpr std::string_view kReplacement = "\uFFFD";
constexpr std::string_view kEllipsis = "…";
constexpr double kColumnWidth = 0.62;  // of the font size: DejaVu Sans' digits are 0.636, most fonts' letters 0.55

/// Bytes of the well-formed UTF-8 sequence (RFC 3629) that `text` begins with; 0 for none.
std::size_t sequence(std::string_view text, char32_t& point) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const auto lead = byte(0);
  const std::size_t length = lead < 0x80   ? 1
                             : lead < 0xC2 ? 0
                             : lead < 0xE0 ? 2
                             : lead < 0xF0 ? 3
                             : lead < 0xF5 ? 4
                                           : 0;
  if (length == 0 || length > text.size()) return 0;
  point = length == 1 ? lead : lead & (0xFFU >> (length + 1));
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xC0U) != 0x80U) return 0;
    point = (point << 6U) | (byte(i) & 0x3FU);
  }
  const bool overlong = (length == 3 && point < 0x800) || (length == 4 && point < 0x10000);
  const bool surrogate = point >= 0xD800 && point <= 0xDFFF;
  return overlong || surrogate || point > 0x10FFFF ? 0 : length;
}

bool blank(char32_t point) {
  return point == '\t' || point == '\n' || point == '\r';
}

bool allowed(char32_t point) {
  const bool control = point < 0x20 || (point >= 0x7F && point < 0xA0);
  const bool direction = (point >= 0x202A && point <= 0x202E) || (point >= 0x2066 && point <= 0x2069);
  const bool no_character = (point & 0xFFFEU) == 0xFFFE || (point >= 0xFDD0 && point <= 0xFDEF);
  return !control && !direction && !no_character && point != 0x2028 && point != 0x2029;
}

}  // namespace

std::string legible(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    char32_t point = 0;
    const auto length = sequence(text, point);
    if (length > 0 && blank(point))
      out += ' ';
    else if (length > 0 && allowed(point))
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
