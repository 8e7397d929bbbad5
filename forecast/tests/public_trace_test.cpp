// The forecaster on public EC2 traces (lab/data/nab), asked at many moments what it then could know.
#include <gmock/gmock.h>

#include <cmath>
#include <fstream>

#include "forecast/series_forecaster.hpp"

namespace umbra::forecast {
namespace {

std::vector<double> trace(const std::string& name) {
  std::ifstream file(fmt::format("{}/{}.csv", UMBRA_TRACES, name));
  EXPECT_TRUE(file) << name;
  std::vector<double> values;
  std::string line;
  for (std::getline(file, line); std::getline(file, line);)
    values.push_back(std::stod(line.substr(line.find(',') + 1)));
  return values;
}

struct Score {
  int origins = 0;
  double happened = 0;   ///< share of windows in which the series rose above the capacity
  double predicted = 0;  ///< mean probability given to it
  double brier = 0;
};

Score score(const std::vector<double>& values, double capacity, std::size_t steps, std::size_t stride) {
  Score score;
  constexpr std::size_t kLeast = 288;  // a day
  SeriesForecaster series({{288, 2016}, steps});
  for (std::size_t at = 1; at + steps <= values.size(); ++at) {
    series.observe(values[at - 1]);
    if (at < kLeast || (at - kLeast) % stride != 0) continue;
    const auto outlook = series.look(steps, {}, SeriesForecaster::Paths::kYes);
    const double p = exceedance(outlook.paths, capacity, steps);
    const auto now = values.begin() + static_cast<std::ptrdiff_t>(at);
    const double truth = *std::max_element(now, now + static_cast<std::ptrdiff_t>(steps)) > capacity;
    ++score.origins;
    score.happened += truth;
    score.predicted += p;
    score.brier += (p - truth) * (p - truth);
  }
  score.happened /= score.origins;
  score.predicted /= score.origins;
  score.brier /= score.origins;
  return score;
}

double exceeds(std::span<const double> values, double capacity, std::size_t steps) {
  SeriesForecaster series({{288, 2016}, steps});
  for (const auto value : values) series.observe(value);
  return exceedance(series.look(steps, {}, SeriesForecaster::Paths::kYes).paths, capacity, steps);
}

TEST(PublicTrace, PredictsThePeriodicPeaksOfAnEc2Instance) {
  // Peaks above 50 % come every half an hour in its first days and cease later: both must be told apart.
  const auto values = trace("ec2_cpu_utilization_5f5533");
  ASSERT_EQ(values.size(), 4032u);
  const auto found = score(values, 50, 6, 23);
  RecordProperty("brier", std::to_string(found.brier));
  EXPECT_NEAR(found.predicted, found.happened, 0.15);
  EXPECT_LT(found.brier, 0.75 * found.happened * (1 - found.happened));

  EXPECT_GT(exceeds(std::span(values).first(3 * 288), 50, 12), 0.9);
  EXPECT_LT(exceeds(std::span(values).first(3 * 288), 70, 12), 0.1);
  EXPECT_LT(exceeds(values, 50, 12), 0.3);
}

TEST(PublicTrace, KnowsHowOftenABurstyInstanceBursts) {
  const auto values = trace("ec2_cpu_utilization_fe7f93");
  const auto found = score(values, 40, 12, 23);
  EXPECT_NEAR(found.predicted, found.happened, 0.1);
  EXPECT_LT(found.brier, found.happened * (1 - found.happened)) << "must know more than how often it happens";
}

}  // namespace
}  // namespace umbra::forecast
