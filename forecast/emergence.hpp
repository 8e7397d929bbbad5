/// Tells growth that the model did not expect from chance.
#pragma once

#include <array>
#include <cstddef>
#include <vector>

namespace umbra::forecast {

/// How sure one may be that a series, or the sum of a group, has begun to grow beyond what was expected of it.
struct Evidence {
  double probability =
      0;  ///< that this is no chance: odds are the evidence against one chance alarm in `patience` steps
  std::size_t begun = 0;  ///< the step (0 is the first observed) since which there is evidence; the next one for none
};

/// All that an Emergence knows, to be kept and loaded.
struct EmergenceState {
  /// A stake on high ranks, as a sum of evidence since it was last worth nothing.
  struct Bet {
    double gain = 0;  ///< logarithm of what 1 has become; never negative
    std::size_t begun = 0;
  };
  double patience = 20'000;  ///< steps; at least 1
  std::size_t steps = 0;
  std::vector<double> past;  ///< the last innovations, the oldest overwritten first
  std::size_t oldest = 0;
  double last = 0;      ///< standardised surprise, clipped
  double level = 0;     ///< of the clipped surprises, forgetting
  double variance = 0;  ///< and their variance …
  double lagged = 0;    ///< … and covariance with the ones before
  double weight = 0;
  std::array<Bet, 3> bets{};
};

/// Each step's surprise, less what the surprise before led to expect (first-order autocorrelation), takes its rank
/// among the last thousand. If nothing has changed every rank is as probable, whatever the distribution: neither heavy
/// tails nor a wrong spread nor a constant error of the expected mean matter (Vovk, Nouretdinov and Gammerman 2003:
/// "Testing Exchangeability On-Line"). Bets on high ranks then win nothing on average. What a bet has won since it was
/// last ruined is a CUSUM (Page 1954) and an e-detector (Shin, Ramdas and Rinaldo 2024): without growth, the mean time
/// until it has won x is at least x steps. So `probability` exceeds p at most once in `patience` × p / (1 - p) steps.
/// One bet is for small growth, one for moderate, one for great; a single outlier multiplies the odds by 5.5 at most,
/// and three ordinary steps undo it. The first 50 surprises only teach the autocorrelation.
///
/// A step of 4 usual deviations is seen after 6 steps, of 2 after 10, of 1 after 30 and of a half after 110.
///
/// What it cannot do: growth that has lasted for a thousand steps is the new normal, and evidence wanes; whoever acts
/// on it may begin anew. Surprises that follow each other closely hide growth, since they look like it. Where their
/// autocorrelation is nearly 1 or of more than first order (a season that the model missed) high ranks come in runs,
/// and alarms are more frequent than promised.
class Emergence {
 public:
  explicit Emergence(double patience = 20'000);
  explicit Emergence(EmergenceState state);

  const EmergenceState& state() const { return state_; }

  /// @param mean what was expected of this step
  /// @param spread how far from it is usual, in the same unit (a standard deviation, a distance between quantiles);
  /// none
  ///   or less counts as very small
  /// @param came what came. A step with anything not finite teaches nothing: it only passes
  Evidence observe(double mean, double spread, double came);

  /// @param position of what came in the distribution that was expected, in [0, 1]; beyond counts as the nearest
  Evidence observe(double position);

  Evidence evidence() const;

 private:
  void learn(double surprise);
  void bet(double innovation);

  EmergenceState state_;
};

}  // namespace umbra::forecast
