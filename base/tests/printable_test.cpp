#include "base/printable.hpp"

#include <gmock/gmock.h>

namespace umbra {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST(Printable, ShowsWhatWouldSteerItsReader) {
  struct Case {
    std::string_view from, to;
  };
  const Case cases[] = {
      {"", ""},
      {"web1", "web1"},
      {"Zürich, 東京, 🙂, e\u0301", "Zürich, 東京, 🙂, e\u0301"},
      {"a\nb", "a\\nb"},
      {"a\r\n<0>b", "a\\r\\n<0>b"},
      {"\t", "\\t"},
      {std::string_view("\0", 1), "\\x00"},
      {"\x1b[2J", "\\x1b[2J"},
      {"\x7f", "\\x7f"},
      {"\u009b31m", "\\u{9b}31m"},  // C1: CSI
      {"\u0085", "\\u{85}"},        // next line
      {"\x9b", "\\x9b"},            // the same as a stray byte
      {"a\u202eb\u202c", "a\\u{202e}b\\u{202c}"},
      {"\u2066x\u2069", "\\u{2066}x\\u{2069}"},
      {"a\u200bb\u200f", "a\\u{200b}b\\u{200f}"},
      {"\u061c", "\\u{61c}"},
      {"\ufeff", "\\u{feff}"},
      {"\u2028\u2029", "\\u{2028}\\u{2029}"},
      {"\xff\xfe", "\\xff\\xfe"},
      {"\xc0\xaf", "\\xc0\\xaf"},           // overlong
      {"\xed\xa0\x80", "\\xed\\xa0\\x80"},  // a surrogate
      {"\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80"},
      {"\xe6\x9d", "\\xe6\\x9d"},  // cut short
      {"\uffff", "\\u{ffff}"},
      {"<0>emergency", "\\x3c0>emergency"},
      {"<7>x", "\\x3c7>x"},
      {"<191>x", "\\x3c191>x"},
      {"<b>x", "<b>x"},
      {"<>", "<>"},
      {"<1", "<1"},
      {"a <0>", "a <0>"},
  };
  for (const auto& [from, to] : cases) {
    EXPECT_EQ(printable(from), to);
    EXPECT_EQ(printable(printable(from)), to) << "once more changes nothing";
  }
}

TEST(Printable, EveryByteAndEveryCharacterGivesOneLineOfWellFormedText) {
  for (int byte = 0; byte < 256; ++byte) {
    const auto out = printable(std::string(3, static_cast<char>(byte)));
    EXPECT_EQ(valid_utf8(out), out);
    EXPECT_THAT(out, Not(HasSubstr("\n")));
  }
  for (char32_t point = 0x80; point <= 0x10FFFF; ++point) {
    std::string text;
    if (point < 0x800) {
      text = {static_cast<char>(0xC0 | point >> 6), static_cast<char>(0x80 | (point & 0x3F))};
    } else if (point < 0x10000) {
      text = {static_cast<char>(0xE0 | point >> 12), static_cast<char>(0x80 | (point >> 6 & 0x3F)),
              static_cast<char>(0x80 | (point & 0x3F))};
    } else {
      text = {static_cast<char>(0xF0 | point >> 18), static_cast<char>(0x80 | (point >> 12 & 0x3F)),
              static_cast<char>(0x80 | (point >> 6 & 0x3F)), static_cast<char>(0x80 | (point & 0x3F))};
    }
    const bool surrogate = point >= 0xD800 && point <= 0xDFFF;
    ASSERT_EQ(printable(text) == text, !surrogate && !is_steering(point)) << static_cast<std::uint32_t>(point);
  }
}

TEST(Printable, LongTextsAreCutAtACharacterWithAMark) {
  EXPECT_EQ(printable("abcdef", 6), "abcdef");
  EXPECT_EQ(printable("abcdefg", 6), "abcde…");
  EXPECT_EQ(limited("東京東京", 3), "東京…");
  EXPECT_EQ(limited("東京東", 3), "東京東");
  EXPECT_EQ(limited("a\xff", 5), "a\uFFFD");
  EXPECT_EQ(limited("ab", 1), "…");
  EXPECT_EQ(printable(std::string(1'000'000, 'x'), 2'000).size(), 1'999 + std::string_view("…").size());
  EXPECT_EQ(printable(std::string(10, '\n'), 4), "\\n\\…");
}

}  // namespace
}  // namespace umbra
