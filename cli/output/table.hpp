/// Tables for people: aligned columns, colour where the terminal wants it.
#pragma once

#include <cstdint>
#include <optional>
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
  /// A quantity, which sorts by its number and not by how it is written ("512 MiB" before "1.00 GiB").
  Cell(std::string content, double quantity, Style look = Style::kPlain)
      : text(std::move(content)), style(look), number(quantity) {}
  std::string text;
  Style style = Style::kPlain;
  std::optional<double> number;
};

/// As people count: "host2" before "host10".
bool natural_less(std::string_view a, std::string_view b);
/// By number where both have one, else as people count. What is not known ("" or "-") comes last, also in reverse.
bool sorts_before(const Cell& a, const Cell& b, bool reverse);

class Table {
 public:
  enum class Align : std::uint8_t { kLeft, kRight };
  struct Column {
    Column(std::string title, Align side = Align::kLeft, int yields_as = 0)
        : heading(std::move(title)), align(side), yields(yields_as) {}
    Column(const char* title) : heading(title) {}
    std::string heading;
    Align align = Align::kLeft;
    /// Where room is short the columns with the largest give way first; 0: never.
    int yields = 0;
  };

  explicit Table(std::vector<Column> columns);
  /// As many cells as there are columns; an empty one shows as "-". What they hold is made printable().
  void add(std::vector<Cell> row);
  bool empty() const { return rows_.empty(); }
  /// Heading line and rows, each ended by a newline, none by blanks. Where that is wider than `room` (0: no limit),
  /// the least important columns are shortened, with "…" at the end, or left out where that is not enough.
  std::string render(bool colour, std::size_t room = 0) const;

 private:
  /// Of each column; 0 when it is left out.
  std::vector<std::size_t> widths(std::size_t room) const;
  std::vector<Column> columns_;
  std::vector<std::vector<Cell>> rows_;
};

}  // namespace umbra::cli
