/// A model for series that are too young for any other to know their season.
#pragma once

#include <string>

#include "forecast/models/model.hpp"
#include "forecast/peers.hpp"

namespace umbra::forecast {

/// y(t) = level × profile(phase of t): what others do through the season, at this one's level, which is that of its
/// last season's values as far as they are known.
class PeerProfile final : public Model {
 public:
  /// @param profile of kProfileBlocks blocks
  PeerProfile(Profile profile, std::size_t season) : profile_(std::move(profile)), season_(season) {}
  std::string_view name() const override { return kName; }
  std::size_t warmup() const override { return 1; }
  bool knows_what_was_never_seen() const override { return true; }
  void observe(const History&, std::span<const double>) override {}
  void forecast(const History& history, const Known& known, std::span<double> out) override;

  static constexpr std::string_view kName = "peers";

 private:
  double relative(std::size_t place) const;

  Profile profile_;
  std::size_t season_;
};

}  // namespace umbra::forecast
