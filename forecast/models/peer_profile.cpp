#include "forecast/models/peer_profile.hpp"

#include <algorithm>

namespace umbra::forecast {

double PeerProfile::relative(std::size_t place) const {
  return static_cast<double>(profile_[place % season_ * kProfileBlocks / season_]);
}

void PeerProfile::forecast(const History& history, const Known& /*known*/, std::span<double> out) {
  const auto seen = history.last(season_);
  double values = 0, expected = 0;
  for (std::size_t back = 1; back <= seen.size(); ++back) {
    values += seen[seen.size() - back];
    expected += relative(history.size() - back);
  }
  // Where others do nothing at all, nothing is learned of the level.
  const auto level = expected > 0 ? values / expected : history.back();
  for (std::size_t ahead = 0; ahead < out.size(); ++ahead) out[ahead] = level * relative(history.size() + ahead);
}

}  // namespace umbra::forecast
