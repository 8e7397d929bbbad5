/// How far a series may stray from its point forecast, learned from how far it did: no Gaussian anywhere.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "forecast/linear_pool.hpp"
#include "forecast/models/history.hpp"
#include "forecast/rounded.hpp"
#include "forecast/statistics.hpp"
#include "forecast/stored.hpp"

namespace umbra::forecast {

/// Values that a quantity does not leave: 0, when nothing was ever below; and an extreme that it was seen to stop at,
/// as a CPU does at all of its cores: at least three times, and three times as often as at the value next to it.
struct Bounds {
  double least, most;

  static Bounds of(std::span<const double> seen);
  double within(double value) const;
};

/// A point forecast of the past.
struct Record {
  std::size_t place = 0;
  Rounded said;  ///< of some of the steps from there on, Spread's nodes
};

/// A possible future.
struct Path {
  double weight = 0;
  std::size_t origin = 0;  ///< the same for paths made in the same way from the same stretch of time
  std::vector<double> values;
};

/// A distribution per step: a linear pool of four others.
///
/// - *errors*: the point forecast plus what earlier ones were off by, so many steps ahead, at such a time of day
///   (conformal prediction with weights: Tibshirani and others 2019);
/// - *phase*: what was at about the same time of the last seven main seasons;
/// - *day*: what was in the last main season;
/// - *lately*: what was in the last quarter of it: a new level is known at once.
///
/// A linear pool keeps tails that averaging quantiles would lose. What it says of either tail is then stretched until
/// intervals hold what they should (adaptive conformal inference: Gibbs and Candès 2021).
class Spread {
 public:
  /// @param season the main one, in steps; 0 for none
  /// @param horizon of the point forecasts that are recorded
  Spread(std::size_t season, std::size_t horizon);

  /// How many steps apart forecasts are to be recorded.
  std::size_t stride() const { return stride_; }

  /// Keeps a forecast made at history's end, to learn from its errors; `stride()` steps after the one before.
  void record(std::size_t place, std::span<const double> said);

  /// Learns from what has come true of the recorded forecasts since the last call: which of the four were right, and
  /// whether the tails were.
  /// @param real whether a value of history.recent() was seen; what was filled in teaches nothing
  void learn(const History& history, const std::vector<bool>& real);

  /// @param said the point forecast from history's end on
  /// @param levels ascending, each in (0, 1)
  /// @return for each step, one ascending number for each level
  std::vector<std::vector<double>> quantiles(const History& history, std::span<const double> said,
                                             std::span<const double> levels) const;

  /// Futures with the series' own rhythm: the point forecast plus a whole path of earlier errors, or a stretch of the
  /// past as it was. Weights sum up to 1. Origins mean the same for any two series whose places mean the same moments.
  std::vector<Path> paths(const History& history, std::span<const double> said) const;

  void save(StateWriter& out) const;
  /// Reads it into a spread of the same season and horizon. @param now the history's length
  void load(StateReader& in, std::size_t now);

 private:
  struct Error {
    double value;
    std::uint32_t ahead, phase;
  };
  struct View;

  std::size_t records_before(std::size_t place) const;
  std::size_t most_records() const;
  /// What it said of each step, linear between nodes.
  std::vector<double> whole(const Record& record) const;
  /// @param steps ahead that it will be asked about
  View view(const History& history, std::size_t steps) const;
  void score(const View& view, std::size_t ahead, double said, double came);

  std::size_t season_, horizon_;
  std::size_t day_;  // the season, or what stands in for it
  std::size_t stride_;
  std::vector<std::size_t> nodes_;  // steps ahead, ascending from 0, at which forecasts are kept
  std::vector<Record> records_;     // the oldest first
  std::size_t learned_ = 0;         // all places before it have been learned from
  LinearPool pool_;
  double low_tail_, high_tail_;  // logarithm of the factor by which each is stretched
};

/// The probability that a future is above `capacity` in any of its first `window` steps. Drawn in from 0 and 1 by what
/// so many paths can tell, and spread a little, since the paths of the past are fewer than those of the future.
double exceedance(std::span<const Path> paths, double capacity, std::size_t window);

}  // namespace umbra::forecast
