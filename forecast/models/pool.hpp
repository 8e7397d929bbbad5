/// The models that are asked about a series.
#pragma once

#include <cstddef>
#include <vector>

#include "forecast/models/model.hpp"
#include "forecast/models/scale.hpp"
#include "forecast/peers.hpp"

namespace umbra::forecast {

struct PoolShape {
  std::vector<std::size_t> seasons;  ///< in steps, ascending; the first is the main one; none is fine
  std::size_t known = 0;             ///< columns known beforehand
  /// Of the history when the first of the trials (combination.hpp) is made: a model that could not have been asked then
  /// has no record to be weighed by, and is left out.
  std::size_t at_first_trial = 0;
  std::size_t at_forecast = 0;   ///< length of the history when the forecast is made
  Profile peers = {};            ///< what others do through a season of …
  std::size_t peers_season = 0;  ///< … so many steps; none once the series has seven of its own
};

/// Models that have seen nothing yet, in both scales where there are two.
Models make_pool(const PoolShape& shape, const Scales& scales);

}  // namespace umbra::forecast
