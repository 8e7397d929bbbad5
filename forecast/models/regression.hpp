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
/// precision is a diagonal, which is stored as such and eliminated when solving (Schur complement). Of the symmetric
/// rest one triangle is stored.
class Regression final : public Model {
 public:
  struct Shape {
    bool changes = false;              ///< of y from step to step instead of y
    std::vector<std::size_t> lags;     ///< ascending, from 1
    std::vector<std::size_t> windows;  ///< lengths, ascending; none where it is of changes
    std::size_t season = 0;            ///< steps; for the blocks
    std::size_t blocks = 0;            ///< that the season is cut into; 0 for none
    std::size_t known = 0;             ///< columns
    double discount = 0.999;           ///< per step
  };

  Regression(std::string name, Shape shape, Scale scale);

  std::string_view name() const override { return name_; }
  std::size_t warmup() const override { return reach_; }
  void observe(const History& history, std::span<const double> known) override;
  void forecast(const History& history, const Known& known, std::span<double> out) override;
  void save(StateWriter& out) const override { describe_state(*this, out); }
  void load(StateReader& in) override { describe_state(*this, in); }

  /// How far the posterior mean of the dense coefficients (intercept, lags, windows, known) is from the prior's, in the
  /// prior's standard deviations (Mahalanobis distance), as of the last forecast.
  std::optional<double> moved_from_prior() const override;

 private:
  using Matrix = Eigen::MatrixXf;
  using Vector = Eigen::VectorXf;

  double seen(const History& history, std::size_t place) const;
  /// @param before gives what was seen so many steps before `place`
  /// @param sum gives that of so many values, from those so many steps before on
  template <class Before, class Sum>
  void describe(const Before& before, const Sum& sum, std::size_t place, std::span<const double> known);
  void learn(double target);
  double predict() const;
  void solve();

  template <class Self, class Io>
  static void describe_state(Self& self, Io& io) {
    io.each(self.dense_precision_);
    io.each(self.cross_precision_.reshaped());
    io.each(self.block_precision_);
    io.each(self.dense_information_);
    io.each(self.block_information_);
    io.each(self.dense_mean_);
    io.each(self.block_mean_);
    std::uint8_t solved = self.solved_ ? 1 : 0;
    io(solved);
    if constexpr (!std::is_const_v<Self>) self.solved_ = solved != 0;
    io(self.usual_error_);
    io(self.lowest_);
    io(self.highest_);
    io.expect(self.lowest_ <= self.highest_);
  }

  std::string name_;
  Shape shape_;
  Scale scale_;
  std::size_t reach_ = 0;  // the farthest step back that a row needs

  // The row under consideration: dense_ of intercept, lags, windows, known; and the block that is on.
  Vector dense_;
  std::size_t block_ = 0;

  // Posterior, without the prior: precision of dense × dense, of dense × block, of block × block; information of both.
  std::vector<float> dense_precision_;  // row by row, to the diagonal
  Matrix cross_precision_;
  Vector block_precision_, dense_information_, block_information_;
  Vector dense_mean_, block_mean_;
  bool solved_ = false;
  double usual_error_ = 0;
  double lowest_, highest_;  // scaled, of what was seen
};

}  // namespace umbra::forecast
