#include "forecast/markov.hpp"

#include <Eigen/Core>
#include <algorithm>
#include <cmath>
#include <functional>

namespace umbra::forecast {
namespace {

using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using Row = Eigen::RowVectorXd;

constexpr double kUsualError = 0.02;  // of a share, until errors were seen
constexpr double kUsualCount = 5;     // and as how many errors that counts
constexpr double kSurest = 0.01;      // a prior mean of 0 or 1 would have no variance, and never give in
constexpr int kIterations = 500;
constexpr double kSettled = 1e-9;  // a probability that changes less has settled

Eigen::Map<Matrix> part(std::vector<double>& all, std::size_t index, Eigen::Index size) {
  return {all.data() + static_cast<Eigen::Index>(index) * size * size, size, size};
}
Eigen::Map<const Matrix> part(const std::vector<double>& all, std::size_t index, Eigen::Index size) {
  return {all.data() + static_cast<Eigen::Index>(index) * size * size, size, size};
}

/// The nearest row of probabilities (Duchi and others 2008).
void project(Eigen::Ref<Row, 0, Eigen::InnerStride<>> row) {
  std::vector<double> sorted(row.begin(), row.end());
  std::sort(sorted.begin(), sorted.end(), std::greater<>());
  double sum = 0, excess = 0;
  for (std::size_t i = 0; i < sorted.size(); ++i) {
    sum += sorted[i];
    const auto even = (sum - 1) / static_cast<double>(i + 1);
    if (sorted[i] > even) excess = even;
  }
  row = (row.array() - excess).max(0.0);
  row /= row.sum();
}

struct Prior {
  Matrix mean;
  Matrix firmness;  ///< 1 / variance, in units of 1 / variance of the errors
};

/// @param mean rows of probabilities
Prior dirichlet(const Matrix& mean, double concentration, double error_variance) {
  const Eigen::ArrayXXd sure = mean.array().max(kSurest).min(1 - kSurest);
  return {mean, error_variance * (concentration + 1) / (sure * (1 - sure))};
}

Matrix staying(Eigen::Index size, double stay) {
  if (size == 1) return Matrix::Ones(1, 1);
  Matrix mean = Matrix::Constant(size, size, (1 - stay) / static_cast<double>(size - 1));
  mean.diagonal().setConstant(stay);
  return mean;
}

/// Least squares over rows of probabilities, from `start`: accelerated projected gradient, begun anew where it would
/// overshoot (Beck and Teboulle 2009; O'Donoghue and Candès 2015).
Matrix solve(const Matrix& squares, const Matrix& products, const Prior& prior, const Matrix& start) {
  const auto steepest = squares.trace() + prior.firmness.maxCoeff();
  Matrix moves = start, ahead = start;
  double momentum = 1;
  for (int i = 0; i < kIterations; ++i) {
    const Matrix slope = squares * ahead - products + Matrix(prior.firmness.array() * (ahead - prior.mean).array());
    Matrix next = ahead - slope / steepest;
    for (Eigen::Index row = 0; row < next.rows(); ++row) project(next.row(row));
    const Matrix change = next - moves;
    if ((slope.array() * change.array()).sum() > 0) momentum = 1;
    const auto faster = (1 + std::sqrt(1 + 4 * momentum * momentum)) / 2;
    ahead = next + (momentum - 1) / faster * change;
    momentum = faster;
    moves = next;
    if (change.cwiseAbs().maxCoeff() < kSettled) break;
  }
  return moves;
}

/// `all` of `size` × `size` matrices, each with a row and a column of zeros more.
std::vector<double> grown(const std::vector<double>& all, Eigen::Index size) {
  if (size == 0) return std::vector<double>(all.size() + 1);
  const auto count = all.size() / static_cast<std::size_t>(size * size);
  std::vector<double> out(count * static_cast<std::size_t>((size + 1) * (size + 1)));
  for (std::size_t i = 0; i < count; ++i) part(out, i, size + 1).topLeftCorner(size, size) = part(all, i, size);
  return out;
}

}  // namespace

LocationChain::LocationChain(ChainShape shape) {
  shape.stay = std::clamp(shape.stay, kSurest, 1 - kSurest);
  shape.prior = std::max(shape.prior, 0.0);
  shape.keep = std::clamp(shape.keep, 0.0, 1.0);
  shape.phases = std::clamp<std::size_t>(shape.phases, 1, std::max<std::size_t>(1, shape.day));
  state_.shape = shape;
}

LocationChain::LocationChain(ChainState state) : LocationChain(state.shape) {
  const auto size = state.locations.size(), each = size * size, all = state_.shape.phases * each;
  if ((state.share.empty() || state.share.size() == size) && state.squares.size() == all &&
      state.products.size() == all && state.moves.size() == all && state.pooled.size() == each &&
      state.errors.size() == each && state.shape.phases == state_.shape.phases)
    state_ = std::move(state);
}

std::size_t LocationChain::phase(std::size_t step) const {
  return state_.shape.day == 0 ? 0 : step % state_.shape.day * state_.shape.phases / state_.shape.day;
}

const double* LocationChain::moves_into(std::size_t step) const {
  const auto size = state_.locations.size(), begin = phase(step) * size * size;
  const bool seen =
      std::any_of(&state_.squares[begin], &state_.squares[begin] + size * size, [](double value) { return value > 0; });
  return seen ? &state_.moves[begin] : state_.pooled.data();
}

void LocationChain::grow(const std::string& location) {
  const auto size = static_cast<Eigen::Index>(state_.locations.size());
  state_.locations.push_back(location);
  if (!state_.share.empty()) state_.share.push_back(0);
  if (size == 0) {
    state_.squares.assign(state_.shape.phases, 0);
    state_.products = state_.squares;
    state_.errors = {0};
    state_.errors_count = 1;  // as of a usual error
  } else {
    for (auto* matrices : {&state_.squares, &state_.products, &state_.errors}) *matrices = grown(*matrices, size);
  }
  state_.errors.back() = state_.errors_count * kUsualError * kUsualError;
  // What is known of moves among the others stays, until the next step.
  const auto mean = staying(size + 1, state_.shape.stay);
  const auto extended = [&](const std::vector<double>& before, std::size_t count) {
    std::vector<double> out(count * static_cast<std::size_t>((size + 1) * (size + 1)));
    for (std::size_t i = 0; i < count; ++i) {
      auto moves = part(out, i, size + 1);
      moves = mean;
      if (state_.after == 0) continue;
      moves.topRows(size).setZero();
      moves.topLeftCorner(size, size) = part(before, i, size);
    }
    return out;
  };
  state_.pooled = extended(state_.pooled, 1);
  state_.moves = extended(state_.moves, state_.shape.phases);
}

double LocationChain::error_variance() const {
  const auto size = static_cast<Eigen::Index>(state_.locations.size());
  auto sum = state_.after;
  for (std::size_t i = 0; i < state_.shape.phases; ++i) {
    const auto squares = part(state_.squares, i, size), products = part(state_.products, i, size);
    if (squares.trace() <= 0) continue;
    const auto moves = part(state_.moves, i, size);
    sum += (moves.array() * (squares * moves - 2 * products).array()).sum();
  }
  return (kUsualCount * kUsualError * kUsualError + std::max(0.0, sum)) /
         (kUsualCount + state_.errors_count * static_cast<double>(size));
}

void LocationChain::observe(std::span<const Demand> demand) {
  const auto counts = [](double amount) { return std::isfinite(amount) && amount > 0; };
  double greatest = 0;
  for (const auto& one : demand)
    if (counts(one.amount)) greatest = std::max(greatest, one.amount);
  if (greatest > 0) {
    std::vector<double> share(state_.locations.size());
    double total = 0;
    for (const auto& one : demand) {
      if (!counts(one.amount)) continue;
      const auto known = std::find(state_.locations.begin(), state_.locations.end(), one.location);
      const auto at = static_cast<std::size_t>(known - state_.locations.begin());
      if (known == state_.locations.end()) {
        grow(one.location);
        share.push_back(0);
      }
      share[at] += one.amount / greatest;  // so that no sum overflows
      total += one.amount / greatest;
    }
    for (auto& value : share) value /= total;
    if (!state_.share.empty()) learn(share);
    state_.share = std::move(share);
  }
  ++state_.steps;
}

void LocationChain::learn(const std::vector<double>& share) {
  const auto size = static_cast<Eigen::Index>(share.size());
  const auto now = phase(state_.steps);
  const Eigen::Map<const Row> before(state_.share.data(), size), after(share.data(), size);
  auto moves = part(state_.moves, now, size), pooled = part(state_.pooled, 0, size);
  auto errors = part(state_.errors, 0, size);

  const Row error = after - before * Eigen::Map<const Matrix>(moves_into(state_.steps), size, size);
  const auto keep = state_.shape.keep;
  errors = keep * errors + error.transpose() * error;
  state_.errors_count = keep * state_.errors_count + 1;
  for (auto* matrices : {&state_.squares, &state_.products})
    for (auto& value : *matrices) value *= keep;
  part(state_.squares, now, size) += before.transpose() * before;
  part(state_.products, now, size) += before.transpose() * after;

  Matrix squares = Matrix::Zero(size, size), products = squares;
  for (std::size_t i = 0; i < state_.shape.phases; ++i) {
    squares += part(state_.squares, i, size);
    products += part(state_.products, i, size);
  }
  state_.after = keep * state_.after + after.squaredNorm();
  // As the moves of the step before have it: what they learn now makes it smaller next time.
  const auto variance = error_variance();
  const auto& shape = state_.shape;
  pooled = solve(squares, products, dirichlet(staying(size, shape.stay), shape.prior, variance), pooled);
  if (shape.phases == 1)
    moves = pooled;
  else
    moves = solve(part(state_.squares, now, size), part(state_.products, now, size),
                  dirichlet(pooled, shape.prior, variance), moves);
}

double LocationChain::move(std::size_t from, std::size_t to, std::size_t ahead) const {
  return moves_into(state_.steps + std::max<std::size_t>(1, ahead) - 1)[from * state_.locations.size() + to];
}

std::vector<ShareForecast> LocationChain::forecast(std::size_t steps) const {
  std::vector<ShareForecast> out;
  if (state_.share.empty()) return out;
  const auto size = static_cast<Eigen::Index>(state_.share.size());
  Row mean = Eigen::Map<const Row>(state_.share.data(), size);
  const Matrix error = part(state_.errors, 0, size) / state_.errors_count;
  Matrix covariance = Matrix::Zero(size, size);
  for (std::size_t step = 0; step < steps; ++step) {
    const Eigen::Map<const Matrix> moves(moves_into(state_.steps + step), size, size);
    mean = mean * moves;
    covariance = moves.transpose() * covariance * moves + error;
    const Row deviation = covariance.diagonal().transpose().cwiseMax(0.0).cwiseSqrt();
    out.push_back({{mean.begin(), mean.end()}, {deviation.begin(), deviation.end()}});
  }
  return out;
}

}  // namespace umbra::forecast
