#include "forecast_io/series_file.hpp"

#include <gmock/gmock.h>

#include <cmath>
#include <fstream>
#include <sstream>

namespace umbra::forecast {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::NanSensitiveDoubleEq;

constexpr double kGap = std::numeric_limits<double>::quiet_NaN();
constexpr UnixMillis kMay = 1'777'593'600'000;  // 2026-05-01T00:00:00Z, by `date`

Result<SeriesFile> series_of(const std::string& text) {
  std::istringstream in(text);
  return read_series(in, "F.csv");
}

SeriesFile must_read(const std::string& text) {
  auto file = series_of(text);
  EXPECT_TRUE(file) << text << file.error().text();
  return file.value_or(SeriesFile{});
}

void expect_values(const NamedSeries& series, const std::vector<double>& expected) {
  EXPECT_THAT(series.series.values, testing::Pointwise(testing::NanSensitiveDoubleEq(), expected)) << series.name;
}

TEST(SeriesFile, SeriesMayBeInterleavedOfDifferentLengthAndInAnyColumnOrder) {
  const auto file = must_read(
      "value,series,timestamp\n"
      "1,web,2026-05-01T00:00:00Z\n"
      "10,\"db, main\",2026-05-01T01:00\n"
      "2,web,2026-05-01T00:05Z\n"
      "20,\"db, main\",2026-05-01 02:00:00+00:00\n"
      "3,web,2026-05-01T02:10:00.000+02:00\n");
  EXPECT_EQ(file.kind, TimeKind::kIso);
  ASSERT_EQ(file.series.size(), 2U);
  EXPECT_EQ(file.series[0].name, "web");
  EXPECT_EQ(file.series[0].series.start, kMay);
  EXPECT_EQ(file.series[0].series.step, std::chrono::minutes(5));
  expect_values(file.series[0], {1, 2, 3});
  EXPECT_EQ(file.series[1].name, "db, main");
  EXPECT_EQ(file.series[1].series.start, kMay + 3'600'000);
  EXPECT_EQ(file.series[1].series.step, std::chrono::hours(1));
  expect_values(file.series[1], {10, 20});
  EXPECT_THAT(file.notices, IsEmpty());
}

TEST(SeriesFile, TimesMayBeSecondsOrStepNumbersAndASeriesColumnMayBeMissing) {
  const auto seconds = must_read("timestamp,value\n1777593600,1\n1777593600.25,2\n1777593600.5,3\n");
  EXPECT_EQ(seconds.kind, TimeKind::kEpoch);
  EXPECT_EQ(seconds.series[0].name, "series");
  EXPECT_EQ(seconds.series[0].series.start, kMay);
  EXPECT_EQ(seconds.series[0].series.step.count(), 250);
  const auto steps = must_read("timestamp,value\r\n-1,1\r\n0,2\r\n1,3\r\n");
  EXPECT_EQ(steps.kind, TimeKind::kSteps);
  EXPECT_EQ(steps.series[0].series.start, -1);
  EXPECT_EQ(steps.series[0].series.step.count(), 1);
  expect_values(steps.series[0], {1, 2, 3});
  EXPECT_EQ(must_read("timestamp,value\n0,1\n0.5,2\n").kind, TimeKind::kEpoch);
  EXPECT_EQ(must_read("timestamp,value\n1990,1\n1991,2\n").series[0].series.start, 1990);
}

TEST(SeriesFile, GapsAreCountedAndKeptAsNan) {
  const auto file = must_read("timestamp,value\n0,1\n1,\n2,3\n5,6\n6,7\n");
  expect_values(file.series[0], {1, kGap, 3, kGap, kGap, 6, 7});
  EXPECT_THAT(file.notices,
              ElementsAre("F.csv:5: 2 steps without a row: a gap", "F.csv:3: 1 row without a value: a gap"));
}

TEST(SeriesFile, RowsOutOfOrderAreSortedAndOfEqualTimesTheLastCounts) {
  const auto file = must_read("timestamp,value\n2,3\n0,1\n1,8\n1,2\n3,4\n");
  expect_values(file.series[0], {1, 2, 3, 4});
  EXPECT_THAT(file.notices, ElementsAre(HasSubstr("F.csv:3: 1 row out of order: sorted by time"),
                                        HasSubstr("F.csv:5: 1 row with a time that the series has already")));
}

TEST(SeriesFile, MixedStepsBecomeTheMostFrequentOne) {
  // Ten minutes apart four times, then two looks within one step, whose mean counts.
  const auto file = must_read(
      "timestamp,value\n2026-05-01 00:00,1\n2026-05-01 00:10,2\n2026-05-01 00:20,3\n2026-05-01 00:30,4\n"
      "2026-05-01 00:40,5\n2026-05-01 00:43,7\n2026-05-01 01:00,8\n");
  EXPECT_EQ(file.series[0].series.step, std::chrono::minutes(10));
  expect_values(file.series[0], {1, 2, 3, 4, 6, kGap, 8});
  EXPECT_THAT(file.notices, ElementsAre(HasSubstr("F.csv:7: 1 row off the series' regular steps"),
                                        HasSubstr("F.csv:8: 1 step without a row")));
}

TEST(SeriesFile, ASamplerThatIsNeverOnTimeHasTheStepItMeans) {
  std::string text = "timestamp,value\n";
  for (int i = 0; i < 200; ++i) text += fmt::format("{:.3f},{}\n", 1777593600 + i * 60 + 0.001 * (i * i * 37 % 101), i);
  const auto file = must_read(text);
  EXPECT_EQ(file.series[0].series.step, std::chrono::minutes(1));
  EXPECT_EQ(file.series[0].series.values.size(), 200U);
  EXPECT_THAT(file.series[0].series.values, testing::Each(testing::Truly([](double v) { return !std::isnan(v); })));
}

TEST(SeriesFile, AFirstRowOffTheGridDoesNotMoveTheOthers) {
  const auto file =
      must_read("timestamp,value\n2026-05-01 00:02,1\n2026-05-01 00:05,2\n2026-05-01 00:10,3\n2026-05-01 00:15,4\n");
  EXPECT_EQ(file.series[0].series.start, kMay);
  expect_values(file.series[0], {1, 2, 3, 4});
}

TEST(SeriesFile, DaysOfLocalTimeKeepTheirPlaceWhenClocksChange) {
  // Central Europe went to summer time on 2026-03-29.
  const auto file = must_read(
      "timestamp,value\n2026-03-27T00:00+01:00,1\n2026-03-28T00:00+01:00,2\n2026-03-29T00:00+01:00,3\n"
      "2026-03-30T00:00+02:00,4\n2026-03-31T00:00+02:00,5\n");
  expect_values(file.series[0], {1, 2, 3, 4, 5});
}

TEST(SeriesFile, MonthsAreStepsThoughTheyDifferInLength) {
  std::string text = "timestamp,value\n";
  for (int i = 0; i < 144; ++i) text += fmt::format("{}-{:02}-01,{}\n", 1949 + i / 12, i % 12 + 1, i);
  const auto file = must_read(text);
  EXPECT_EQ(file.series[0].steps.months(), 1);
  EXPECT_EQ(file.series[0].series.start, -662'688'000'000);
  ASSERT_EQ(file.series[0].series.values.size(), 144U);
  for (std::size_t i = 0; i < 144; ++i) EXPECT_EQ(file.series[0].series.values[i], static_cast<double>(i));
  EXPECT_THAT(file.notices, IsEmpty());

  const auto quarters = must_read("timestamp,value\n2025-06-30,1\n2025-09-30,2\n2025-12-31,3\n2026-06-30,5\n");
  EXPECT_EQ(quarters.series[0].steps.months(), 3);
  expect_values(quarters.series[0], {1, 2, 3, kGap, 5});
}

TEST(SeriesFile, ASeriesOfOneRowHasTheStepOfTheOthers) {
  const auto file = must_read("series,timestamp,value\na,5,1\nb,1,1\nb,3,2\n");
  EXPECT_EQ(file.series[0].series.step.count(), 2);
  expect_values(file.series[0], {1});
  EXPECT_THAT(file.notices, ElementsAre(HasSubstr("F.csv:2: 1 row alone in a series")));
}

TEST(SeriesFile, BadFilesAreRefusedWithFileLineCauseAndRemedy) {
  struct Case {
    const char *text, *cause, *remedy;
  };
  const Case cases[] = {
      {"", "F.csv: the file is empty", "series,timestamp,value"},
      {"timestamp,value\n", "F.csv:1: no rows", "two rows"},
      {"1777593600,1\n", "F.csv:1: column 1: '1777593600' is not a column", "first line"},
      {"timestamp,value,unit\n", "F.csv:1: column 3: 'unit' is not a column of a series file", "first line"},
      {"timestamp,value,value\n", "F.csv:1: column 3: a second column 'value'", "remove"},
      {"series,value\n", "F.csv:1: there is no column 'timestamp'", "first line"},
      {"timestamp,value\n0,1\n1,NaN\n", "F.csv:3: column 2 (value): 'NaN' is not a finite number", "leave it empty"},
      {"timestamp,value\n0,1\n1,-inf\n", "F.csv:3: column 2 (value): '-inf'", "leave it empty"},
      {"timestamp,value\n0,1\n1,1e999\n", "F.csv:3: column 2 (value): '1e999'", "1.5"},
      {"timestamp,value\n0,x\x1b[31m\n", "F.csv:2: column 2 (value): 'x?[31m'", "1.5"},
      {"timestamp,value\n0,1\n1\n", "F.csv:3: 1 columns instead of 2", "as many as the heading"},
      {"timestamp,value\n0,1,2\n", "F.csv:2: 3 columns instead of 2", "as many as the heading"},
      {"timestamp,value\n0,1\n1,\"2\n", "F.csv:3: column 2: the quote is not closed", "double the quotes"},
      {"timestamp,value\nnoon,1\n", "F.csv:2: 'noon' is not a time: it is not ISO 8601", "2026-05-01"},
      {"timestamp,value\n,1\n", "F.csv:2: '' is not a time: it is empty", "2026-05-01"},
      {"timestamp,value\n2026-02-30,1\n", "F.csv:2: '2026-02-30' is not a time: there is no such day", "2026"},
      {"timestamp,value\n2026-05-01,1\n17,1\n", "F.csv:3: '17' is not a time: line 2 has ISO 8601", "same way"},
      {"timestamp,value\n17,1\n2026-05-01,1\n", "F.csv:3: '2026-05-01' is not a time: line 2 has a number", "same way"},
      {"timestamp,value\n17,1\n1777593600,1\n", "F.csv:3: '1777593600' is not a time: line 2 counts steps", "same way"},
      {"timestamp,value\n1777593600,1\n17,1\n", "F.csv:3: '17' is not a time: line 2 counts seconds", "same way"},
      {"timestamp,value\n1777593600000,1\n", "milliseconds?", "seconds"},
      {"timestamp,value\n20260501,1\n20260502,1\n", "F.csv:2: the times look like dates", "2026-05-01"},
      {"series,timestamp,value\n,1,1\n", "F.csv:2: column 1 (series): no series is named", "every line"},
      {"series,timestamp,value\na,1,1\na,1,2\n", "F.csv:3: no step can be found for series 'a'", "two rows"},
      {"timestamp,value\n0,1\n1,2\n99999999,3\n",
       "F.csv:4: series 'series' would need more than 5000000 steps without a row: from 1 in line 3 to 99999999 in "
       "line 4",
       "correct the time"},
      {"timestamp,value\n2026-05-01T00:00:00Z,1\n2026-05-01T00:00:01Z,2\n2062-05-01T00:00:00Z,3\n",
       "from 2026-05-01T00:00:01Z in line 3 to 2062-05-01T00:00:00Z in line 4", "correct the time"},
  };
  for (const auto& [text, cause, remedy] : cases) {
    const auto file = series_of(text);
    ASSERT_FALSE(file) << text;
    EXPECT_EQ(file.error().code, Errc::kInvalid);
    EXPECT_THAT(file.error().message, HasSubstr(cause)) << text;
    EXPECT_THAT(file.error().remedy, HasSubstr(remedy)) << text;
  }
}

TEST(SeriesFile, ManyShortSeriesCannotAskForMoreMemoryThanOneLong) {
  std::string text = "series,timestamp,value\n";
  for (int i = 0; i < 100; ++i) text += fmt::format("s{0},0,1\ns{0},1,1\ns{0},4000000,1\n", i);
  EXPECT_THAT(series_of(text).error().message, HasSubstr("F.csv:7: series 's1' would need more than"));
}

TEST(SeriesFile, APublicTraceIsReadAsItIs) {
  // lab/data/nab: 14 days of looks every five minutes, some of which were a few minutes late.
  std::ifstream in(fmt::format("{}/ec2_cpu_utilization_5f5533.csv", UMBRA_TRACES));
  const auto file = read_series(in, "5f5533");
  ASSERT_TRUE(file) << file.error().text();
  ASSERT_EQ(file->series.size(), 1U);
  const auto& series = file->series[0].series;
  EXPECT_EQ(series.start, 1'392'388'020'000) << "2014-02-14 14:27:00";
  EXPECT_EQ(series.step, std::chrono::minutes(5));
  EXPECT_EQ(series.values.size(), 4032U);
  EXPECT_DOUBLE_EQ(series.values[0], 51.846);
}

TEST(SeriesFile, AMillionRowsAreReadInAboutASecond) {
  std::string text = "series,timestamp,value\n";
  for (int i = 0; i < 1'000'000; ++i)
    text += fmt::format("vm{},2026-{:02}-{:02}T{:02}:{:02}:{:02}Z,{}.25\n", i % 7, i / 2'419'200 + 1,
                        i / 86'400 % 28 + 1, i / 3600 % 24, i / 60 % 60, i % 60, i % 1000);
  std::istringstream in(text);
  const auto before = std::chrono::steady_clock::now();
  const auto file = read_series(in, "F.csv");
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - before;
  ASSERT_TRUE(file) << file.error().text();
  RecordProperty("seconds", std::to_string(took.count()));
  ASSERT_EQ(file->series.size(), 7U);
  EXPECT_EQ(file->series[0].series.step, std::chrono::seconds(7));
  EXPECT_EQ(file->series[0].series.values.size(), 142'858U);
  EXPECT_LT(took.count(), 10) << "ten times what it should take, for machines that are busy";
}

}  // namespace
}  // namespace umbra::forecast
