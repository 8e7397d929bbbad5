// The stored form of a SeriesForecaster.
#include <gmock/gmock.h>

#include <array>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <limits>
#include <numbers>
#include <random>
#include <sstream>

#include "forecast/fuzz/targets.hpp"
#include "forecast/series_forecaster.hpp"
#include "forecast/stored.hpp"

namespace umbra::forecast {
namespace {

using testing::HasSubstr;
using Shape = SeriesForecaster::Shape;

constexpr auto kMissing = std::numeric_limits<double>::quiet_NaN();
constexpr std::array kAskedOf{0.05, 0.5, 0.95};
constexpr std::size_t kEnvelope = 10;  // kind, version, checksum

/// Days and weeks with noise, launches known beforehand, and gaps.
class Stream {
 public:
  explicit Stream(const Shape& shape) : columns_(shape.known) {}

  void feed(SeriesForecaster& series) const { series.observe(value(series.size()), row(series.size())); }
  std::vector<double> rows(std::size_t from, std::size_t count) const {
    std::vector<double> out;
    for (auto step = from; step < from + count; ++step)
      for (std::size_t column = 0; column < columns_; ++column) out.push_back(column == 0 && step % 17 == 3 ? 1 : 0);
    return out;
  }

 private:
  std::vector<double> row(std::size_t step) const { return rows(step, 1); }
  double value(std::size_t step) const {
    std::mt19937_64 random(step);
    if (step > 0 && (step % 50 == 7 || (step > 200 && step < 215))) return kMissing;
    const auto hour = static_cast<double>(step);
    return 50 + 20 * std::sin(2 * std::numbers::pi * hour / 24) + (step / 24 % 7 >= 5 ? 9 : 0) +
           static_cast<double>(random() % 1000) / 200 + (step % 17 == 3 ? 15 : 0);
  }
  std::size_t columns_;
};

SeriesForecaster fed(const Shape& shape, std::size_t steps) {
  SeriesForecaster series(shape);
  const Stream stream(shape);
  for (std::size_t i = 0; i < steps; ++i) stream.feed(series);
  return series;
}

SeriesForecaster reloaded(const SeriesForecaster& series) {
  auto loaded = SeriesForecaster::load(series.save());
  EXPECT_TRUE(loaded) << loaded.error().text();
  return std::move(*loaded);
}

void expect_same_outlook(SeriesForecaster& one, SeriesForecaster& other) {
  const auto steps = one.shape().horizon + 3;
  const auto rows = Stream(one.shape()).rows(one.size(), steps);
  const Known known{rows, one.shape().known};
  const auto said = one.look(steps, kAskedOf, SeriesForecaster::Paths::kYes, known);
  const auto too = other.look(steps, kAskedOf, SeriesForecaster::Paths::kYes, known);
  EXPECT_EQ(said.point, too.point);
  EXPECT_EQ(said.quantiles, too.quantiles);
  ASSERT_EQ(said.paths.size(), too.paths.size());
  for (std::size_t i = 0; i < said.paths.size(); ++i) {
    EXPECT_EQ(said.paths[i].weight, too.paths[i].weight);
    EXPECT_EQ(said.paths[i].values, too.paths[i].values);
  }
  EXPECT_EQ(one.leaders(20), other.leaders(20));
  EXPECT_EQ(one.moved_from_prior(), other.moved_from_prior());
}

TEST(AStoredForecaster, GoesOnAsTheOneThatWasStored) {
  const std::vector<Shape> shapes{
      {{}, 4, 0}, {{24}, 24, 0}, {{24, 168}, 48, 0}, {{24, 168}, 30, 2}, {{6, 24, 168}, 5, 1}};
  for (const auto& shape : shapes) {
    const Stream stream(shape);
    // The pool is built anew after 54 and 378 steps, when a day and a week are used, and as the series grows by half.
    for (const std::size_t length : {1U, 2U, 30U, 53U, 54U, 55U, 80U, 81U, 377U, 378U, 379U, 1100U}) {
      SCOPED_TRACE(testing::Message() << shape.seasons.size() << " seasons, " << shape.horizon << " ahead, " << length);
      auto series = fed(shape, length);
      auto loaded = reloaded(series);
      EXPECT_EQ(loaded.shape(), shape);
      EXPECT_EQ(loaded.size(), series.size());
      EXPECT_EQ(loaded.save(), series.save());
      expect_same_outlook(series, loaded);
      for (int i = 0; i < 60; ++i) {
        stream.feed(series);
        stream.feed(loaded);
      }
      expect_same_outlook(series, loaded);
      series.refit();
      loaded.refit();
      expect_same_outlook(series, loaded);
      EXPECT_EQ(loaded.save(), series.save());
    }
  }
}

TEST(AStoredForecaster, MayHaveSeenNothingYet) {
  const Shape shape{{24}, 12, 3};
  const auto loaded = reloaded(SeriesForecaster(shape));
  EXPECT_TRUE(loaded.empty());
  EXPECT_EQ(loaded.shape(), shape);
}

TEST(AStoredForecaster, OfADayAndAWeekTakes16KiBAtMost) {
  const Shape shape{{24, 168}, 48, 0};
  auto series = fed(shape, 54);
  const Stream stream(shape);
  std::size_t most = 0;
  for (int i = 0; i < 3000; ++i) {
    stream.feed(series);
    if (i % 10 == 0) most = std::max(most, series.save().size());
  }
  EXPECT_LE(most, 16U * 1024);
}

TEST(AStoredForecaster, IsRefusedCutShortAtAnyPlace) {
  const auto state = fed({{24}, 24, 1}, 120).save();
  for (std::size_t length = 0; length < state.size(); ++length) {
    const auto loaded = SeriesForecaster::load(std::string_view(state).substr(0, length));
    ASSERT_FALSE(loaded) << length;
    EXPECT_EQ(loaded.error().code, Errc::kInvalid);
  }
  EXPECT_FALSE(SeriesForecaster::load(state + 'x'));
}

TEST(AStoredForecaster, IsRefusedWithAnyByteChanged) {
  const auto state = fed({{24}, 24, 1}, 120).save();
  for (std::size_t at = 0; at < state.size(); ++at) {
    auto damaged = state;
    damaged[at] = static_cast<char>(damaged[at] ^ 0x40);
    ASSERT_FALSE(SeriesForecaster::load(damaged)) << at;
  }
}

TEST(AStoredForecaster, OfAnotherVersionSaysWhich) {
  const auto later = sealed(SeriesForecaster::kStoredKind, SeriesForecaster::kStoredVersion + 1, "whatever");
  const auto loaded = SeriesForecaster::load(later);
  ASSERT_FALSE(loaded);
  EXPECT_THAT(loaded.error().text(), HasSubstr("of version 3, and this program reads version 2"));
  EXPECT_FALSE(SeriesForecaster::load(sealed("else", 1, "")));
}

/// Whoever can write the store can also put a right checksum on nonsense.
TEST(AStoredForecaster, ThatLiesIsRefusedOrHarmless) {
  const std::vector<Shape> shapes{{{}, 2, 0}, {{6}, 4, 1}, {{4, 12}, 40, 0}};
  std::mt19937_64 random(5);
  for (const auto& shape : shapes) {
    const auto body = fed(shape, 90).save().substr(kEnvelope);
    fuzz_state(body);
    for (std::size_t length = 0; length < body.size(); length += 11)
      fuzz_state(std::string_view(body).substr(0, length));
    for (std::size_t at = 0; at < body.size(); at += 1 + random() % 40) {
      auto lie = body;
      lie[at] = static_cast<char>(random());
      if (at % 3 == 0)
        std::fill_n(lie.begin() + static_cast<std::ptrdiff_t>(at), std::min<std::size_t>(8, body.size() - at), '\xff');
      fuzz_state(lie);
    }
  }
}

/// They were stored when version 2 was: a change that they do not survive, of the pool for instance, is a new version.
TEST(Corpus, OfStatesKeepsThePromisesAndItsVersion) {
  std::size_t files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(std::filesystem::path(UMBRA_CORPUS) / "state")) {
    std::ifstream file(entry.path(), std::ios::binary);
    std::ostringstream content;
    content << file.rdbuf();
    const auto body = content.str();
    fuzz_state(body);
    EXPECT_TRUE(SeriesForecaster::load(sealed(SeriesForecaster::kStoredKind, 2, body))) << entry.path();
    ++files;
  }
  EXPECT_GE(files, 2U);
}

}  // namespace
}  // namespace umbra::forecast
