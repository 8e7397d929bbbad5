/// The forecaster of one series: takes its values as they come, and says at any time what comes next.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "forecast/combination.hpp"
#include "forecast/models/model.hpp"
#include "forecast/spread.hpp"

namespace umbra::forecast {

/// A new value is one update of each model; models are built anew, from what is remembered, only when the series has
/// grown by half, or by all that is remembered. Deterministic: the same values give the same forecast.
class SeriesForecaster {
 public:
  struct Shape {
    std::vector<std::size_t>
        seasons;              ///< in steps, ascending, the main one first; used once the series has two of each
    std::size_t horizon = 1;  ///< that forecasts are tuned for; any other may be asked as well
    std::size_t known = 0;    ///< columns known beforehand
    /// Place of the first value to come: series whose places mean the same moments have paths that belong together.
    std::size_t start = 0;
  };
  explicit SeriesForecaster(Shape shape);

  /// @param value of the next step; NaN when it is not known, which is filled in from the last value or, when the gap
  /// is
  ///   longer than a 24th of the main season, from the season before. Gaps before the first value are left out.
  ///   Numbers beyond ±1e100 count as that
  /// @param known the row of that step, of `Shape::known` numbers
  void observe(double value, std::span<const double> known = {});

  /// Builds all models anew from what is remembered, scales and trials included: worth some milliseconds before a
  /// forecast that much hangs on. Happens by itself as the series grows.
  void refit();

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

 private:
  History history() const { return {first_, recent_}; }
  std::size_t main_season() const { return seasons_.empty() ? 0 : seasons_.front(); }
  double filled() const;
  void remember(double value, bool real, std::span<const double> known);
  std::vector<double> point(std::size_t steps, const Known& known);

  Shape shape_;
  std::size_t memory_;                // values
  std::vector<std::size_t> seasons_;  // that the series is long enough for
  std::size_t begun_;                 // place of the first value
  std::size_t first_;                 // place of recent_[0]
  std::vector<double> recent_;
  std::vector<std::uint8_t> real_;  // which of them were seen
  std::vector<double> known_;       // their rows
  std::size_t gap_ = 0;             // steps since the last value that was seen

  Models models_;
  std::vector<Trial> trials_;
  Weights weights_;
  Spread spread_;
  std::size_t build_at_ = 1;
};

}  // namespace umbra::forecast
