#include "controller/brain/stability.hpp"

#include <algorithm>
#include <array>

namespace umbra::controller {

v1::Tier tier_of(Level level) {
  switch (level) {
    case Level::kProfile:
      return v1::TIER_PROFILE;
    case Level::kStaged:
      return v1::TIER_STAGED;
    case Level::kWarm:
      return v1::TIER_WARM;
    case Level::kHot:
    case Level::kCutover:
      return v1::TIER_HOT;
  }
  return v1::TIER_PROFILE;
}

Level level_of(v1::Tier tier) {
  switch (tier) {
    case v1::TIER_STAGED:
      return Level::kStaged;
    case v1::TIER_WARM:
      return Level::kWarm;
    case v1::TIER_HOT:
      return Level::kHot;
    default:
      return Level::kProfile;
  }
}

Level level_for(double probability, Level current, const BrainSettings& settings) {
  const std::array thresholds{0.0, settings.staged, settings.warm, settings.hot, settings.cutover};
  auto level = Level::kProfile;
  for (std::size_t i = 1; i < thresholds.size(); ++i) {
    const auto candidate = static_cast<Level>(i);
    const double needed = thresholds[i] - (candidate <= current ? settings.hysteresis : 0);
    if (probability >= needed) level = candidate;
  }
  return level;
}

Level Confirmation::look(Level wanted) {
  looks_.pop_front();
  looks_.push_back(wanted);
  auto sorted = looks_;
  std::ranges::sort(sorted, std::ranges::greater{});
  confirmed_ = std::clamp(confirmed_, sorted[k_ - 1], sorted.front());
  return confirmed_;
}

}  // namespace umbra::controller
