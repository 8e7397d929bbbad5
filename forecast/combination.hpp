/// A robust combination of models, weighted by what each would have said lately.
#pragma once

#include <Eigen/Core>
#include <span>
#include <vector>

#include "forecast/models/history.hpp"
#include "forecast/models/model.hpp"
#include "forecast/rounded.hpp"

namespace umbra::forecast {

/// What all models said at one place of the past: a column for each model, a row for each step from there on.
struct Trial {
  std::size_t place = 0;
  Eigen::MatrixXd said;
};

/// As many trials are worth looking at; older ones say little.
inline constexpr std::size_t kMostTrials = 12;

/// Where trials are made for a forecast of `horizon` steps from `length` on: up to kMostTrials, half a horizon (or a
/// main season) apart, the last half a horizon before the end, none before half of the history or two and a quarter
/// main seasons. At least one place, which may be too early for most models.
std::vector<std::size_t> trial_places(std::size_t length, std::size_t main_season, std::size_t horizon);
/// How far apart they are.
std::size_t trial_distance(std::size_t main_season, std::size_t horizon);

/// Asks all models what comes after `history`. One that is not warm yet, or fails to say a number, says the last value;
/// none leaves the range of what was seen by more than three tenths of it, nor goes below zero where nothing was,
/// unless it knows_what_was_never_seen().
/// @param known a row for each step ahead
Trial ask(const History& history, const Known& known, Models& models, std::size_t horizon);

/// Shows all of `history` to models that have seen nothing of it, and asks them at each of `places` (ascending, each
/// beyond the first value).
/// @param known a row for each value of `history` and `horizon` more
std::vector<Trial> rehearse(const History& history, const Known& known, Models& models,
                            std::span<const std::size_t> places, std::size_t horizon);

/// What is kept of a trial: the answers for ten of its steps, two in the near part and eight in the far one. They are
/// other steps in each trial, so that several see all of the horizon and all times of the day.
class TrialRecord {
 public:
  enum class Steps : bool { kSome, kAll };
  /// @param models that are kept, by column
  /// @param steps all of them for weights that are made while trials are at hand
  TrialRecord(const Trial& trial, std::span<const std::size_t> models, Steps steps = Steps::kSome);
  /// To be read over.
  TrialRecord(std::size_t horizon, std::size_t models);

  struct Step {
    std::size_t ahead = 0;
    double stands_for = 1;  ///< so many steps
  };
  std::size_t place() const { return place_; }
  std::vector<Step> steps() const;
  /// What a model said of the step of that index.
  double said(std::size_t step, std::size_t model) const { return said_[step * models_ + model]; }
  std::size_t models() const { return models_; }

  template <class Self, class Io>
  static void describe(Self& self, Io& io) {
    io(self.place_);
    Rounded::describe(self.said_, io);
  }

 private:
  std::size_t place_ = 0, horizon_, models_;
  Steps kept_ = Steps::kSome;
  Rounded said_;
};

/// How much each model's word counts for the steps [from, to) ahead: half by its mean absolute error in the trials (to
/// the power -2), half by greedy selection of ten with replacement (Caruana and others 2004), later trials counting for
/// more. The weights sum up to 1.
std::vector<double> weigh(std::span<const TrialRecord> trials, const History& history, std::size_t from,
                          std::size_t to);

/// What a point forecast is made with: weights of their own for the first eighth of the horizon and for the rest, each
/// shared half with those of all steps.
struct Weights {
  std::vector<double> near, far;
};
Weights weigh(std::span<const TrialRecord> trials, const History& history, std::size_t horizon);

/// Of each family of models, which differ only in the scale they see the series in, the one with the least mean
/// absolute error in the trials: the other one says much the same. Ascending.
std::vector<std::size_t> best_of_families(std::span<const Trial> trials, const History& history, const Models& models);

/// The point forecast: between the weighted mean and the weighted median of what the models say.
/// @param said as in Trial
std::vector<double> combine(const Eigen::MatrixXd& said, const Weights& weights);

}  // namespace umbra::forecast
