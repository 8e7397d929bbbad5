#include "forecast/peers.hpp"

#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>

#include "forecast/series_forecaster.hpp"

namespace umbra::forecast {
namespace {

using testing::Each;
using testing::FloatNear;
using testing::IsEmpty;

double office_hours(std::size_t hour) {
  return hour % 24 >= 8 && hour % 24 < 18 ? 4 : 0.5;
}

std::vector<double> office_days(std::size_t days, double level) {
  std::vector<double> values;
  for (std::size_t hour = 0; hour < 24 * days; ++hour) values.push_back(level * office_hours(hour));
  return values;
}

Profile profile_of_days(std::size_t days, double level) {
  const auto values = office_days(days, level);
  return profile_of(History(values), 24);
}

Profile flat(float value) {
  return Profile(kProfileBlocks, value);
}

TEST(AProfile, IsRelativeToTheMean) {
  const auto values = office_days(5, 3);
  const auto profile = profile_of(History(values), 24);
  // Ten hours at 4 and fourteen at a half: a mean of 47 / 24.
  ASSERT_EQ(profile.size(), kProfileBlocks);
  EXPECT_FLOAT_EQ(profile[9], static_cast<float>(4 / (47 / 24.0)));
  EXPECT_FLOAT_EQ(profile[3], static_cast<float>(0.5 / (47 / 24.0)));
}

TEST(AProfile, KnowsItsPhaseFromPlacesAndNotFromWhereTheSeriesBegins) {
  const auto values = office_days(6, 1);
  EXPECT_EQ(profile_of(History(values), 24), profile_of(History(31, std::span(values).subspan(31)), 24));
}

TEST(AProfile, IsNoneOfWhatIsShortOrNegativeOrNothing) {
  EXPECT_THAT(profile_of_days(1, 1), IsEmpty());
  const std::vector<double> zeros(100, 0.0), negative(100, -1.0), ones(100, 1.0);
  EXPECT_THAT(profile_of(History(zeros), 24), IsEmpty());
  EXPECT_THAT(profile_of(History(negative), 24), IsEmpty());
  EXPECT_THAT(profile_of(History(ones), 12), IsEmpty()) << "fewer steps than blocks";
}

TEST(PooledProfiles, AreDrawnToTheNarrowerGroupTheMoreItHas) {
  std::vector<Peer> peers{{{"small", "acme"}, flat(2)}, {{"small", "other"}, flat(1)}, {{"large", "acme"}, flat(0)}};
  const std::vector<std::string> nobody{"huge", "acme"}, small{"small"}, small_acme{"small", "acme"};
  // By hand: all 1; small (2 × 1.5 + 4 × 1) / 6 = 7/6; then acme's one of them (2 + 4 × 7/6) / 5 = 4/3.
  EXPECT_THAT(pooled_profile(peers, nobody), Each(FloatNear(1, 1e-6F)));
  EXPECT_THAT(pooled_profile(peers, small), Each(FloatNear(7 / 6.0F, 1e-6F)));
  EXPECT_THAT(pooled_profile(peers, small_acme), Each(FloatNear(4 / 3.0F, 1e-6F)));
  for (int i = 0; i < 100; ++i) peers.push_back({{"small", "acme"}, flat(3)});
  EXPECT_GT(pooled_profile(peers, small_acme)[0], 2.8F);
  EXPECT_THAT(pooled_profile({}, small), IsEmpty());
}

TEST(PooledProfiles, PassOverAGroupWithoutAName) {
  const std::vector<Peer> peers{{{"small", "web", "acme"}, flat(2)}, {{"small", "", "acme"}, flat(1)}};
  const std::vector<std::string> unnamed{"small", "", "acme"}, web{"small", "web", ""};
  // Two are small, and both acme's: 1.5 all along. One of them is a web server: (2 + 4 × 1.5) / 5.
  EXPECT_THAT(pooled_profile(peers, unnamed), Each(FloatNear(1.5F, 1e-6F)));
  EXPECT_THAT(pooled_profile(peers, web), Each(FloatNear(1.6F, 1e-6F)));
}

/// Mean absolute error of the next day, once `hours` of the first have been seen.
double error_after(std::size_t hours, const Profile& peers) {
  const auto values = office_days(3, 2);
  SeriesForecaster::Shape shape{{24, 168}, 24};
  shape.peers = peers;
  SeriesForecaster series(shape);
  for (std::size_t hour = 0; hour < hours; ++hour) series.observe(values[hour]);
  const auto said = series.look(24, {}).point;
  double error = 0;
  for (std::size_t ahead = 0; ahead < 24; ++ahead) error += std::abs(said[ahead] - values[hours + ahead]) / 24;
  return error;
}

TEST(ANewcomer, ForecastsADayThatItHasNeverSeenFromWhatItsPeersDo) {
  const auto values = office_days(7, 5);
  const auto peers = profile_of(History(values), 24);
  for (const std::size_t hours : {3U, 7U, 20U})
    EXPECT_LT(error_after(hours, peers), 0.6 * error_after(hours, {})) << hours;
}

TEST(ANewcomer, SoonTrustsItselfMoreThanPeersThatAreUnlikeIt) {
  auto wrong = profile_of_days(7, 5);
  std::rotate(wrong.begin(), wrong.begin() + 12, wrong.end());
  const auto own = office_days(30, 2);
  const auto error = [&](const Profile& peers, std::size_t days) {
    SeriesForecaster::Shape shape{{24}, 24};
    shape.peers = peers;
    SeriesForecaster series(shape);
    for (std::size_t hour = 0; hour < 24 * days; ++hour) series.observe(own[hour]);
    double sum = 0;
    const auto said = series.look(24, {}).point;
    for (std::size_t ahead = 0; ahead < 24; ++ahead) sum += std::abs(said[ahead] - own[ahead]) / 24;
    return sum;
  };
  EXPECT_LT(error(wrong, 4), 0.25 * 2 * 47 / 24) << "a quarter of the mean";
  EXPECT_EQ(error(wrong, 10), error({}, 10)) << "after seven seasons peers are not asked";
}

TEST(ANewcomer, StoresWhatItHasFromItsPeers) {
  SeriesForecaster::Shape shape{{24, 168}, 24};
  shape.peers = profile_of_days(7, 5);
  SeriesForecaster series(shape);
  for (std::size_t hour = 0; hour < 10; ++hour) series.observe(office_hours(hour));
  auto loaded = SeriesForecaster::load(series.save());
  ASSERT_TRUE(loaded) << loaded.error().text();
  EXPECT_EQ(loaded->look(24, {}).point, series.look(24, {}).point);
}

}  // namespace
}  // namespace umbra::forecast
