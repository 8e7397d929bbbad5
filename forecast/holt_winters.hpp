/// Additive exponential smoothing with damped trend and an optional season, in its error-correction form
/// (Hyndman, Koehler, Ord, Snyder: Forecasting with Exponential Smoothing, 2008, model ETS(A,Ad,A)).
#pragma once

#include <span>
#include <vector>

namespace umbra::forecast {

struct Smoothing {
  double level = 0.2;    ///< share of a surprise that stays in the level
  double trend = 0.0;    ///< … in the slope
  double season = 0.0;   ///< … in the season
  double damping = 0.9;  ///< what is left of the slope after one step
};

/// The model's state between two steps.
class HoltWinters {
 public:
  /// @param season one value per phase of the season, the first for the next step; empty for none
  HoltWinters(const Smoothing& smoothing, double level, std::vector<double> season);

  /// What the next step is expected to be.
  double expected() const { return level_ + smoothing_.damping * slope_ + (season_.empty() ? 0 : season_[phase_]); }
  /// Goes one step on; `surprise` is what was seen less what was expected, 0 when nothing was seen.
  void advance(double surprise);

 private:
  Smoothing smoothing_;
  double level_;
  double slope_ = 0;
  std::vector<double> season_;
  std::size_t phase_ = 0;
};

struct Fit {
  HoltWinters model;              ///< at the end of the history
  std::vector<double> surprises;  ///< one per step of the history, centred; NaN in gaps and while the model warmed up
};

/// Fits by the smallest mean square of one-step surprises over a small grid. The season (of `period` steps) is used
/// only when the history holds two of them and it predicts better than none. `values` must hold a number.
Fit fit(std::span<const double> values, std::size_t period);

}  // namespace umbra::forecast
