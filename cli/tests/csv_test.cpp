#include "cli/csv.hpp"

#include <gmock/gmock.h>

#include <sstream>

namespace umbra::cli {
namespace {

using testing::HasSubstr;

/// All rows of a file, or the error that ended it.
Result<std::vector<TelemetryRow>> read_all(const std::string& text) {
  std::istringstream in(text);
  TelemetryReader reader(in, "history.csv");
  std::vector<TelemetryRow> rows;
  while (true) {
    UMBRA_TRY(auto row, reader.next());
    if (!row) return rows;
    rows.push_back(std::move(*row));
  }
}

TEST(Csv, RowsAreReadWithAndWithoutHeadingWhateverTheLineEnds) {
  const std::string rows = "web1,cpu,2026-05-01T12:00:00Z,0.5\nweb1,memory,1777636860,268435456";
  for (const auto& text :
       {rows, rows + "\n", "vm,metric,timestamp,value\n" + rows,
        std::string("\xEF\xBB\xBFvm,metric,timestamp,value\r\n\r\nweb1,cpu,1777636800,0.5\r\nweb1,memory,1777636860,"
                    "268435456\r\n")}) {
    const auto read = read_all(text);
    ASSERT_TRUE(read) << read.error().text();
    ASSERT_EQ(read->size(), 2U);
    EXPECT_EQ(read->at(0).vm, "web1");
    EXPECT_EQ(read->at(0).metric, "cpu");
    EXPECT_EQ(read->at(0).at, 1'777'636'800'000);
    EXPECT_EQ(read->at(0).value, 0.5);
    EXPECT_EQ(read->at(1).metric, "memory");
    EXPECT_EQ(read->at(1).value, 268435456);
  }
}

TEST(Csv, AnEmptyFileHasNoRows) {
  EXPECT_TRUE(read_all("")->empty());
  EXPECT_TRUE(read_all("vm,metric,timestamp,value\n\n")->empty());
}

TEST(Csv, MalformedRowsAreRefusedWithLineColumnCauseAndRemedy) {
  struct Case {
    const char *line, *cause, *remedy;
  };
  const Case cases[] = {
      {"web1,cpu,1777636800", "history.csv:2: 3 columns instead of 4", "vm,metric,timestamp,value"},
      {"web1,cpu,1777636800,1,2", "history.csv:2: 5 columns instead of 4", "parted by commas"},
      {",cpu,1777636800,1", "history.csv:2: column 1 (vm): no VM is named", "name or uuid"},
      {"web1,heat,1777636800,1", "history.csv:2: column 2 (metric): 'heat' is not a metric", "known are cpu, memory"},
      {"web1,cpu,noon,1", "history.csv:2: column 3 (timestamp): 'noon' is not a time", "2026-05-01T12:00:00Z"},
      {"web1,cpu,2026-05-01T12:00:00,1",
       "column 3 (timestamp): '2026-05-01T12:00:00' is not a time: it has no time zone", "+02:00"},
      {"web1,cpu,1777636800,1e999", "history.csv:2: column 4 (value): '1e999' is not a number", "like 1.5"},
      {"web1,cpu,1777636800,nan", "column 4 (value): 'nan' is not a number", "leave out"},
      {"web1,cpu,1777636800,", "column 4 (value): '' is not a number", "leave out"},
      {"web1,cpu,1777636800,50 %", "column 4 (value): '50 %' is not a number", "like 1.5"},
      {"web1,cpu,1777636800,-1", "history.csv:2: column 4 (value): -1 is negative", "zero or more"},
      {"\"web1,cpu,1777636800,1", "history.csv:2: column 1: the quote is not closed", "double the quotes"},
      {"vm,metric,timestamp,value", "column 2 (metric): 'metric' is not a metric", "known are"},
  };
  for (const auto& [line, cause, remedy] : cases) {
    const auto read = read_all(std::string("web1,cpu,1777636800,1\n") + line + "\n");
    ASSERT_FALSE(read) << line;
    EXPECT_EQ(read.error().code, Errc::kInvalid);
    EXPECT_THAT(read.error().message, HasSubstr(cause)) << line;
    EXPECT_THAT(read.error().remedy, HasSubstr(remedy)) << line;
  }
}

TEST(Csv, AFileThatIsNoTextAtAllDoesNotFillTheMemory) {
  const auto read = read_all(std::string(1 << 20, 'x'));
  ASSERT_FALSE(read);
  EXPECT_THAT(read.error().message, HasSubstr("history.csv:1: the line is longer than"));
  const auto zeros = read_all(std::string(100, '\0'));
  ASSERT_FALSE(zeros);
  EXPECT_THAT(zeros.error().message, HasSubstr("history.csv:1: 1 columns instead of 4"));
}

TEST(Csv, AMillionRowsAreReadAsAStream) {
  std::stringstream in;
  for (int i = 0; i < 1'000'000; ++i) in << "web1,cpu," << 1'700'000'000 + i << ",0.25\n";
  TelemetryReader reader(in, "history.csv");
  std::uint64_t rows = 0;
  while (reader.next().value()) ++rows;
  EXPECT_EQ(rows, 1'000'000U);
  EXPECT_EQ(reader.line(), 1'000'000U);
}

}  // namespace
}  // namespace umbra::cli
