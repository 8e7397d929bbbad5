/// Exponential smoothing with two seasons and an autoregressive error.
#pragma once

#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include "forecast/models/model.hpp"
#include "forecast/models/scale.hpp"

namespace umbra::forecast {

/// y(t) = level + day(t) + week(t) + carry e(t-1) + surprise; level, day and week each move by their share of the
/// surprise, and e is what they are off by afterwards (Taylor 2003 and 2010: double seasonal exponential smoothing
/// adjusted for first-order autocorrelation, without trend).
///
/// The shares are searched for by coordinate descent on Huber's loss of the one-step surprises, and again whenever the
/// history has grown by three tenths, over what is still known of it.
class DoubleSeasonal final : public Model {
 public:
  /// @param day the main season in steps, at least 2
  /// @param week a multiple of it, or 0 for none
  DoubleSeasonal(std::string name, Scale scale, std::size_t day, std::size_t week)
      : name_(std::move(name)), scale_(scale), day_(day), week_(week) {}

  std::string_view name() const override { return name_; }
  std::size_t warmup() const override { return std::max(day_, week_) + 1; }
  void observe(const History& history, std::span<const double> known) override;
  void forecast(const History& history, const Known& known, std::span<double> out) override;
  void save(StateWriter& out) const override;
  void load(StateReader& in) override;

 private:
  /// Of the surprise, for level, day and week; and of the error, for the next step.
  struct Shares {
    double level = 0.1, day = 0.2, week = 0.2, carry = 0.5;
  };
  struct State {
    double level = 0, error = 0;
    std::vector<float> day, week;
  };

  /// From the first season of `scaled`, whose first value stands at `first`.
  State begin(std::span<const double> scaled, std::size_t first) const;
  /// Where a step stands in day and week: kept along, since two divisions a step are what a search would mostly do.
  struct Phase {
    std::size_t day = 0, week = 0;
  };
  Phase phase_of(std::size_t place) const;
  void next(Phase& phase) const;
  double expected(const State& state, const Shares& shares, Phase phase) const;
  /// @return the surprise
  double advance(State& state, const Shares& shares, Phase phase, double value) const;
  double loss(State state, const Shares& shares, std::span<const double> scaled, std::size_t first) const;
  void search(const History& history);

  std::string name_;
  Scale scale_;
  std::size_t day_, week_;
  Shares shares_;
  State state_;
  std::size_t seen_ = 0;         // values
  std::size_t searched_at_ = 0;  // how many they were then; 0 for never
};

}  // namespace umbra::forecast
