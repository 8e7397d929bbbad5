#include <gmock/gmock.h>

#include <Eigen/Dense>
#include <cmath>
#include <numbers>
#include <random>

#include "forecast/models/pool.hpp"
#include "forecast/models/regression.hpp"
#include "forecast/models/repetition.hpp"
#include "forecast/models/smoothing.hpp"
#include "forecast/statistics.hpp"

namespace umbra::forecast {
namespace {

using testing::DoubleNear;
using testing::Each;
using testing::ElementsAre;
using testing::Pointwise;

constexpr Known kNothing{};

std::vector<double> series(std::size_t length, const std::function<double(std::size_t)>& value) {
  std::vector<double> out(length);
  for (std::size_t i = 0; i < length; ++i) out[i] = value(i);
  return out;
}

/// What a model says after it has seen all of `past`.
std::vector<double> continued(Model& model, std::span<const double> past, std::size_t horizon) {
  for (std::size_t length = 1; length <= past.size(); ++length) model.observe(History(past.first(length)), {});
  std::vector<double> out(horizon);
  model.forecast(History(past), kNothing, out);
  return out;
}

double wave(std::size_t step, double period) {
  return std::sin(2 * std::numbers::pi * static_cast<double>(step) / period);
}

TEST(Statistics, AreThoseOfTheBooks) {
  EXPECT_EQ(median({5, 1, 3}), 3);
  EXPECT_EQ(median({4, 1, 3, 2}), 2.5);
  const std::vector<double> sorted{1, 2, 4, 8, 16};  // definition 7: place 4 q, linear in between
  EXPECT_EQ(quantile(sorted, 0), 1);
  EXPECT_EQ(quantile(sorted, 0.5), 4);
  EXPECT_DOUBLE_EQ(quantile(sorted, 0.3), 2.4);
  EXPECT_EQ(quantile(sorted, 1), 16);
}

TEST(Statistics, AWeightedMedianLiesWhereHalfOfTheWeightIsBelow) {
  std::vector<Atom> even{{3, 1}, {1, 1}, {2, 1}};
  EXPECT_EQ(weighted_median(even), 2);
  std::vector<Atom> heavy{{1, 0.1}, {5, 0.8}, {9, 0.1}};
  EXPECT_EQ(weighted_median(heavy), 5);
  std::vector<Atom> two{{1, 0.5}, {3, 0.5}};  // middles of weight at 1/4 and 3/4
  EXPECT_DOUBLE_EQ(weighted_median(two), 2);
  std::vector<Atom> weightless{{-100, 0}, {4, 1}, {100, 0}};
  EXPECT_EQ(weighted_median(weightless), 4);
}

TEST(Scale, GoesThereAndBack) {
  for (const auto kind : {Scale::Kind::kLevel, Scale::Kind::kLog}) {
    const std::vector<double> values{0, 1, 2, 5, 100};
    const auto scale = Scale::fit(values, kind);
    double sum = 0, squares = 0;
    for (const auto value : values) {
      EXPECT_NEAR(scale.from(scale.to(value)), value, 1e-9);
      sum += scale.to(value);
      squares += scale.to(value) * scale.to(value);
    }
    EXPECT_NEAR(sum, 0, 1e-9);
    EXPECT_NEAR(squares / 5, 1, 1e-9);
  }
}

TEST(Scale, AddsUpManyAsOneByOne) {
  std::mt19937_64 random(7);
  std::uniform_real_distribution<double> digits(0, 100);
  std::vector<double> values{0, 1e30, 1e-300, 3e-41, 4e39, 0};
  while (values.size() < 500) values.push_back(std::exp(digits(random) - 30));
  for (const auto kind : {Scale::Kind::kLevel, Scale::Kind::kLog})
    for (const auto count : {std::size_t{0}, std::size_t{1}, std::size_t{7}, values.size()}) {
      const auto scale = Scale::fit(values, kind);
      double sum = 0;
      for (std::size_t i = 0; i < count; ++i) sum += scale.to(values[i]);
      EXPECT_NEAR(scale.sum(std::span(values).first(count)), sum, 1e-9 * (1 + std::abs(sum))) << count;
    }
}

TEST(Scale, OfAConstantOrOfZerosIsFinite) {
  for (const auto kind : {Scale::Kind::kLevel, Scale::Kind::kLog})
    for (const auto value : {0.0, 7.0, 1e12}) {
      const std::vector<double> values(5, value);
      const auto scale = Scale::fit(values, kind);
      EXPECT_NEAR(scale.from(scale.to(value)), value, 1e-6 * (1 + value));
      EXPECT_TRUE(std::isfinite(scale.to(2 * value + 1)));
    }
}

TEST(Scale, InLogarithmsNeverGoesBelowZeroNorToInfinity) {
  const std::vector<double> values{1, 2, 3};
  const auto scale = Scale::fit(values, Scale::Kind::kLog);
  EXPECT_EQ(scale.from(-1e6), 0);
  EXPECT_TRUE(std::isfinite(scale.from(1e6)));
}

/// Ridge regression on all rows at once, in doubles: weights discount^age, precision `ridge` of the prior.
Eigen::VectorXd batch(const Eigen::MatrixXd& rows, const Eigen::VectorXd& targets, const Eigen::VectorXd& ridge,
                      double discount) {
  Eigen::MatrixXd precision = ridge.asDiagonal();
  Eigen::VectorXd information = Eigen::VectorXd::Zero(rows.cols());
  for (Eigen::Index i = 0; i < rows.rows(); ++i) {
    const auto weight = std::pow(discount, static_cast<double>(rows.rows() - 1 - i));
    precision += weight * rows.row(i).transpose() * rows.row(i);
    information += weight * targets[i] * rows.row(i).transpose();
  }
  return precision.fullPivLu().solve(information);
}

TEST(Regression, UpdatedStepByStepIsRidgeRegressionOnAllRowsAtOnce) {
  std::mt19937_64 random(7);
  std::normal_distribution<double> noise;
  const auto past = series(200, [&](std::size_t i) { return 10 + 3 * wave(i, 6) + noise(random); });
  Regression::Shape shape;
  shape.lags = {1, 6};
  shape.season = 6;
  shape.blocks = 3;
  shape.discount = 0.98;
  Regression model("r", shape, Scale::fit(past, Scale::Kind::kLevel));
  const auto said = continued(model, past, 1).front();

  const auto scale = Scale::fit(past, Scale::Kind::kLevel);
  Eigen::MatrixXd rows = Eigen::MatrixXd::Zero(static_cast<Eigen::Index>(past.size()) - 6 + 1, 6);
  Eigen::VectorXd targets(rows.rows() - 1);
  for (std::size_t t = 6; t <= past.size(); ++t) {
    const auto row = static_cast<Eigen::Index>(t - 6);
    rows(row, 0) = 1;
    rows(row, 1) = scale.to(past[t - 1]);
    rows(row, 2) = scale.to(past[t - 6]);
    rows(row, 3 + static_cast<Eigen::Index>(t % 6 / 2)) = 1;
    if (t < past.size()) targets[row] = scale.to(past[t]);
  }
  Eigen::VectorXd ridge(6);
  ridge << 1e-6, 0.1, 0.1, 0.3, 0.3, 0.3;
  const auto coefficients = batch(rows.topRows(targets.size()), targets, ridge, 0.98);
  EXPECT_NEAR(said, scale.from(rows.row(rows.rows() - 1).dot(coefficients)), 1e-3);
  const Eigen::ArrayXd dense = coefficients.head(3).array();
  ASSERT_TRUE(model.moved_from_prior());
  EXPECT_NEAR(*model.moved_from_prior(), std::sqrt((dense.square() * ridge.head(3).array()).sum()), 1e-4);
}

TEST(Regression, ContinuesASineThatObeysARecurrence) {
  // y(t) = 2 cos(w) y(t-1) - y(t-2)
  const auto past = series(400, [](std::size_t i) { return 50 + 10 * wave(i, 6); });
  Regression::Shape shape;
  shape.lags = {1, 2};
  shape.discount = 1;
  Regression model("r", shape, Scale::fit(past, Scale::Kind::kLevel));
  const auto said = continued(model, past, 12);
  for (std::size_t i = 0; i < said.size(); ++i) EXPECT_NEAR(said[i], 50 + 10 * wave(400 + i, 6), 0.3) << i;
}

TEST(Regression, InChangesFollowsADrift) {
  const auto past = series(100, [](std::size_t i) { return 3.0 * static_cast<double>(i); });
  Regression::Shape shape;
  shape.changes = true;
  shape.lags = {1};
  Regression model("r", shape, Scale::fit(past, Scale::Kind::kLevel));
  const auto said = continued(model, past, 5);
  for (std::size_t i = 0; i < said.size(); ++i) EXPECT_NEAR(said[i], 300 + 3.0 * static_cast<double>(i), 0.2) << i;
}

TEST(Regression, LearnsWhatAColumnKnownBeforehandDoes) {
  // Every tenth step is a launch that adds 5, and the next ones are known.
  const std::size_t length = 200;
  const auto flags = series(length + 10, [](std::size_t i) { return i % 10 == 3 ? 1.0 : 0.0; });
  const auto past = series(length, [&](std::size_t i) { return 20 + 5 * flags[i] + 0.1 * wave(i, 7); });
  Regression::Shape shape;
  shape.known = 1;
  Regression model("r", shape, Scale::fit(past, Scale::Kind::kLevel));
  for (std::size_t i = 1; i <= length; ++i) model.observe(History(std::span(past).first(i)), {&flags[i - 1], 1});
  std::vector<double> said(10);
  model.forecast(History(past), Known{std::span(flags).last(10), 1}, said);
  for (std::size_t i = 0; i < said.size(); ++i) EXPECT_NEAR(said[i], 20 + 5 * flags[length + i], 0.3) << i;
}

TEST(Regression, StaysNearWhatWasSeen) {
  const auto past = series(60, [](std::size_t i) { return std::exp(static_cast<double>(i) / 4); });
  Regression::Shape shape;
  shape.lags = {1};
  Regression model("r", shape, Scale::fit(past, Scale::Kind::kLevel));
  const auto said = continued(model, past, 200);
  EXPECT_LE(*std::max_element(said.begin(), said.end()), 1.5 * past.back() + 1);
}

TEST(DoubleSeasonal, ContinuesTwoSeasonsExactly) {
  const auto value = [](std::size_t i) { return 100 + 10 * wave(i, 6) + (i / 6 % 4 == 0 ? 5.0 : 0.0); };
  const auto past = series(240, value);
  DoubleSeasonal model("s", Scale::fit(past, Scale::Kind::kLevel), 6, 24);
  const auto said = continued(model, past, 48);
  for (std::size_t i = 0; i < said.size(); ++i) EXPECT_NEAR(said[i], value(240 + i), 0.2) << i;
}

TEST(DoubleSeasonal, FollowsAShiftOfLevel) {
  const auto past = series(120, [](std::size_t i) { return (i < 100 ? 10 : 20) + wave(i, 6); });
  DoubleSeasonal model("s", Scale::fit(past, Scale::Kind::kLevel), 6, 0);
  const auto said = continued(model, past, 6);
  for (std::size_t i = 0; i < said.size(); ++i) EXPECT_NEAR(said[i], 20 + wave(120 + i, 6), 1.0) << i;
}

TEST(Repetition, RepeatsTheSeason) {
  SeasonalNaive model("n", 3);
  const std::vector<double> past{9, 9, 1, 2, 3};
  EXPECT_THAT(continued(model, past, 5), ElementsAre(1, 2, 3, 1, 2));
}

TEST(Repetition, TakesTheMedianOfTheSamePhases) {
  SeasonalMedian model("m", 2, 3, 0);
  const std::vector<double> past{1, 10, 5, 20, 3, 90, 7, 30};  // the last three of each phase: 5 3 7, 20 90 30
  EXPECT_THAT(continued(model, past, 3), ElementsAre(5, 30, 5));
}

TEST(Repetition, TakesTheMedianOfTheLastSteps) {
  RecentMedian model("m", 3);
  const std::vector<double> past{100, 1, 7, 3};
  EXPECT_THAT(continued(model, past, 2), ElementsAre(3, 3));
}

TEST(Repetition, KnowsWhereAForgottenPastBegins) {
  SeasonalMedian model("m", 2, 3, 1);
  const std::vector<double> recent{4, 6, 4, 6};
  std::vector<double> out(2);
  model.forecast(History(1000, recent), kNothing, out);
  EXPECT_THAT(out, Each(testing::AllOf(testing::Ge(4), testing::Le(6))));
}

TEST(Pool, HasAModelForEverySeries) {
  for (const std::vector<std::size_t>& seasons : {std::vector<std::size_t>{}, {24}, {24, 168}, {288, 2016, 8064}})
    for (const std::size_t length : {1U, 2U, 30U, 400U}) {
      const auto past = series(length, [](std::size_t i) { return static_cast<double>(i % 5); });
      auto models = make_pool({seasons, 0, length, length}, Scales::of(past));
      ASSERT_FALSE(models.empty());
      for (const auto& model : models) {
        const auto said = length >= model->warmup() ? continued(*model, past, 30) : std::vector<double>(30);
        EXPECT_THAT(said, Each(testing::Truly([](double value) { return std::isfinite(value); })))
            << model->name() << " after " << length;
      }
    }
}

TEST(Pool, HasNoLogarithmsWhereValuesAreNegative) {
  const std::vector<double> past{1, -1, 2};
  for (const auto& model : make_pool({{}, 0, 3, 3}, Scales::of(past)))
    EXPECT_THAT(std::string(model->name()), Not(testing::HasSubstr("log")));
}

}  // namespace
}  // namespace umbra::forecast
