// Pictures of forecasts: what stands in them, whatever they are given.
#include "cli/output/fan_chart.hpp"

#include <gmock/gmock.h>

#include <cmath>
#include <limits>
#include <pugixml.hpp>
#include <regex>

#include "cli/output/polyline.hpp"
#include "cli/output/svg.hpp"
#include "cli/output/ticks.hpp"

namespace umbra::cli {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

constexpr auto kNan = std::numeric_limits<double>::quiet_NaN();
constexpr auto kInfinity = std::numeric_limits<double>::infinity();
constexpr UnixMillis kHour = 3'600'000, kDay = 24 * kHour;
constexpr UnixMillis kMayDay = 1'777'593'600'000;  // Friday, 2026-05-01T00:00:00Z

std::vector<std::string> labels_of(const std::vector<Tick>& ticks) {
  std::vector<std::string> labels;
  for (const auto& tick : ticks) labels.push_back(tick.label);
  return labels;
}

std::vector<std::string> contexts_of(const std::vector<Tick>& ticks) {
  std::vector<std::string> contexts;
  for (const auto& tick : ticks) contexts.push_back(tick.context);
  return contexts;
}

/// Four days of hours and a fan of one more day.
FanPanel usual_panel() {
  FanPanel panel;
  panel.title = "web1";
  const auto wave = [](int hour) { return 50 + 20 * std::sin(hour * 0.26); };
  for (int hour = 0; hour < 96; ++hour) panel.history.push_back({kMayDay + hour * kHour, wave(hour)});
  Fan fan;
  fan.label = "now";
  fan.from = panel.history.back();
  fan.bands = {{0.5, {}, {}}, {0.95, {}, {}}, {0.8, {}, {}}};
  for (int hour = 96; hour < 120; ++hour) {
    fan.steps.push_back({kMayDay + hour * kHour, wave(hour)});
    for (auto& band : fan.bands) {
      band.lower.push_back(wave(hour) - 20 * band.share);
      band.upper.push_back(wave(hour) + 20 * band.share);
    }
  }
  panel.fans = {fan};
  return panel;
}

FanFigure figure_of(FanPanel panel) {
  FanFigure figure;
  figure.title = panel.title;
  figure.panels = {std::move(panel)};
  return figure;
}

pugi::xml_document parsed(const std::string& svg) {
  pugi::xml_document document;
  const auto result = document.load_buffer(svg.data(), svg.size(), pugi::parse_full | pugi::parse_ws_pcdata);
  EXPECT_TRUE(result) << result.description();
  return document;
}

std::vector<std::string> data_of(const std::string& svg, const std::string& kind) {
  const auto document = parsed(svg);
  std::vector<std::string> all;
  for (const auto& path : document.select_nodes(("//path[@class='" + kind + "']").c_str()))
    all.emplace_back(path.node().attribute("d").value());
  return all;
}

struct Place {
  double x, y;
};
std::vector<Place> places_of(const std::string& data) {
  static const std::regex kPlace("([ML])(-?[0-9.]+) (-?[0-9.]+)");
  std::vector<Place> places;
  for (std::sregex_iterator it(data.begin(), data.end(), kPlace), end; it != end; ++it)
    places.push_back({std::stod((*it)[2]), std::stod((*it)[3])});
  return places;
}

double highest(const std::vector<Place>& places) {
  return std::min_element(places.begin(), places.end(), [](auto a, auto b) { return a.y < b.y; })->y;
}

TEST(ValueTicks, AreAFewRoundNumbers) {
  EXPECT_THAT(labels_of(value_ticks(0, 97, 5)), ElementsAre("0", "20", "40", "60", "80"));
  EXPECT_THAT(labels_of(value_ticks(-3, 3.2, 4)), ElementsAre("−2", "0", "2"));
  EXPECT_THAT(labels_of(value_ticks(0.9, 2.1, 3)), ElementsAre("1.0", "1.5", "2.0"));
  EXPECT_THAT(labels_of(value_ticks(0, 32'000, 4)), ElementsAre("0", "10,000", "20,000", "30,000"));
  EXPECT_THAT(labels_of(value_ticks(0, 1.2e6, 4)), ElementsAre("0", "0.5 M", "1.0 M"));
  EXPECT_THAT(labels_of(value_ticks(0, 0.0004, 2)), ElementsAre("0", "200 µ", "400 µ"));
  EXPECT_THAT(labels_of(value_ticks(1e9, 1e9 + 2, 2)), ElementsAre("1,000,000,000", "1,000,000,001", "1,000,000,002"))
      << "neighbours must not read alike";
  EXPECT_THAT(value_ticks(1, 1, 4), IsEmpty());
}

TEST(ValueTicks, OfOneValueLeaveOutWhatNobodyReads) {
  EXPECT_EQ(value_text(60), "60");
  EXPECT_EQ(value_text(0.25), "0.25");
  EXPECT_EQ(value_text(1234), "1,234");
  EXPECT_EQ(value_text(-1'234'567), "−1.235 M");
}

TEST(StepTicks, AreWholeNumbers) {
  EXPECT_THAT(labels_of(step_ticks(0, 3, 10)), ElementsAre("0", "1", "2", "3"));
  EXPECT_THAT(labels_of(step_ticks(990, 1150, 4)), ElementsAre("1,000", "1,050", "1,100", "1,150"));
}

TEST(TimeTicks, FollowTheClockAndNameTheDayWhereItChanges) {
  const auto ticks = time_ticks(kMayDay - 10 * kHour, kMayDay + 2 * kHour, 5);
  EXPECT_THAT(labels_of(ticks), ElementsAre("15:00", "18:00", "21:00", "00:00"));
  EXPECT_THAT(contexts_of(ticks), ElementsAre("Thu 30 Apr 2026", "", "", "Fri 1 May 2026"));
  EXPECT_THAT(labels_of(time_ticks(kMayDay + 1'400, kMayDay + 3'100, 4)),
              ElementsAre("00:00:01.500", "00:00:02.000", "00:00:02.500", "00:00:03.000"));
}

TEST(TimeTicks, FollowTheCalendar) {
  const auto days = time_ticks(kMayDay - 2 * kDay, kMayDay + kDay, 4);
  EXPECT_THAT(labels_of(days), ElementsAre("Wed 29", "Thu 30", "Fri 1", "Sat 2"));
  EXPECT_THAT(contexts_of(days), ElementsAre("April 2026", "", "May 2026", ""));
  EXPECT_THAT(labels_of(time_ticks(kMayDay, kMayDay + 30 * kDay, 5)),
              ElementsAre("4 May", "11 May", "18 May", "25 May"))
      << "Mondays";
  const auto months = time_ticks(kMayDay - 170 * kDay, kMayDay - 80 * kDay, 3);
  EXPECT_THAT(labels_of(months), ElementsAre("Dec", "Jan", "Feb"));
  EXPECT_THAT(contexts_of(months), ElementsAre("2025", "2026", ""));
  EXPECT_THAT(labels_of(time_ticks(kMayDay, kMayDay + 11 * 365 * kDay, 3)), ElementsAre("2030", "2035"));
}

TEST(Svg, TakesNoTextThatXmlForbids) {
  EXPECT_EQ(legible("a\tb\x01\x7F"), "a b\uFFFD\uFFFD");
  EXPECT_EQ(legible("\xC3\xA9\xFF\xC0\x80\xED\xA0\x80"), "é\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD")
      << "broken, overlong and surrogate";
  EXPECT_EQ(legible("\u202Exe\uFFFE"), "\uFFFDxe\uFFFD") << "nothing may be read backwards";
  EXPECT_EQ(xml_text("<a b='c' d=\"e\">&"), "&lt;a b=&#39;c&#39; d=&quot;e&quot;&gt;&amp;");
  EXPECT_LE(text_width(shortened(std::string(500, 'x'), 100, 10), 10), 100);
}

TEST(FanChart, IsWellFormedWhateverNamesItIsGiven) {
  const std::string hostile = "</text><script>alert('1')</script>&\"\x01\xFF\x1B[31m\n]]>";
  auto panel = usual_panel();
  panel.title = hostile;
  panel.events = {{kMayDay + kDay, kMayDay + 2 * kDay, hostile}};
  panel.fans[0].label = hostile;
  auto figure = figure_of(panel);
  figure.title = figure.subtitle = figure.unit = hostile;
  figure.panels.push_back(panel);
  const auto svg = fan_chart(figure);
  const auto document = parsed(svg);
  EXPECT_THAT(document.select_nodes("//script"), IsEmpty());
  EXPECT_EQ(document.select_nodes("//rect[@class='event']/title").size(), 2U);
  for (const auto c : svg) EXPECT_TRUE(c == '\n' || static_cast<unsigned char>(c) >= 0x20);
  EXPECT_EQ(svg.find('\xFF'), std::string::npos);
}

TEST(FanChart, DrawsNothingFromWhatIsNoNumber) {
  auto panel = usual_panel();
  panel.history[5].value = kNan;
  panel.history[9].value = kInfinity;
  panel.history[10].value = -1e308;
  panel.fans[0].from->value = kNan;
  panel.fans[0].steps[3].value = kNan;
  panel.fans[0].bands[0].lower[4] = -kInfinity;
  panel.fans[0].bands[1].upper.resize(7);
  panel.capacity = ChartCapacity{kInfinity, 0.5, ""};
  auto figure = figure_of(panel);
  FanPanel nothing, constant;
  constant.history = {{kMayDay, 5}};
  nothing.history = {{kMayDay, kNan}};
  figure.panels.insert(figure.panels.end(), {nothing, constant, FanPanel()});
  const auto svg = fan_chart(figure);
  const std::regex number("-?[0-9]+(\\.[0-9])?"), path("([MLh]-?[0-9]+(\\.[0-9])?( -?[0-9]+(\\.[0-9])?)?|Z)+");
  const auto document = parsed(svg);
  for (const auto* name : {"x", "y", "width", "height"}) {
    const auto query = std::string("//*[not(self::rect[@fill='#fff'])]/@") + name;
    for (const auto& found : document.select_nodes(query.c_str()))
      EXPECT_TRUE(std::regex_match(found.attribute().value(), number)) << name << found.attribute().value();
  }
  for (const auto& found : document.select_nodes("//path/@d"))
    EXPECT_TRUE(std::regex_match(found.attribute().value(), path)) << found.attribute().value();
  for (const auto& at : places_of(data_of(svg, "history")[0])) EXPECT_LT(at.y, 600) << "-1e308 is not on the scale";
}

TEST(FanChart, BreaksTheLineAtAGap) {
  auto panel = usual_panel();
  const auto pieces = [&] {
    const auto data = data_of(fan_chart(figure_of(panel)), "history").at(0);
    return std::count(data.begin(), data.end(), 'M');
  };
  EXPECT_EQ(pieces(), 1);
  for (int hour = 20; hour < 30; ++hour) panel.history[static_cast<std::size_t>(hour)].value = kNan;
  EXPECT_EQ(pieces(), 2);
}

TEST(FanChart, LaysNarrowerBandsInsideWiderOnesAndAboveThem) {
  const auto bands = data_of(fan_chart(figure_of(usual_panel())), "band");
  ASSERT_THAT(bands, SizeIs(3)) << "the widest first, so that the others lie on it";
  for (std::size_t i = 0; i + 1 < bands.size(); ++i) {
    const auto wide = places_of(bands[i]), narrow = places_of(bands[i + 1]);
    ASSERT_EQ(wide.size(), narrow.size());
    ASSERT_EQ(wide.size(), 2 * 25U) << "there and back, from the last value on";
    EXPECT_EQ(wide[0].y, narrow[0].y) << "they open from one point";
    for (std::size_t place = 1; place < 25; ++place) EXPECT_LT(wide[place].y, narrow[place].y);
    for (std::size_t place = 25; place < 49; ++place) EXPECT_GT(wide[place].y, narrow[place].y);
  }
}

TEST(FanChart, ThinsLongHistoriesWithoutLosingAnExtreme) {
  auto few = usual_panel(), many = usual_panel();
  few.history[40].value = 120;
  many.history.clear();
  for (int i = 0; i < 96 * 3600; ++i) many.history.push_back({kMayDay + i * 1000, 50 + 20 * std::sin(i * 0.1)});
  many.history[123'456].value = 120;  // for one second
  const auto drawn = places_of(data_of(fan_chart(figure_of(many)), "history").at(0));
  EXPECT_LT(drawn.size(), 4 * 960U);
  EXPECT_NEAR(highest(drawn), highest(places_of(data_of(fan_chart(figure_of(few)), "history").at(0))), 1);
}

TEST(FanChart, ClosesGapsThatAreNarrowerThanAPixelOnlyWhereItThins) {
  std::vector<Dot> dots;
  for (int i = 0; i < 10'000; ++i) dots.push_back({i * 0.01, 5, i % 2 == 1});
  const auto kept = thinned(dots);
  EXPECT_LT(kept.size(), 410U);
  EXPECT_TRUE(std::none_of(kept.begin(), kept.end(), [](const Dot& dot) { return dot.apart; }));
  dots.push_back({150, 5, true});
  EXPECT_TRUE(thinned(dots).back().apart);
}

TEST(FanChart, WritesNoLabelOverAnother) {
  auto panel = usual_panel();
  for (int i = 0; i < 40; ++i)
    panel.events.push_back(
        {kMayDay + i * 3 * kHour, kMayDay + i * 3 * kHour + kHour, "deployment of release " + std::to_string(i)});
  for (auto& band : panel.fans[0].bands) band.upper.back() = panel.fans[0].steps.back().value;
  panel.capacity = ChartCapacity{panel.fans[0].steps.back().value, 0.38, "in 12 steps"};
  const auto document = parsed(fan_chart(figure_of(panel)));
  struct Box {
    double left, right, y;
    std::string text;
  };
  std::vector<Box> boxes;
  for (const auto& found : document.select_nodes("//g/text")) {
    const auto node = found.node();
    const std::string text = node.child_value(), anchor = node.attribute("text-anchor").value();
    const auto width = text_width(text, 10.5), x = node.attribute("x").as_double();
    const auto left = anchor == "end" ? x - width : anchor == "middle" ? x - width / 2 : x;
    boxes.push_back({left, left + width, node.attribute("y").as_double(), text});
    EXPECT_GE(left, 0) << text;
    EXPECT_LE(left + width, 960) << text;
  }
  ASSERT_GT(boxes.size(), 20U);
  for (const auto& a : boxes) {
    for (const auto& b : boxes) {
      if (&a >= &b || std::abs(a.y - b.y) >= 10) continue;
      EXPECT_TRUE(a.right <= b.left || b.right <= a.left) << a.text << " over " << b.text;
    }
  }
  EXPECT_EQ(document.select_nodes("//rect[@class='event']").size(), 40U) << "all are marked, also without a label";
}

TEST(FanChart, MovesLabelsApartAsLittleAsItCan) {
  std::vector<Label> labels{{50, 10}, {52, 10}, {54, 10}, {200, 10}};
  spread_out(labels, 0, 300);
  EXPECT_DOUBLE_EQ(labels[0].y, 42);
  EXPECT_DOUBLE_EQ(labels[1].y, 52);
  EXPECT_DOUBLE_EQ(labels[2].y, 62);
  EXPECT_DOUBLE_EQ(labels[3].y, 200);
  std::vector<Label> low{{295, 10}, {299, 20}};
  spread_out(low, 0, 300);
  EXPECT_DOUBLE_EQ(low[0].y, 275);
  EXPECT_DOUBLE_EQ(low[1].y, 290);
}

TEST(FanChart, SaysHowLikelyTheCapacityIsExceeded) {
  auto panel = usual_panel();
  panel.capacity = ChartCapacity{80, 0.38, ""};
  const auto svg = fan_chart(figure_of(panel));
  EXPECT_THAT(svg, HasSubstr(">capacity 80<"));
  EXPECT_THAT(svg, HasSubstr(">P(exceeded) 38 %<"));
  EXPECT_THAT(data_of(svg, "capacity"), SizeIs(1));
}

TEST(FanChart, DoesNotFlattenTheSeriesForACapacityFarAway) {
  auto panel = usual_panel();
  const auto without = places_of(data_of(fan_chart(figure_of(panel)), "history").at(0));
  panel.capacity = ChartCapacity{5000, 0.0, ""};
  const auto svg = fan_chart(figure_of(panel));
  EXPECT_THAT(svg, HasSubstr(">capacity 5,000 ↑<"));
  EXPECT_THAT(data_of(svg, "capacity"), IsEmpty());
  EXPECT_EQ(highest(places_of(data_of(svg, "history").at(0))), highest(without));
}

TEST(FanChart, SaysWhichSeriesItLeavesOut) {
  FanFigure figure;
  figure.panels.assign(15, usual_panel());
  figure.left_out = 5;
  const auto svg = fan_chart(figure);
  EXPECT_EQ(parsed(svg).select_nodes("/svg/g").size(), kMostPanels);
  EXPECT_THAT(svg, HasSubstr(">the first 12 of 20 series<"));
}

}  // namespace
}  // namespace umbra::cli
