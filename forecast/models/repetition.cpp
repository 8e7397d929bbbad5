#include "forecast/models/repetition.hpp"

#include <algorithm>

#include "forecast/statistics.hpp"

namespace umbra::forecast {

void SeasonalNaive::forecast(const History& history, const Known& /*known*/, std::span<double> out) {
  const auto season = history.last(season_);
  for (std::size_t ahead = 0; ahead < out.size(); ++ahead) out[ahead] = season[ahead % season.size()];
}

void SeasonalMedian::forecast(const History& history, const Known& /*known*/, std::span<double> out) {
  const auto now = history.size();
  std::vector<double> alike;
  for (std::size_t ahead = 0; ahead < std::min(out.size(), season_); ++ahead) {
    alike.clear();
    for (std::size_t ago = 1; ago <= seasons_ && ago * season_ <= now + ahead; ++ago) {
      const auto middle = now + ahead - ago * season_;
      const auto from = std::max(history.first(), middle > around_ ? middle - around_ : 0);
      for (auto place = from; place <= middle + around_ && place < now; ++place) alike.push_back(history[place]);
    }
    out[ahead] = alike.empty() ? history.back() : median(alike);
  }
  for (auto ahead = season_; ahead < out.size(); ++ahead) out[ahead] = out[ahead - season_];
}

void RecentMedian::forecast(const History& history, const Known& /*known*/, std::span<double> out) {
  const auto recent = history.last(steps_);
  std::fill(out.begin(), out.end(), median({recent.begin(), recent.end()}));
}

}  // namespace umbra::forecast
