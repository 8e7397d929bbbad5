#include "cli/output/table.hpp"

#include <algorithm>
#include <array>
#include <cassert>

namespace umbra::cli {
namespace {

constexpr std::size_t kGap = 2;

struct Range {
  char32_t first, last;
};
// The blocks that matter in names and messages, after Unicode's EastAsianWidth.txt and the combining blocks.
constexpr std::array kZeroWidth{Range{0x0300, 0x036F}, Range{0x200B, 0x200F}, Range{0x20D0, 0x20FF},
                                Range{0xFE00, 0xFE0F}};
constexpr std::array kDoubleWidth{Range{0x1100, 0x115F}, Range{0x2E80, 0xA4CF},   Range{0xAC00, 0xD7A3},
                                  Range{0xF900, 0xFAFF}, Range{0xFE30, 0xFE6F},   Range{0xFF00, 0xFF60},
                                  Range{0xFFE0, 0xFFE6}, Range{0x1F300, 0x1FAFF}, Range{0x20000, 0x3FFFD}};

template <std::size_t N>
bool within(const std::array<Range, N>& ranges, char32_t point) {
  return std::any_of(ranges.begin(), ranges.end(),
                     [&](Range range) { return point >= range.first && point <= range.last; });
}

/// The code point that `text` begins with; a byte that begins none counts as one column of its own.
CodePoint decode(std::string_view text) {
  const auto next = decode_utf8(text);
  return next.length == 0 ? CodePoint{U'?', 1} : next;
}

std::size_t width_of(char32_t point) {
  return within(kZeroWidth, point) ? 0 : within(kDoubleWidth, point) ? 2 : 1;
}

std::string_view code(Style style) {
  switch (style) {
    case Style::kPlain:
      return "";
    case Style::kGood:
      return "\x1b[32m";
    case Style::kWarn:
      return "\x1b[33m";
    case Style::kBad:
      return "\x1b[31m";
    case Style::kFaint:
      return "\x1b[2m";
    case Style::kStrong:
      return "\x1b[1m";
  }
  return "";
}

}  // namespace

std::string styled(std::string_view text, Style style, bool colour) {
  if (!colour || style == Style::kPlain) return std::string(text);
  return fmt::format("{}{}\x1b[0m", code(style), text);
}

std::size_t display_width(std::string_view text) {
  std::size_t width = 0;
  while (!text.empty()) {
    const auto [point, length] = decode(text);
    width += width_of(point);
    text.remove_prefix(length);
  }
  return width;
}

std::string_view fit(std::string_view text, std::size_t width) {
  std::size_t used = 0;
  std::size_t end = 0;
  while (end < text.size()) {
    const auto [point, length] = decode(text.substr(end));
    used += width_of(point);
    if (used > width) break;
    end += length;
  }
  return text.substr(0, end);
}

Table::Table(std::vector<Column> columns) : columns_(std::move(columns)) {}

void Table::add(std::vector<Cell> row) {
  assert(row.size() == columns_.size());
  for (auto& cell : row) cell.text = cell.text.empty() ? "-" : printable(cell.text);
  rows_.push_back(std::move(row));
}

std::string Table::render(bool colour) const {
  std::vector<std::size_t> widths;
  for (std::size_t i = 0; i < columns_.size(); ++i) {
    auto width = display_width(columns_[i].heading);
    for (const auto& row : rows_) width = std::max(width, display_width(row[i].text));
    widths.push_back(width);
  }
  std::string out;
  const auto put = [&](std::size_t column, std::string_view text, Style style) {
    const bool last = column + 1 == columns_.size();
    const auto pad = widths[column] - display_width(text);
    const bool right = columns_[column].align == Align::kRight;
    if (right) out.append(pad, ' ');
    out += styled(text, style, colour);
    if (last)
      out += '\n';
    else
      out.append((right ? 0 : pad) + kGap, ' ');
  };
  for (std::size_t i = 0; i < columns_.size(); ++i) put(i, columns_[i].heading, Style::kStrong);
  for (const auto& row : rows_)
    for (std::size_t i = 0; i < row.size(); ++i) put(i, row[i].text, row[i].style);
  return out;
}

}  // namespace umbra::cli
