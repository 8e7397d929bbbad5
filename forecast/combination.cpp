#include "forecast/combination.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "forecast/statistics.hpp"

namespace umbra::forecast {
namespace {

constexpr double kBeyond = 0.3;     // of the range of what was seen
constexpr double kDiscount = 0.95;  // from one trial to the one before
constexpr int kPicks = 10;
constexpr double kFloor = 1e-6;   // of the worst error; a model without any error does not count for infinitely much
constexpr std::size_t kNear = 8;  // the first eighth of the horizon
constexpr std::size_t kNearSteps = 2, kFarSteps = 8;  // that are kept of a trial

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

std::size_t steps_kept(std::size_t horizon) {
  const auto near = near_steps(horizon);
  return std::min(near, kNearSteps) + std::min(horizon - near, kFarSteps);
}

/// The trials' steps within [from, to) that have come true, one below the other.
struct Record {
  Eigen::MatrixXd said;
  Eigen::VectorXd came, counts;
};

Record record_of(std::span<const TrialRecord> trials, const History& history, std::size_t from, std::size_t to) {
  const auto models = trials.empty() ? 0 : trials.front().models();
  std::vector<double> said, came, counts;
  auto count = std::pow(kDiscount, static_cast<double>(trials.size()));
  for (const auto& trial : trials) {
    count /= kDiscount;
    const auto steps = trial.steps();
    for (std::size_t i = 0; i < steps.size(); ++i) {
      const auto at = trial.place() + steps[i].ahead;
      if (steps[i].ahead < from || steps[i].ahead >= to || at < history.first() || at >= history.size()) continue;
      for (std::size_t model = 0; model < models; ++model) said.push_back(trial.said(i, model));
      came.push_back(history[at]);
      counts.push_back(count * steps[i].stands_for);
    }
  }
  using Rows = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  const auto rows = static_cast<Eigen::Index>(came.size());
  return {Eigen::Map<Rows>(said.data(), rows, static_cast<Eigen::Index>(models)),
          Eigen::Map<Eigen::VectorXd>(came.data(), rows), Eigen::Map<Eigen::VectorXd>(counts.data(), rows)};
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
/// @param order of the models by what they say
/// @param atoms room for as many
double agree(const auto& said, std::span<const std::size_t> order, const std::vector<double>& weights,
             std::vector<Atom>& atoms) {
  constexpr double kHalf = 0.5;
  double mean = 0;
  atoms.clear();
  for (const auto model : order) {
    const auto value = said[static_cast<Eigen::Index>(model)];
    mean += weights[model] * value;
    atoms.push_back({value, weights[model]});
  }
  return (mean + weighted_quantiles(atoms, {&kHalf, 1}).front()) / 2;
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
          models[model]->knows_what_was_never_seen() ? said[step] : range.tame(said[step], history.back());
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

TrialRecord::TrialRecord(std::size_t horizon, std::size_t models)
    : horizon_(horizon), models_(models), said_(steps_kept(horizon) * models) {}

TrialRecord::TrialRecord(const Trial& trial, std::span<const std::size_t> models, Steps kept)
    : place_(trial.place),
      horizon_(static_cast<std::size_t>(trial.said.rows())),
      models_(models.size()),
      kept_(kept),
      said_(std::size_t{0}) {
  std::vector<double> said;
  for (const auto& step : steps())
    for (const auto model : models)
      said.push_back(trial.said(static_cast<Eigen::Index>(step.ahead), static_cast<Eigen::Index>(model)));
  said_ = Rounded(said);
}

std::vector<TrialRecord::Step> TrialRecord::steps() const {
  constexpr double kGolden = 0.618033988749895;  // its multiples fill a circle evenly (Weyl 1916), so do a few
  const auto trial = 2 * place_ / std::max<std::size_t>(1, horizon_);  // the how-manieth it is
  const auto turn = std::fmod(static_cast<double>(trial) * kGolden, 1.0);
  std::vector<Step> steps;
  const auto add = [&](std::size_t from, std::size_t to, std::size_t most) {
    const auto count = kept_ == Steps::kAll ? to - from : std::min(to - from, most);
    const auto width = static_cast<double>(to - from) / static_cast<double>(count);
    for (std::size_t i = 0; i < count; ++i)
      steps.push_back(
          {std::min(to - 1, from + static_cast<std::size_t>((static_cast<double>(i) + turn) * width)), width});
  };
  const auto near = near_steps(horizon_);
  add(0, near, kNearSteps);
  if (horizon_ > near) add(near, horizon_, kFarSteps);
  return steps;
}

std::vector<double> weigh(std::span<const TrialRecord> trials, const History& history, std::size_t from,
                          std::size_t to) {
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

Weights weigh(std::span<const TrialRecord> trials, const History& history, std::size_t horizon) {
  const auto near_end = near_steps(horizon);
  const auto all = weigh(trials, history, 0, horizon);
  return {halfway(weigh(trials, history, 0, near_end), all), halfway(weigh(trials, history, near_end, horizon), all)};
}

std::vector<std::size_t> best_of_families(std::span<const Trial> trials, const History& history, const Models& models) {
  Eigen::VectorXd errors = Eigen::VectorXd::Zero(static_cast<Eigen::Index>(models.size()));
  for (const auto& trial : trials)
    for (Eigen::Index step = 0; step < trial.said.rows(); ++step) {
      errors *= step == 0 ? kDiscount : 1;
      const auto at = trial.place + static_cast<std::size_t>(step);
      if (at < history.size()) errors += (trial.said.row(step).transpose().array() - history[at]).abs().matrix();
    }
  std::vector<std::size_t> best;
  for (std::size_t model = 0; model < models.size(); ++model) {
    const auto rival = std::find_if(best.begin(), best.end(), [&](std::size_t other) {
      return models[other]->family() == models[model]->family();
    });
    if (rival == best.end())
      best.push_back(model);
    else if (errors[static_cast<Eigen::Index>(model)] < errors[static_cast<Eigen::Index>(*rival)])
      *rival = model;
  }
  std::sort(best.begin(), best.end());
  return best;
}

std::vector<double> combine(const Eigen::MatrixXd& said, const Weights& weights) {
  const auto width = static_cast<double>(near_steps(static_cast<std::size_t>(said.rows())));
  std::vector<double> out;
  std::vector<Atom> atoms;
  std::vector<std::size_t> order(static_cast<std::size_t>(said.cols()));
  std::iota(order.begin(), order.end(), 0);
  for (Eigen::Index step = 0; step < said.rows(); ++step) {
    const auto of_step = said.row(step);
    std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
      return of_step[static_cast<Eigen::Index>(a)] < of_step[static_cast<Eigen::Index>(b)];
    });
    const auto share = std::clamp((static_cast<double>(step) - width / 2) / width, 0.0, 1.0);
    const auto near = share < 1 ? agree(of_step, order, weights.near, atoms) : 0;
    const auto far = share > 0 ? agree(of_step, order, weights.far, atoms) : 0;
    out.push_back(std::lerp(near, far, share));
  }
  return out;
}

}  // namespace umbra::forecast
