#include "forecast/models/regression.hpp"

#include <Eigen/Cholesky>
#include <algorithm>
#include <cassert>
#include <cmath>
#include <limits>
#include <numeric>

namespace umbra::forecast {
namespace {

// Prior precisions, in the units of a scaled series.
constexpr double kInterceptRidge = 1e-6;
constexpr double kLagRidge = 0.1;
constexpr double kKnownRidge = 1;
constexpr double kBlockRidge = 0.3;

constexpr double kHuber = 4;            // usual errors, beyond which a surprise counts for less
constexpr double kUsualRate = 0.02;     // of the usual error's running mean …
constexpr double kUsualClip = 5;        // … which no single surprise may drag along by more than so many times itself
constexpr double kBeyondLevel = 0.5;    // of the seen range, that a continuation may leave it by
constexpr double kBeyondChanges = 1.0;  // … when it is summed up from changes

Eigen::VectorXd prior_precision(Eigen::Index dense, Eigen::Index known) {
  Eigen::VectorXd precision = Eigen::VectorXd::Constant(dense, kLagRidge);
  precision[0] = kInterceptRidge;
  precision.tail(known).setConstant(kKnownRidge);
  return precision;
}

}  // namespace

Regression::Regression(std::string name, Shape shape, Scale scale)
    : name_(std::move(name)),
      shape_(std::move(shape)),
      scale_(scale),
      lowest_(std::numeric_limits<double>::infinity()),
      highest_(-lowest_) {
  assert(!shape_.changes || shape_.windows.empty());
  for (const auto lag : shape_.lags) reach_ = std::max(reach_, lag);
  for (const auto window : shape_.windows) reach_ = std::max(reach_, window);
  if (shape_.changes) ++reach_;
  const auto dense = static_cast<Eigen::Index>(1 + shape_.lags.size() + shape_.windows.size() + shape_.known);
  const auto blocks = static_cast<Eigen::Index>(shape_.blocks);
  dense_ = dense_information_ = dense_mean_ = Vector::Zero(dense);
  dense_precision_.resize(static_cast<std::size_t>(dense * (dense + 1) / 2));
  cross_precision_ = Matrix::Zero(dense, blocks);
  block_precision_ = block_information_ = block_mean_ = Vector::Zero(blocks);
}

/// What the regression explains at a place: the scaled value there, or its change.
double Regression::seen(const History& history, std::size_t place) const {
  const auto value = scale_.to(history[place]);
  return shape_.changes ? value - scale_.to(history[place - 1]) : value;
}

template <class Before, class Sum>
void Regression::describe(const Before& before, const Sum& sum, std::size_t place, std::span<const double> known) {
  Eigen::Index column = 0;
  dense_[column++] = 1;
  for (const auto lag : shape_.lags) dense_[column++] = static_cast<float>(before(lag));
  double total = 0;
  std::size_t summed = 0;
  for (const auto window : shape_.windows) {
    total += sum(summed + 1, window - summed);
    summed = window;
    dense_[column++] = static_cast<float>(total / static_cast<double>(window));
  }
  for (std::size_t i = 0; i < shape_.known; ++i) dense_[column++] = static_cast<float>(known[i]);
  if (shape_.blocks > 0) block_ = place % shape_.season * shape_.blocks / shape_.season;
}

double Regression::predict() const {
  const auto dense = static_cast<double>(dense_.dot(dense_mean_));
  return shape_.blocks > 0 ? dense + static_cast<double>(block_mean_[static_cast<Eigen::Index>(block_)]) : dense;
}

void Regression::observe(const History& history, std::span<const double> known) {
  const auto place = history.size() - 1;
  const auto value = scale_.to(history.back());
  lowest_ = std::min(lowest_, value);
  highest_ = std::max(highest_, value);
  if (place < history.first() + reach_) return;
  const auto values = history.recent().first(place - history.first());
  describe([&](std::size_t back) { return seen(history, place - back); },
           [&](std::size_t back, std::size_t count) {
             return scale_.sum(values.subspan(values.size() - (back + count - 1), count));
           },
           place, known);
  learn(seen(history, place));
}

void Regression::learn(double target) {
  double weight = 1;
  if (solved_) {
    const auto error = std::abs(target - predict());
    // What was known beforehand is no outlier, however rare.
    const bool special = shape_.known > 0 && dense_.tail(static_cast<Eigen::Index>(shape_.known)).any();
    if (usual_error_ > 0 && error > kHuber * usual_error_ && !special) weight = kHuber * usual_error_ / error;
    usual_error_ = usual_error_ > 0
                       ? usual_error_ + kUsualRate * (std::min(error, kUsualClip * usual_error_) - usual_error_)
                       : error;
  }
  const auto kept = static_cast<float>(shape_.discount);
  const auto counts = static_cast<float>(weight);
  const auto pull = static_cast<float>(weight * target);
  auto* row = dense_precision_.data();
  for (Eigen::Index i = 0; i < dense_.size(); row += ++i) {
    Eigen::Map<Vector> products(row, i + 1);
    products = kept * products + counts * dense_[i] * dense_.head(i + 1);
  }
  dense_information_ = kept * dense_information_ + pull * dense_;
  if (shape_.blocks == 0) return;
  const auto block = static_cast<Eigen::Index>(block_);
  cross_precision_ *= kept;
  cross_precision_.col(block) += counts * dense_;
  block_precision_ *= kept;
  block_precision_[block] += counts;
  block_information_ *= kept;
  block_information_[block] += pull;
}

/// With precision [P C; C' D] (D diagonal) and information [p; d]: mean of the dense part is (P - C D⁻¹ C')⁻¹ (p - C
/// D⁻¹ d), that of the blocks D⁻¹ (d - C' dense).
void Regression::solve() {
  const auto dense_size = dense_.size();
  Eigen::MatrixXd precision(dense_size, dense_size);
  const auto* row = dense_precision_.data();
  for (Eigen::Index i = 0; i < dense_size; row += ++i)
    precision.row(i).head(i + 1) = Eigen::Map<const Vector>(row, i + 1).cast<double>();
  precision.diagonal() += prior_precision(dense_size, static_cast<Eigen::Index>(shape_.known));
  Eigen::VectorXd information = dense_information_.cast<double>();
  const Eigen::VectorXd inverse = (block_precision_.cast<double>().array() + kBlockRidge).inverse();
  const Eigen::MatrixXd cross = cross_precision_.cast<double>();
  if (shape_.blocks > 0) {
    const Eigen::MatrixXd scaled = cross * inverse.asDiagonal();
    precision.triangularView<Eigen::Lower>() -= scaled * cross.transpose();
    information -= scaled * block_information_.cast<double>();
  }
  const Eigen::VectorXd dense = precision.selfadjointView<Eigen::Lower>().ldlt().solve(information);
  dense_mean_ = dense.cast<float>();
  if (shape_.blocks > 0)
    block_mean_ = (inverse.array() * (block_information_.cast<double>() - cross.transpose() * dense).array())
                      .matrix()
                      .cast<float>();
  solved_ = true;
}

void Regression::forecast(const History& history, const Known& known, std::span<double> out) {
  solve();
  const auto needed = shape_.changes ? reach_ - 1 : reach_;
  const auto now = history.size();
  std::vector<double> path(needed + out.size());
  for (std::size_t back = 1; back <= needed; ++back) path[needed - back] = seen(history, now - back);
  const auto range = highest_ - lowest_;
  const auto beyond = (shape_.changes ? kBeyondChanges : kBeyondLevel) * range;
  auto level = scale_.to(history.back());
  for (std::size_t ahead = 0; ahead < out.size(); ++ahead) {
    const auto end = path.begin() + static_cast<std::ptrdiff_t>(needed + ahead);
    const auto before = [&](std::size_t back) { return end[-static_cast<std::ptrdiff_t>(back)]; };
    const auto sum = [&](std::size_t back, std::size_t count) {
      const auto from = end - static_cast<std::ptrdiff_t>(back + count - 1);
      return std::accumulate(from, from + static_cast<std::ptrdiff_t>(count), 0.0);
    };
    describe(before, sum, now + ahead, known.row(ahead));
    auto next = predict();
    if (shape_.changes) {
      level = std::clamp(level + next, lowest_ - beyond, highest_ + beyond);
    } else {
      level = next = std::clamp(next, lowest_ - beyond, highest_ + beyond);
    }
    path[needed + ahead] = next;
    out[ahead] = scale_.from(level);
  }
}

std::optional<double> Regression::moved_from_prior() const {
  const auto prior = prior_precision(dense_.size(), static_cast<Eigen::Index>(shape_.known));
  return std::sqrt((dense_mean_.cast<double>().array().square() * prior.array()).sum());
}

}  // namespace umbra::forecast
