/// Regression of a series on its own past and on what is known of each step, by discounted least squares.
#pragma once

#include <Eigen/Core>
#include <string>
#include <vector>

#include "forecast/models/model.hpp"
#include "forecast/models/scale.hpp"

namespace umbra::forecast {

/// y(t) = a + Σ b(l) y(t-l) + Σ c(w) mean(y(t-w) … y(t-1)) + d(phase block of t) + Σ e(j) known(j, t) + surprise, where
/// y is the scaled value, or its change from the step before.
///
/// The coefficients are the mean of a Gaussian posterior: prior N(0, 1/ridge) in scaled units, observations weighted by
/// discount^age and, where one is far off, by Huber's weight (Huber 1964). It is kept as precision and information, so
/// a new sample is one rank-one update, and only a forecast solves. Phase blocks exclude each other; their part of the
/// precision is a diagonal, which is stored as such and eliminated when solving (Schur complement).
class Regression final : public Model {
 public:
  struct Shape {
    Scale::Kind scale = Scale::Kind::kLevel;
    bool changes = false;              ///< of y from step to step instead of y
    std::vector<std::size_t> lags;     ///< ascending, from 1
    std::vector<std::size_t> windows;  ///< lengths
    std::size_t season = 0;            ///< steps; for the blocks
    std::size_t blocks = 0;            ///< that the season is cut into; 0 for none
    std::size_t known = 0;             ///< columns
    double discount = 0.999;           ///< per step
  };

  /// @param past what the scale is taken from: at least one value
  Regression(std::string name, Shape shape, std::span<const double> past);

  std::string_view name() const override { return name_; }
  std::size_t warmup() const override { return reach_; }
  void observe(const History& history, std::span<const double> known) override;
  void forecast(const History& history, const Known& known, std::span<double> out) override;

  /// How far the posterior mean of the dense coefficients (intercept, lags, windows, known) is from the prior's, in the
  /// prior's standard deviations (Mahalanobis distance), as of the last forecast.
  double moved_from_prior() const;

 private:
  using Matrix = Eigen::MatrixXf;
  using Vector = Eigen::VectorXf;

  double seen(const History& history, std::size_t place) const;
  void describe(std::span<const double> path, std::size_t place, std::span<const double> known);
  void learn(double target);
  double predict() const;
  void solve();

  std::string name_;
  Shape shape_;
  Scale scale_;
  std::size_t reach_ = 0;  // the farthest step back that a row needs

  // The row under consideration: dense_ of intercept, lags, windows, known; and the block that is on.
  Vector dense_;
  std::size_t block_ = 0;
  std::vector<double> path_;  // scratch: scaled values around the row

  // Posterior, without the prior: precision of dense × dense, of dense × block, of block × block; information of both.
  Matrix dense_precision_, cross_precision_;
  Vector block_precision_, dense_information_, block_information_;
  Vector prior_precision_;
  Vector dense_mean_, block_mean_;
  bool solved_ = false;
  double usual_error_ = 0;
  double lowest_, highest_;  // scaled, of what was seen
};

}  // namespace umbra::forecast
