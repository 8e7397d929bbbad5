/// Models that repeat the past as it was: hard to beat for a series that jumps about.
#pragma once

#include <string>

#include "forecast/models/model.hpp"

namespace umbra::forecast {

/// What was a season ago; with a season of 1, the last value.
class SeasonalNaive final : public Model {
 public:
  SeasonalNaive(std::string name, std::size_t season) : name_(std::move(name)), season_(season) {}
  std::string_view name() const override { return name_; }
  std::size_t warmup() const override { return season_; }
  void observe(const History&, std::span<const double>) override {}
  void forecast(const History& history, const Known& known, std::span<double> out) override;

 private:
  std::string name_;
  std::size_t season_;
};

/// The median of what was about the same phase of the last few seasons.
class SeasonalMedian final : public Model {
 public:
  /// @param around steps before and after the phase that count as well
  SeasonalMedian(std::string name, std::size_t season, std::size_t seasons, std::size_t around)
      : name_(std::move(name)), season_(season), seasons_(seasons), around_(around) {}
  std::string_view name() const override { return name_; }
  std::size_t warmup() const override { return season_ + around_; }
  void observe(const History&, std::span<const double>) override {}
  void forecast(const History& history, const Known& known, std::span<double> out) override;

 private:
  std::string name_;
  std::size_t season_, seasons_, around_;
};

/// The median of the last few steps, for ever.
class RecentMedian final : public Model {
 public:
  RecentMedian(std::string name, std::size_t steps) : name_(std::move(name)), steps_(steps) {}
  std::string_view name() const override { return name_; }
  std::size_t warmup() const override { return 1; }
  void observe(const History&, std::span<const double>) override {}
  void forecast(const History& history, const Known& known, std::span<double> out) override;

 private:
  std::string name_;
  std::size_t steps_;
};

}  // namespace umbra::forecast
