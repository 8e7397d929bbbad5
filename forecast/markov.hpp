/// Where clients will be: a Markov chain over their locations, learnt from nothing but each location's share of demand.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

namespace umbra::forecast {

/// What clients of one location asked for in one step, in any unit that all locations share.
struct Demand {
  std::string location;
  double amount = 0;
};

struct ChainShape {
  double stay = 0.9;    ///< how much of a location's demand is there a step later, before anything was seen; in (0, 1)
  double prior = 10;    ///< how firm that is, in moves seen (the Dirichlet distribution's concentration)
  double keep = 0.998;  ///< what a step counts one step later, in (0, 1]
  std::size_t day = 0;  ///< in steps, for phases
  std::size_t phases = 1;  ///< that the day is cut into, each with a chain of its own; at most `day`
};

/// All that a LocationChain knows, to be kept and loaded. Matrices are row by row, a row for each location left, and
/// those of the phases follow each other.
struct ChainState {
  ChainShape shape;
  std::size_t steps = 0;               ///< seen, with demand or without
  std::vector<std::string> locations;  ///< in the order of their appearance
  std::vector<double> share;           ///< of each location when there last was demand; empty before
  std::vector<double> squares;         ///< Σ share × share before a move, by phase
  std::vector<double> products;        ///< Σ share before × share after, by phase
  double after = 0;                    ///< Σ |share after|²
  std::vector<double> pooled;          ///< probabilities of moves at any time of the day
  std::vector<double> moves;           ///< and by phase
  std::vector<double> errors;          ///< Σ error × error of the means said one step before
  double errors_count = 0;
};

/// One step of a forecast; shares in the order of the locations.
struct ShareForecast {
  std::vector<double> mean;       ///< not negative, and 1 in sum
  std::vector<double> deviation;  ///< standard deviation around it
};

/// share(t+1) = share(t) × moves + error, with probabilities of moves that sum up to 1 for each location left. They are
/// estimated by least squares under these constraints (Lee, Judge and Zellner 1970: "Estimating the Parameters of the
/// Markov Probability Model from Aggregate Time Series Data"), older steps counting for less, around a prior with the
/// mean and variance of a Dirichlet distribution that favours staying. What only shares cannot tell (two locations
/// whose shares always move together) stays as the prior has it. The errors' covariance, carried along the chain, gives
/// the deviations; that the moves themselves are not known exactly is in them for the first step only.
///
/// One chain for all times of the day forgets where it came from: it tends to the long-run shares, and a demand that
/// follows the sun smoothly dies out. With three locations and hourly steps no chain keeps more than
/// cos 60° / cos 45° = 0.71 of such a rotation per step (the eigenvalues allowed: Dmitriev and Dynkin 1946). Phases of
/// the day have no such limit. Each is estimated around the chain of all phases, so a phase seldom seen is much like
/// it.
class LocationChain {
 public:
  explicit LocationChain(ChainShape shape = {});
  /// @param state as state() gave it; one whose vectors do not fit its locations begins anew, with the same shape
  explicit LocationChain(ChainState state);

  const ChainState& state() const { return state_; }
  const std::vector<std::string>& locations() const { return state_.locations; }

  /// Takes in the next step. A location not named has no demand, one never named before is added. Amounts that are
  /// negative or not finite count as none, and a step without any demand teaches nothing: it only passes.
  void observe(std::span<const Demand> demand);

  /// The probability of moving, from locations()[from] to locations()[to], into the step `ahead` (1 is the next).
  double move(std::size_t from, std::size_t to, std::size_t ahead = 1) const;

  /// The shares of the next `steps` steps. Empty when there has been no demand yet.
  std::vector<ShareForecast> forecast(std::size_t steps) const;

 private:
  std::size_t phase(std::size_t step) const;
  /// Probabilities of moves into `step`; of any step while its phase was never seen.
  const double* moves_into(std::size_t step) const;
  void grow(const std::string& location);
  /// Of one share in one step, as the moves fit what was seen.
  double error_variance() const;
  void learn(const std::vector<double>& share);

  ChainState state_;
};

}  // namespace umbra::forecast
