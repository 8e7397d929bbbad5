/// Tables for people: aligned columns, colour where the terminal wants it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/printable.hpp"

namespace umbra::cli {

enum class Style : std::uint8_t { kPlain, kGood, kWarn, kBad, kFaint, kStrong };

/// Wraps the text in the terminal's colour codes, when `colour`.
std::string styled(std::string_view text, Style style, bool colour);

/// Columns that UTF-8 text takes on a terminal: combining marks none, East Asian wide characters and emoji two.
std::size_t display_width(std::string_view text);
/// The longest beginning of `text` that fits `width` columns.
std::string_view fit(std::string_view text, std::size_t width);
struct Cell {
  Cell(std::string content, Style look = Style::kPlain) : text(std::move(content)), style(look) {}
  Cell(const char* content) : text(content) {}
  std::string text;
  Style style = Style::kPlain;
};

class Table {
 public:
  enum class Align : std::uint8_t { kLeft, kRight };
  struct Column {
    Column(std::string title, Align side = Align::kLeft) : heading(std::move(title)), align(side) {}
    Column(const char* title) : heading(title) {}
    std::string heading;
    Align align = Align::kLeft;
  };

  explicit Table(std::vector<Column> columns);
  /// As many cells as there are columns; an empty one shows as "-". What they hold is made printable().
  void add(std::vector<Cell> row);
  bool empty() const { return rows_.empty(); }
  /// Heading line and rows, each ended by a newline, none by blanks.
  std::string render(bool colour) const;

 private:
  std::vector<Column> columns_;
  std::vector<std::vector<Cell>> rows_;
};

}  // namespace umbra::cli
