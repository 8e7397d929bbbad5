#include "cli/output/table.hpp"

#include <algorithm>
#include <array>
#include <cassert>
#include <functional>

namespace umbra::cli {
namespace {

constexpr std::size_t kGap = 2;
constexpr std::size_t kLeast = 4;  // of a shortened text, with its "…"

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

bool natural_less(std::string_view a, std::string_view b) {
  const auto digit = [](char letter) { return letter >= '0' && letter <= '9'; };
  const auto number = [&](std::string_view& text) {
    text.remove_prefix(std::min(text.find_first_not_of('0'), text.size()));
    const auto end = std::ranges::find_if_not(text, digit);
    const auto digits = text.substr(0, static_cast<std::size_t>(end - text.begin()));
    text.remove_prefix(digits.size());
    return std::pair(digits.size(), digits);
  };
  const auto whole = std::pair(a, b);  // where only leading zeros differ
  while (!a.empty() && !b.empty()) {
    if (digit(a.front()) && digit(b.front())) {
      const auto one = number(a), other = number(b);
      if (one != other) return one < other;
    } else {
      if (a.front() != b.front()) return a.front() < b.front();
      a.remove_prefix(1);
      b.remove_prefix(1);
    }
  }
  return a.empty() && b.empty() ? whole.first < whole.second : a.empty();
}

bool sorts_before(const Cell& a, const Cell& b, bool reverse) {
  const auto unknown = [](const Cell& cell) { return cell.text.empty() || cell.text == "-"; };
  if (unknown(a) || unknown(b)) return !unknown(a);
  const auto& less = reverse ? b : a;
  const auto& more = reverse ? a : b;
  return a.number && b.number ? *less.number < *more.number : natural_less(less.text, more.text);
}

Table::Table(std::vector<Column> columns) : columns_(std::move(columns)) {}

void Table::add(std::vector<Cell> row) {
  assert(row.size() == columns_.size());
  for (auto& cell : row) cell.text = cell.text.empty() ? "-" : printable(cell.text);
  rows_.push_back(std::move(row));
}

std::vector<std::size_t> Table::widths(std::size_t room) const {
  std::vector<std::size_t> widths;
  std::size_t total = 0;
  for (std::size_t i = 0; i < columns_.size(); ++i) {
    auto width = display_width(columns_[i].heading);
    for (const auto& row : rows_) width = std::max(width, display_width(row[i].text));
    widths.push_back(width);
    total += width + (i == 0 ? 0 : kGap);
  }
  std::vector<std::size_t> yielding;
  for (std::size_t i = 0; i < columns_.size(); ++i)
    if (columns_[i].yields > 0) yielding.push_back(i);
  std::ranges::stable_sort(yielding, std::greater{}, [this](std::size_t i) { return columns_[i].yields; });
  for (const auto i : yielding) {
    if (room == 0 || total <= room) break;
    const auto excess = total - room;
    const bool text = columns_[i].align == Align::kLeft;  // a number without its end would be another number
    const bool enough = text && widths[i] >= kLeast + excess;
    total -= enough ? excess : widths[i] + kGap;
    widths[i] = enough ? widths[i] - excess : 0;
  }
  return widths;
}

std::string Table::render(bool colour, std::size_t room) const {
  const auto widths = this->widths(room);
  std::size_t last = 0;
  for (std::size_t i = 0; i < widths.size(); ++i)
    if (widths[i] > 0) last = i;
  std::string out;
  const auto put = [&](std::size_t column, const std::string& text, Style style) {
    if (widths[column] == 0) return;
    const bool whole = display_width(text) <= widths[column];
    const auto shown = whole ? text : std::string(fit(text, widths[column] - 1)) + "…";
    const auto pad = widths[column] - display_width(shown);
    const bool right = columns_[column].align == Align::kRight;
    if (right) out.append(pad, ' ');
    out += styled(shown, style, colour);
    if (column == last)
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
