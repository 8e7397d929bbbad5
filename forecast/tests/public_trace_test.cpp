// The forecaster on public EC2 traces (lab/data/nab), asked at many moments what it then could know.
#include <gmock/gmock.h>

#include <cmath>
#include <fstream>

#include "forecast/forecaster.hpp"

namespace umbra::forecast {
namespace {

using namespace std::chrono_literals;

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

Score score(const std::vector<double>& values, double capacity, Milliseconds window, std::size_t stride) {
  Score score;
  const auto steps = static_cast<std::size_t>(window / 5min);
  constexpr std::size_t kLeast = 288;  // a day
  for (std::size_t at = kLeast; at + steps <= values.size(); at += stride, ++score.origins) {
    const auto now = values.begin() + static_cast<std::ptrdiff_t>(at);
    Series history{0, 5min, {values.begin(), now}, 0, 100};
    const double p = forecast(history, {steps, 200}).exceedance(capacity, window);
    const double truth = *std::max_element(now, now + static_cast<std::ptrdiff_t>(steps)) > capacity;
    score.happened += truth;
    score.predicted += p;
    score.brier += (p - truth) * (p - truth);
  }
  score.happened /= score.origins;
  score.predicted /= score.origins;
  score.brier /= score.origins;
  return score;
}

TEST(PublicTrace, PredictsThePeriodicPeaksOfAnEc2Instance) {
  // Peaks above 50 % come every half an hour in its first days and cease later: both must be told apart.
  const auto values = trace("ec2_cpu_utilization_5f5533");
  ASSERT_EQ(values.size(), 4032u);
  const auto found = score(values, 50, 30min, 23);
  RecordProperty("brier", std::to_string(found.brier));
  EXPECT_NEAR(found.predicted, found.happened, 0.15);
  EXPECT_LT(found.brier, 0.75 * found.happened * (1 - found.happened));

  const auto busy = forecast({0, 5min, {values.begin(), values.begin() + 3 * 288}, 0, 100}, {12});
  EXPECT_GT(busy.exceedance(50, 60min), 0.9);
  EXPECT_LT(busy.exceedance(70, 60min), 0.1);
  const auto calm = forecast({0, 5min, values, 0, 100}, {12});
  EXPECT_LT(calm.exceedance(50, 60min), 0.3);
}

TEST(PublicTrace, KnowsHowOftenABurstyInstanceBursts) {
  const auto values = trace("ec2_cpu_utilization_fe7f93");
  const auto found = score(values, 40, 60min, 23);
  EXPECT_NEAR(found.predicted, found.happened, 0.1);
  EXPECT_LT(found.brier, found.happened * (1 - found.happened)) << "must know more than how often it happens";
}

}  // namespace
}  // namespace umbra::forecast
