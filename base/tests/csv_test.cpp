#include "base/csv.hpp"

#include <gmock/gmock.h>

#include <sstream>

namespace umbra {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST(Csv, FieldsMayBeQuoted) {
  std::vector<std::string> fields{"left", "from", "the", "line", "before"};
  ASSERT_TRUE(split_csv("a, b ,,c", fields));
  EXPECT_THAT(fields, ElementsAre("a", "b", "", "c"));
  ASSERT_TRUE(split_csv(R"("a, b","say ""hi""",)", fields));
  EXPECT_THAT(fields, ElementsAre("a, b", "say \"hi\"", ""));
  EXPECT_THAT(split_csv(R"(a,"b)", fields).error().message, HasSubstr("column 2: the quote is not closed"));
  EXPECT_THAT(split_csv(R"("a"b,c)", fields).error().message, HasSubstr("column 1: text after the closing quote"));
}

TEST(Csv, LinesAreCountedAlsoWhereTheyAreEmpty) {
  std::istringstream in(
      "\xEF\xBB\xBF"
      "a,b\r\n\r\n \n1,2");
  CsvLines lines(in, "f.csv");
  std::vector<std::string> fields;
  ASSERT_TRUE(lines.next(fields).value());
  EXPECT_THAT(fields, ElementsAre("a", "b"));
  ASSERT_TRUE(lines.next(fields).value());
  EXPECT_THAT(fields, ElementsAre("1", "2"));
  EXPECT_EQ(lines.line(), 4U);
  EXPECT_FALSE(lines.next(fields).value());
}

TEST(Csv, ALineThatIsTooLongIsRefusedByItsNumber) {
  std::istringstream in("12345678\n123456789\n");
  CsvLines lines(in, "f.csv", 8);
  EXPECT_EQ(lines.next_line().value(), "12345678");
  EXPECT_THAT(lines.next_line().error().message, HasSubstr("f.csv:2: the line is longer than 8 bytes"));
}

TEST(Csv, NumbersAreFiniteAndNothingElse) {
  EXPECT_EQ(parse_number("1.5"), 1.5);
  EXPECT_EQ(parse_number("+2"), 2);
  EXPECT_EQ(parse_number("-1e-3"), -0.001);
  for (const char* text : {"", "+", "+-1", "1 ", "1,5", "nan", "-inf", "Infinity", "1e999", "0x10", "--1"})
    EXPECT_EQ(parse_number(text), std::nullopt) << text;
}

}  // namespace
}  // namespace umbra
