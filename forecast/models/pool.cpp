#include "forecast/models/pool.hpp"

#include <algorithm>
#include <set>

#include "forecast/models/peer_profile.hpp"
#include "forecast/models/regression.hpp"
#include "forecast/models/repetition.hpp"
#include "forecast/models/smoothing.hpp"

namespace umbra::forecast {
namespace {

using Lags = std::set<std::size_t>;

// A lag needs rows enough to be learned, both now and at the first trial.
constexpr double kRowsNow = 1.6;
constexpr double kRowsAtFirstTrial = 1.3;
constexpr std::size_t kSeasonsBack = 7;
constexpr std::size_t kMostBlocks = 24;
constexpr double kForgetting = 0.001;        // per step, where …
constexpr double kForgettingSeason = 24;     // … the main season is no longer than this; less where it is
constexpr std::size_t kUsualSeason = 24;     // for the lengths of windows, where there is no season
constexpr std::size_t kPeersUntil = 7;       // seasons
constexpr std::size_t kAroundOfSeason = 48;  // 1/48 of the main season before and after the same phase

class Builder {
 public:
  explicit Builder(const PoolShape& shape) : shape_(shape) {}

  Models build(const Scales& scales) && {
    in_scale(scales.level, "");
    if (scales.log) in_scale(*scales.log, std::string(kLogSuffix));
    repetitions();
    if (!shape_.peers.empty() && shape_.at_forecast < kPeersUntil * shape_.peers_season)
      add<PeerProfile>(shape_.peers, shape_.peers_season);
    return std::move(models_);
  }

 private:
  std::size_t main() const { return shape_.seasons.empty() ? 0 : shape_.seasons.front(); }
  std::span<const std::size_t> longer() const {
    return shape_.seasons.empty() ? std::span<const std::size_t>() : std::span(shape_.seasons).subspan(1);
  }
  std::size_t span_of_day() const { return main() > 0 ? main() : kUsualSeason; }

  template <class M, class... Arguments>
  void add(Arguments&&... arguments) {
    models_.push_back(std::make_unique<M>(std::forward<Arguments>(arguments)...));
  }

  bool learnable(std::size_t lag) const {
    return lag > 0 && kRowsNow * static_cast<double>(lag) < static_cast<double>(shape_.at_forecast) &&
           kRowsAtFirstTrial * static_cast<double>(lag) < static_cast<double>(shape_.at_first_trial);
  }
  void keep_learnable(Lags& lags) const {
    std::erase_if(lags, [this](std::size_t lag) { return !learnable(lag); });
  }

  static void around(Lags& lags, std::size_t middle, std::size_t by) {
    for (auto lag = middle > by ? middle - by : 1; lag <= middle + by; ++lag) lags.insert(lag);
  }
  /// Whole main seasons back, up to the next longer season, which has lags of its own.
  void whole_seasons(Lags& lags, std::size_t from) const {
    const auto end = longer().empty() ? kSeasonsBack : std::min(kSeasonsBack, longer().front() / main());
    for (auto ago = from; ago < end; ++ago) lags.insert(ago * main());
  }

  void regression(std::string name, const Scale& scale, Lags lags, std::size_t blocks, bool changes,
                  std::vector<std::size_t> windows = {}) {
    keep_learnable(lags);
    std::erase_if(windows, [this](std::size_t window) { return window < 2 || !learnable(window); });
    Regression::Shape shape;
    shape.changes = changes;
    shape.lags.assign(lags.begin(), lags.end());
    shape.windows = std::move(windows);
    shape.season = main();
    shape.blocks = blocks;
    shape.known = shape_.known;
    shape.discount = 1 - kForgetting * std::min(1.0, kForgettingSeason / static_cast<double>(span_of_day()));
    add<Regression>(std::move(name), std::move(shape), scale);
  }

  void in_scale(const Scale& scale, const std::string& suffix) {
    Lags full{1, 2, 3}, changes{1, 2, 3}, sparse{1, 2};
    if (main() > 0) {
      around(full, main(), 1);
      whole_seasons(full, 2);
      around(changes, main(), 2);
      around(changes, 2 * main(), 1);
      whole_seasons(changes, 3);
      sparse.insert({main(), main() + 1});
    }
    for (const auto season : longer()) {
      around(full, season, 1);
      around(changes, season, 2);
      sparse.insert({season, season + 1});
    }
    const auto day = span_of_day();
    regression("regression" + suffix, scale, full, std::min(kMostBlocks, main()), false);
    regression("changes" + suffix, scale, changes, 0, true);
    regression("sparse" + suffix, scale, sparse, 0, false);
    regression("recent" + suffix, scale, {1, 2, 3, 4, 5, 6}, 0, false, {day / 8, day / 2, day});
    if (main() < 2) return;
    const auto week = longer().empty() || shape_.at_first_trial < 2 * longer().front() ? 0 : longer().front();
    add<DoubleSeasonal>("smoothing" + suffix, scale, main(), week);
  }

  void repetitions() {
    const auto day = span_of_day();
    const auto close = main() / kAroundOfSeason;
    if (main() > 0) {
      add<SeasonalNaive>("season", main());
      add<SeasonalMedian>("season-median", main(), kSeasonsBack, close);
    }
    for (const auto season : longer()) {
      const auto number = std::to_string(season);
      if (shape_.at_first_trial >= season) add<SeasonalNaive>("season-" + number, season);
      if (shape_.at_first_trial >= 2 * season) add<SeasonalMedian>("season-median-" + number, season, 4U, close);
    }
    add<RecentMedian>("median-quarter", std::max<std::size_t>(1, day / 4));
    add<RecentMedian>("median-day", day);
    add<RecentMedian>("median-week", 7 * day);
    add<SeasonalNaive>("last", 1U);
  }

  const PoolShape& shape_;
  Models models_;
};

}  // namespace

Models make_pool(const PoolShape& shape, const Scales& scales) {
  return Builder(shape).build(scales);
}

}  // namespace umbra::forecast
