#include "forecast/combination.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "forecast/statistics.hpp"

namespace umbra::forecast {
namespace {

constexpr double kBeyond = 0.3;     // of the range of what was seen
constexpr double kDiscount = 0.95;  // from one trial to the one before
constexpr int kPicks = 10;
constexpr double kFloor = 1e-6;   // of the worst error; a model without any error does not count for infinitely much
constexpr std::size_t kNear = 8;  // the first eighth of the horizon

/// Steps ahead that have weights of their own.
std::size_t near_steps(std::size_t horizon) {
  return std::max<std::size_t>(1, horizon / kNear);
}

/// What no model may leave.
class Range {
 public:
  explicit Range(std::span<const double> seen) {
    const auto [least, most] = std::minmax_element(seen.begin(), seen.end());
    const auto beyond = kBeyond * (*most - *least);
    least_ = *least >= 0 ? std::max(0.0, *least - beyond) : *least - beyond;
    most_ = *most + beyond;
  }
  double tame(double value, double instead) const {
    return std::isfinite(value) ? std::clamp(value, least_, most_) : instead;
  }

 private:
  double least_, most_;
};

/// The trials' steps [from, to) that have come true, one below the other.
struct Record {
  Eigen::MatrixXd said;
  Eigen::VectorXd came, counts;
};

Record record_of(std::span<const Trial> trials, const History& history, std::size_t from, std::size_t to) {
  const auto end_of = [&](const Trial& trial) { return std::min(to, history.size() - trial.place); };
  Eigen::Index rows = 0;
  for (const auto& trial : trials)
    if (end_of(trial) > from) rows += static_cast<Eigen::Index>(end_of(trial) - from);
  Record record{Eigen::MatrixXd(rows, trials.empty() ? 0 : trials.front().said.cols()), Eigen::VectorXd(rows),
                Eigen::VectorXd(rows)};
  Eigen::Index row = 0;
  auto count = std::pow(kDiscount, static_cast<double>(trials.size()));
  for (const auto& trial : trials) {
    count /= kDiscount;
    for (auto step = from; step < end_of(trial); ++step, ++row) {
      record.said.row(row) = trial.said.row(static_cast<Eigen::Index>(step));
      record.came[row] = history[trial.place + step];
      record.counts[row] = count;
    }
  }
  return record;
}

/// How often each model is picked when models are added, one at a time, to those whose mean does best.
Eigen::VectorXd greedy(const Record& record) {
  Eigen::VectorXd picked = Eigen::VectorXd::Zero(record.said.cols());
  Eigen::VectorXd sum = Eigen::VectorXd::Zero(record.said.rows());
  for (int pick = 1; pick <= kPicks; ++pick) {
    Eigen::Index best = 0;
    auto least = std::numeric_limits<double>::infinity();
    for (Eigen::Index model = 0; model < record.said.cols(); ++model) {
      const auto error =
          (((sum + record.said.col(model)) / pick - record.came).array().abs() * record.counts.array()).sum();
      if (error < least) least = error, best = model;
    }
    picked[best] += 1.0 / kPicks;
    sum += record.said.col(best);
  }
  return picked;
}

std::vector<double> halfway(const std::vector<double>& a, const std::vector<double>& b) {
  std::vector<double> out(a.size());
  for (std::size_t i = 0; i < a.size(); ++i) out[i] = (a[i] + b[i]) / 2;
  return out;
}

/// Between the weighted mean and the weighted median of one step.
double agree(const Eigen::MatrixXd& said, Eigen::Index step, const std::vector<double>& weights) {
  double mean = 0;
  std::vector<Atom> atoms;
  for (Eigen::Index model = 0; model < said.cols(); ++model) {
    const auto weight = weights[static_cast<std::size_t>(model)];
    mean += weight * said(step, model);
    atoms.push_back({said(step, model), weight});
  }
  return (mean + weighted_median(atoms)) / 2;
}

}  // namespace

std::size_t trial_distance(std::size_t main_season, std::size_t horizon) {
  return std::max<std::size_t>(1, (main_season > 0 ? std::min(horizon, 2 * main_season) : horizon) / 2);
}

std::vector<std::size_t> trial_places(std::size_t length, std::size_t main_season, std::size_t horizon) {
  const auto apart = trial_distance(main_season, horizon);
  const auto earliest = std::max(length / 2, 2 * main_season + main_season / 4);
  const auto from_end = (horizon + 1) / 2;
  std::vector<std::size_t> places;
  for (auto ago = kMostTrials; ago-- > 0;) {
    const auto back = from_end + apart * ago;
    if (back < length && length - back >= std::max<std::size_t>(1, earliest)) places.push_back(length - back);
  }
  if (places.empty()) places.push_back(length > horizon + 1 ? length - horizon : 1);
  return places;
}

Trial ask(const History& history, const Known& known, Models& models, std::size_t horizon) {
  const Range range(history.recent());
  Trial trial{history.size(), Eigen::MatrixXd(horizon, models.size())};
  std::vector<double> said(horizon);
  for (std::size_t model = 0; model < models.size(); ++model) {
    if (history.recent().size() >= models[model]->warmup())
      models[model]->forecast(history, known, said);
    else
      std::fill(said.begin(), said.end(), history.back());
    for (std::size_t step = 0; step < horizon; ++step)
      trial.said(static_cast<Eigen::Index>(step), static_cast<Eigen::Index>(model)) =
          range.tame(said[step], history.back());
  }
  return trial;
}

std::vector<Trial> rehearse(const History& history, const Known& known, Models& models,
                            std::span<const std::size_t> places, std::size_t horizon) {
  std::vector<Trial> trials;
  auto next = places.begin();
  for (std::size_t length = 1; length <= history.recent().size(); ++length) {
    const History part(history.first(), history.recent().first(length));
    for (const auto& model : models) model->observe(part, known.row(length - 1));
    if (next == places.end() || *next != part.size()) continue;
    ++next;
    trials.push_back(ask(part, known.from(length, horizon), models, horizon));
  }
  return trials;
}

std::vector<double> weigh(std::span<const Trial> trials, const History& history, std::size_t from, std::size_t to) {
  const auto record = record_of(trials, history, from, to);
  const auto models = record.said.cols();
  const Eigen::VectorXd even = Eigen::VectorXd::Constant(models, 1.0 / static_cast<double>(models));
  Eigen::VectorXd weights = even;
  if (record.said.rows() > 0) {
    const Eigen::VectorXd errors =
        ((record.said.colwise() - record.came).array().abs().colwise() * record.counts.array()).colwise().sum() /
        record.counts.sum();
    const auto worst = errors.maxCoeff();
    if (worst > 0) {
      const Eigen::VectorXd by_error = (errors.array() + kFloor * worst).square().inverse();
      weights = (by_error / by_error.sum() + greedy(record)) / 2;
    }
  }
  return {weights.begin(), weights.end()};
}

Weights weigh(std::span<const Trial> trials, const History& history, std::size_t horizon) {
  const auto near_end = near_steps(horizon);
  const auto all = weigh(trials, history, 0, horizon);
  return {halfway(weigh(trials, history, 0, near_end), all), halfway(weigh(trials, history, near_end, horizon), all)};
}

std::vector<double> combine(const Eigen::MatrixXd& said, const Weights& weights) {
  const auto width = static_cast<double>(near_steps(static_cast<std::size_t>(said.rows())));
  std::vector<double> out;
  for (Eigen::Index step = 0; step < said.rows(); ++step) {
    const auto share = std::clamp((static_cast<double>(step) - width / 2) / width, 0.0, 1.0);
    const auto near = share < 1 ? agree(said, step, weights.near) : 0;
    const auto far = share > 0 ? agree(said, step, weights.far) : 0;
    out.push_back(std::lerp(near, far, share));
  }
  return out;
}

}  // namespace umbra::forecast
