#include "base/printable.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace umbra {
namespace {

constexpr std::string_view kReplacement = "\uFFFD";
constexpr std::string_view kEllipsis = "…";

struct Range {
  char32_t first, last;
};
/// Unicode's control characters (Cc), separators (Zl, Zp), Bidi_Control, the joiners and blanks of no width, and
/// noncharacters; the last two of each plane are looked for apart.
constexpr std::array kSteering{Range{0x00, 0x1F},      Range{0x7F, 0x9F},     Range{0x061C, 0x061C},
                               Range{0x200B, 0x200F},  Range{0x2028, 0x202E}, Range{0x2060, 0x206F},
                               Range{0xFDD0, 0xFDEF},  Range{0xFEFF, 0xFEFF}, Range{0xFFF9, 0xFFFB},
                               Range{0xE0000, 0xE007F}};

/// "<0>", "<13>": what sd-daemon(3) and syslog(3) read as the priority of a line.
bool begins_with_priority(std::string_view text) {
  if (text.empty() || text.front() != '<') return false;
  const auto end = text.find_first_not_of("0123456789", 1);
  return end != std::string_view::npos && end > 1 && end <= 4 && text[end] == '>';
}

void append_escaped(std::string& out, char32_t point) {
  switch (point) {
    case '\n':
      out += "\\n";
      return;
    case '\r':
      out += "\\r";
      return;
    case '\t':
      out += "\\t";
      return;
    default:
      out += point < 0x80 ? fmt::format("\\x{:02x}", static_cast<std::uint32_t>(point))
                          : fmt::format("\\u{{{:x}}}", static_cast<std::uint32_t>(point));
  }
}

/// `each(piece, code point)` for every character; a byte that begins none comes alone with a length of 0.
template <class Each>
void for_each_character(std::string_view text, Each each) {
  while (!text.empty()) {
    const auto next = decode_utf8(text);
    const auto piece = text.substr(0, std::max<std::size_t>(1, next.length));
    if (!each(piece, next)) return;
    text.remove_prefix(piece.size());
  }
}

/// The beginning of `text` that has at most `most` characters, one of which may have to be the ellipsis.
std::string_view cut(std::string_view text, std::size_t most, bool& whole) {
  std::size_t characters = 0;
  std::size_t before_last = 0;
  std::size_t end = 0;
  whole = true;
  for_each_character(text, [&](std::string_view piece, CodePoint) {
    if (characters == most) return whole = false;
    if (characters + 1 == most) before_last = end;
    ++characters;
    end += piece.size();
    return true;
  });
  return text.substr(0, whole ? end : before_last);
}

}  // namespace

CodePoint decode_utf8(std::string_view text) {
  if (text.empty()) return {};
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const auto lead = byte(0);
  const std::size_t length = lead < 0x80   ? 1
                             : lead < 0xC2 ? 0
                             : lead < 0xE0 ? 2
                             : lead < 0xF0 ? 3
                             : lead < 0xF5 ? 4
                                           : 0;
  if (length == 0 || length > text.size()) return {lead, 0};
  char32_t point = length == 1 ? lead : lead & (0xFFU >> (length + 1));
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xC0U) != 0x80U) return {lead, 0};
    point = (point << 6U) | (byte(i) & 0x3FU);
  }
  const bool overlong = (length == 3 && point < 0x800) || (length == 4 && point < 0x10000);
  const bool surrogate = point >= 0xD800 && point <= 0xDFFF;
  if (overlong || surrogate || point > 0x10FFFF) return {lead, 0};
  return {point, length};
}

bool is_steering(char32_t point) {
  return (point & 0xFFFEU) == 0xFFFE || std::any_of(kSteering.begin(), kSteering.end(), [&](Range range) {
           return point >= range.first && point <= range.last;
         });
}

std::string printable(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  if (begins_with_priority(text)) {
    out += "\\x3c";
    text.remove_prefix(1);
  }
  for_each_character(text, [&](std::string_view piece, CodePoint character) {
    if (character.length == 0)
      out += fmt::format("\\x{:02x}", static_cast<unsigned>(character.point));
    else if (is_steering(character.point))
      append_escaped(out, character.point);
    else
      out += piece;
    return true;
  });
  return out;
}

std::string printable(std::string_view text, std::size_t most) {
  // Each character takes at most as many bytes as "\u{10ffff}" has; so much input is enough to tell what is cut.
  return limited(printable(text.substr(0, std::min(text.size(), 4 * most + 4))), most);
}

std::string valid_utf8(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for_each_character(text, [&](std::string_view piece, CodePoint character) {
    out += character.length == 0 ? kReplacement : piece;
    return true;
  });
  return out;
}

std::string limited(std::string_view text, std::size_t most) {
  bool whole = true;
  const auto kept = cut(text, most, whole);
  auto out = valid_utf8(kept);
  if (!whole) out += kEllipsis;
  return out;
}

}  // namespace umbra
