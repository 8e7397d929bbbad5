#include "forecast_io/regressors_file.hpp"

#include <gmock/gmock.h>

#include <sstream>

namespace umbra::forecast {
namespace {

using testing::DoubleEq;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

Result<Regressors> regressors_of(const std::string& text) {
  std::istringstream in(text);
  return read_regressors(in, "R.csv");
}

/// The columns for steps of one number each.
Result<KnownColumns> columns(const std::string& text, std::size_t past, std::size_t horizon,
                             std::vector<std::string>* noticed = nullptr, Steps steps = Steps(0, Milliseconds(1))) {
  UMBRA_TRY(const auto regressors, regressors_of(text));
  std::vector<std::string> notices;
  auto found = regressor_columns(regressors, TimeKind::kSteps, steps, past, horizon, notices);
  if (noticed != nullptr) *noticed = notices;
  return found;
}

TEST(RegressorsFile, ColumnsMayBeInAnyOrderAndRowsToo) {
  const auto read_back =
      regressors_of("price,timestamp,heat\n1,2026-05-01,2\n5,2026-05-03,6\n3,2026-05-02,\n9,2026-05-03,8\n").value();
  EXPECT_THAT(read_back.names, ElementsAre("price", "heat"));
  EXPECT_EQ(read_back.times[1] - read_back.times[0], 86'400'000);
  EXPECT_EQ(read_back.end, read_back.times[2] + 86'400'000) << "the last row holds as long as the others";
  EXPECT_THAT(read_back.values, ElementsAre(1, 2, 3, testing::IsNan(), 9, 8));
  EXPECT_THAT(read_back.notices,
              ElementsAre(HasSubstr("R.csv:4: 1 row out of order"), HasSubstr("R.csv:5: 1 row with a time")));
}

TEST(RegressorColumns, AFlagStaysAFlag) {
  const auto flags = columns("timestamp,sale\n0,0\n1,1\n2,0\n3,0\n4,0\n5,0\n6,0\n7,1\n8,0\n", 6, 3).value();
  EXPECT_THAT(flags.names, ElementsAre("sale"));
  EXPECT_THAT(flags.rows, ElementsAre(0, 1, 0, 0, 0, 0, 0, 1, 0));
}

TEST(RegressorColumns, PricesAreCentredAndScaled) {
  std::string text = "timestamp,price\n";
  for (int i = 0; i <= 100; ++i) text += fmt::format("{},{}\n", i, 1000 + i);
  const auto prices = columns(text, 91, 10).value();
  EXPECT_NEAR(prices.rows[50], 0, 1e-12);
  EXPECT_NEAR(prices.rows[100], 50.0 / 48, 1e-12) << "of the distances 0, 1, 1, 2, 2 … 50, 50 the one after 95 others";
  EXPECT_NEAR(prices.rows[0], -50.0 / 48, 1e-12);
}

TEST(RegressorColumns, OutliersAreCut) {
  std::string text = "timestamp,x\n";
  for (int i = 0; i < 100; ++i) text += fmt::format("{},{}\n", i, i == 70 ? 1e308 : i == 71 ? -1e308 : i % 3);
  const auto found = columns(text, 90, 10).value();
  EXPECT_EQ(found.rows[70], kFarthest);
  EXPECT_EQ(found.rows[71], -kFarthest);
  EXPECT_EQ(found.rows[1], 0);
}

TEST(RegressorColumns, FinerRowsGiveTheirMeanAndCoarserOnesHoldOn) {
  // Steps of 10: the first has 1 for 4 and 3 for 6, then 3 holds on, then 7 begins at 35.
  const auto found = regressors_of("timestamp,x\n0,1\n4,3\n35,7\n45,7\n").value();
  std::vector<std::string> notices;
  const auto flat = regressor_columns(found, TimeKind::kSteps, Steps(0, Milliseconds(10)), 4, 1, notices).value();
  // Means 2.2, 3, 3, 5, 7; median 3; distances 0, 0, 0.8, 2, 4, of which the fourth is the scale.
  EXPECT_THAT(flat.rows, ElementsAre(DoubleEq(-0.4), DoubleEq(0), DoubleEq(0), DoubleEq(1), DoubleEq(2)));
  EXPECT_THAT(notices, IsEmpty());
}

TEST(RegressorColumns, StepsToComeThatAreMissingAreRefused) {
  const std::string text = "timestamp,x\n0,1\n1,2\n2,3\n";
  EXPECT_TRUE(columns(text, 2, 1));
  const auto late = columns(text, 2, 3);
  EXPECT_THAT(late.error().message, HasSubstr("R.csv: column 'x' says nothing of the step that begins at 3"));
  EXPECT_THAT(late.error().remedy, HasSubstr("up to the forecast's end, 5"));
  EXPECT_THAT(columns("timestamp,x\n0,1\n1,2\n2,\n3,4\n", 2, 2).error().message, HasSubstr("begins at 2"));
}

TEST(RegressorColumns, StepsOfThePastThatAreMissingCountAsUsual) {
  std::vector<std::string> notices;
  const auto found = columns("timestamp,x\n2,1\n3,2\n4,3\n", 4, 1, &notices).value();
  EXPECT_EQ(found.rows[0], 0);
  EXPECT_EQ(found.rows[1], 0);
  EXPECT_EQ(found.rows[3], 0) << "the median";
  EXPECT_THAT(notices, ElementsAre(HasSubstr("column 'x' says nothing of 2 of 4 steps of the past")));
  EXPECT_THAT(columns("timestamp,x\n7,1\n8,1\n", 7, 2).error().message, HasSubstr("nothing of the series' past"));
}

TEST(RegressorColumns, OfTimesDoNotFitASeriesOfStepNumbers) {
  EXPECT_THAT(columns("timestamp,x\n2026-05-01,1\n2026-05-02,2\n", 1, 1).error().message, HasSubstr("step numbers"));
}

TEST(RegressorsFile, BadFilesAreRefusedWithLineCauseAndRemedy) {
  struct Case {
    std::string text;
    const char *cause, *remedy;
  };
  std::string many = "timestamp";
  for (int i = 0; i < 33; ++i) many += fmt::format(",c{}", i);
  const Case cases[] = {
      {"", "R.csv: the file is empty", "timestamp,price"},
      {"time,x\n", "R.csv:1: there is no column 'timestamp'", "timestamp,price"},
      {"timestamp\n", "R.csv:1: only a column 'timestamp'", "timestamp,price"},
      {"timestamp,x,x\n", "R.csv:1: column 3: a second column 'x'", "remove"},
      {"timestamp,timestamp,x\n", "R.csv:1: column 2: a second column 'timestamp'", "remove"},
      {"timestamp,,x\n", "R.csv:1: column 2 has no name", "timestamp,price"},
      {many + "\n", "R.csv:1: 33 columns, and at most 32", "leave out"},
      {"timestamp,x\n0,1\n1\n", "R.csv:3: 1 columns instead of 2", "heading"},
      {"timestamp,x\n0,inf\n", "R.csv:2: column 2: 'inf' is not a finite number", "leave it empty"},
      {"timestamp,x\nnow,1\n", "R.csv:2: 'now' is not a time", "2026-05-01"},
      {"timestamp,x\n0,1\n", "R.csv: fewer than two rows", "past and to come"},
      {"timestamp,x\n0,1\n0,2\n", "R.csv: fewer than two rows", "past and to come"},
      {"timestamp,x\n", "R.csv: fewer than two rows", "past and to come"},
  };
  for (const auto& [text, cause, remedy] : cases) {
    const auto file = regressors_of(text);
    ASSERT_FALSE(file) << text;
    EXPECT_THAT(file.error().message, HasSubstr(cause)) << text;
    EXPECT_THAT(file.error().remedy, HasSubstr(remedy)) << text;
  }
}

}  // namespace
}  // namespace umbra::forecast
