#include "forecast/score.hpp"

#include <gmock/gmock.h>

#include <array>

namespace umbra::forecast {
namespace {

// All values worked out by hand.
constexpr std::array kCame{10.0, 20.0, 30.0, 40.0};

TEST(Score, SmapeIsRelativeToBoth) {
  constexpr std::array said{10.0, 30.0, 30.0, 0.0};  // 0, 200 * 10/50, 0, 200
  EXPECT_DOUBLE_EQ(smape(said, kCame), (40.0 + 200.0) / 4);
  constexpr std::array zeros{0.0, 0.0};
  EXPECT_EQ(smape(zeros, zeros), 0);
}

TEST(Score, MaseIsInUnitsOfTheNaiveErrorOfThePast) {
  constexpr std::array past{1.0, 5.0, 2.0, 7.0, 4.0};  // by a season of 2: 1, 2, 2
  EXPECT_DOUBLE_EQ(naive_error(past, 2), 5.0 / 3);
  EXPECT_DOUBLE_EQ(naive_error(past, 1), (4.0 + 3 + 5 + 3) / 4);
  EXPECT_DOUBLE_EQ(naive_error(past, 7), (4.0 + 3 + 5 + 3) / 4) << "shorter than its season: of the last value";
  EXPECT_EQ(naive_error(std::span(past).first(1), 1), 0);
  constexpr std::array said{12.0, 20.0, 26.0, 40.0};
  EXPECT_DOUBLE_EQ(mase(said, kCame, 3), 1.5 / 3);
}

TEST(Score, MsisPunishesWhatIsMissedTwentyfoldTwice) {
  constexpr std::array lower{5.0, 21.0, 25.0, 30.0}, upper{15.0, 31.0, 35.0, 38.0};
  // widths 10 10 10 8; missed by 1 and by 2, at 2/0.05 each
  EXPECT_DOUBLE_EQ(msis(lower, upper, kCame, 0.05, 2), (38 + 40.0 * 3) / 4 / 2);
  EXPECT_DOUBLE_EQ(coverage(lower, upper, kCame), 0.5);
}

TEST(Score, QuantileLossIsAbsoluteErrorAtTheMedian) {
  constexpr std::array said{12.0, 20.0, 26.0, 44.0};
  EXPECT_DOUBLE_EQ(quantile_loss(said, kCame, 0.5), (2.0 + 4 + 4) / 4);
  EXPECT_DOUBLE_EQ(quantile_loss(said, kCame, 0.9), 2 * (0.1 * 2 + 0.9 * 4 + 0.1 * 4) / 4);
}

TEST(Score, BrierIsTheSquareOfWhatWasNotExpected) {
  constexpr std::array said{1.0, 0.0, 0.5, 0.25}, happened{1.0, 1.0, 0.0, 0.0};
  EXPECT_DOUBLE_EQ(brier(said, happened), (0 + 1 + 0.25 + 0.0625) / 4);
}

}  // namespace
}  // namespace umbra::forecast
