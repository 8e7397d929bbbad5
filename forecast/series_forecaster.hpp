/// The forecaster of one series: takes its values as they come, and says at any time what comes next.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.hpp"
#include "forecast/combination.hpp"
#include "forecast/models/model.hpp"
#include "forecast/models/pool.hpp"
#include "forecast/spread.hpp"

namespace umbra::forecast {

/// A new value is one update of each model; models are built anew, from what is remembered, only when the series has
/// grown by half, or by all that is remembered. Deterministic: the same values give the same forecast.
///
/// Small, since many series live in one process: values and what is known of them are remembered in single precision,
/// forecasts of the past in two bytes a step.
class SeriesForecaster {
 public:
  struct Shape {
    std::vector<std::size_t>
        seasons;              ///< in steps, ascending, the main one first; used once the series has two of each
    std::size_t horizon = 1;  ///< that forecasts are tuned for; any other may be asked as well
    std::size_t known = 0;    ///< columns known beforehand
    /// Place of the first value to come: series whose places mean the same moments have paths that belong together.
    std::size_t start = 0;
    Profile peers = {};  ///< what others of its kind do through the main season; empty when nobody knows
    friend bool operator==(const Shape&, const Shape&) = default;
  };
  explicit SeriesForecaster(Shape shape);

  const Shape& shape() const { return shape_; }

  /// @param value of the next step; NaN when it is not known, which is filled in from the last value or, when the gap
  /// is
  ///   longer than a 24th of the main season, from the season before. Gaps before the first value are left out.
  ///   Numbers beyond ±1e30 count as that
  /// @param known the row of that step, of `Shape::known` numbers
  void observe(double value, std::span<const double> known = {});

  /// Builds all models anew from what is remembered, scales and trials included: worth some milliseconds before a
  /// forecast that much hangs on. Happens by itself as the series grows.
  void refit();

  /// The place of the next value.
  std::size_t end() const { return first_ + recent_.size(); }
  /// Steps since the first value.
  std::size_t size() const { return first_ - begun_ + recent_.size(); }
  bool empty() const { return recent_.empty(); }

  struct Outlook {
    std::vector<double> point;                   ///< per step
    std::vector<std::vector<double>> quantiles;  ///< per step, one for each level asked for
    std::vector<Path> paths;                     ///< if asked for
  };
  enum class Paths : bool { kNo, kYes };
  /// Learns what came true, then looks ahead. There must have been a value.
  /// @param levels ascending, each in (0, 1); may be empty
  /// @param known a row for each step ahead
  Outlook look(std::size_t steps, std::span<const double> levels, Paths paths = Paths::kNo, const Known& known = {});

  /// The models whose word counts for most, and how much it does, averaged over near and far steps: at most `most`,
  /// descending.
  std::vector<std::pair<std::string, double>> leaders(std::size_t most) const;

  /// How far the models that have a prior have moved from it, in its standard deviations, as of the last forecast: the
  /// mean over them, by how much their word counts. 0 while there are none.
  double moved_from_prior() const;

  /// How it goes through its main season, for its peers; see profile_of().
  Profile profile() const;

  /// All that it knows, its shape included: what load() makes of it goes on exactly as this one does. The form is of
  /// this program's version, `kStoredVersion`.
  std::string save() const;
  /// @error kInvalid not such a state, cut short, damaged, of another version, or of a shape beyond what is sensible
  static Result<SeriesForecaster> load(std::string_view state);
  static constexpr std::string_view kStoredKind = "UmSF";
  static constexpr std::uint16_t kStoredVersion = 2;  ///< a new one with any change of the form, or of the pool

 private:
  /// How much a model's word counts, averaged over near and far steps.
  double share(std::size_t model) const { return (weights_.near[model] + weights_.far[model]) / 2; }
  std::size_t main_season() const { return pool_.seasons.empty() ? 0 : pool_.seasons.front(); }
  double filled() const;
  void remember(double value, bool real, std::span<const double> known);
  /// What is remembered as the models want it, for the time of one call.
  /// @param count of the newest values, or as many as are remembered
  std::vector<double> past(std::size_t count) const {
    return {recent_.end() - static_cast<std::ptrdiff_t>(std::min(count, recent_.size())), recent_.end()};
  }
  void refit(const History& history);
  void rehearse_now(const History& history);
  PoolShape pool_shape(std::vector<std::size_t> seasons, std::size_t at_first_trial, std::size_t at_forecast) const;
  void lean_on_peers();
  void load_past(StateReader& in);
  void load_models(StateReader& in);
  void load_trials(StateReader& in);

  Shape shape_;
  std::size_t memory_;  // values
  std::size_t begun_;   // place of the first value
  std::size_t first_;   // place of recent_[0]
  std::vector<float> recent_;
  std::vector<bool> real_;    // which of them were seen
  std::vector<float> known_;  // their rows
  std::size_t gap_ = 0;       // steps since the last value that was seen

  PoolShape pool_;  // what models_ are chosen from
  Scales scales_;
  std::vector<std::uint8_t> chosen_;  // of the pool, by index
  Models models_;
  std::vector<TrialRecord> trials_;
  Weights weights_;
  Spread spread_;
  std::size_t build_at_ = 1;
};

}  // namespace umbra::forecast
