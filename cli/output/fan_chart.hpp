/// Histories and forecasts as a picture (SVG 1.1, Scalable Vector Graphics) for reports: no script, nothing from
/// elsewhere, the same bytes for the same input.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.hpp"

namespace umbra::cli {

/// What x is.
enum class ChartTime : std::uint8_t { kUtc, kSteps };

/// Of time kSteps, `at` is a step's number here and below.
struct ChartPoint {
  UnixMillis at = 0;
  double value = 0;  ///< NaN, infinite or beyond ±1e100: a gap
};

/// One forecast. It is drawn as opening from the last value that was seen, where there is one.
struct Fan {
  struct Band {
    double share = 0;                  ///< of cases that lie within, in (0, 1)
    std::vector<double> lower, upper;  ///< a number for each of `steps`
  };
  std::optional<ChartPoint> from;
  std::vector<ChartPoint> steps;  ///< the point forecast, ascending in time
  std::vector<Band> bands;        ///< in any order
  std::string label;              ///< of the place it was made at, such as "now"; may be empty
};

struct ChartCapacity {
  double value = 0;
  std::optional<double> p_exceeded;
  std::string within;  ///< "in 12 steps"; empty: in the whole horizon
};

struct ChartEvent {
  UnixMillis begin = 0, end = 0;  ///< exclusive
  std::string label;
};

/// One series: a chart with its own axes.
struct FanPanel {
  std::string title;
  std::vector<ChartPoint> history;  ///< ascending in time
  std::vector<Fan> fans;
  std::vector<ChartPoint> came;  ///< what came true of them; ascending in time
  std::optional<ChartCapacity> capacity;
  std::vector<ChartEvent> events;
};

struct FanFigure {
  std::string title, subtitle;
  std::string unit;  ///< of all values; may be empty
  ChartTime time = ChartTime::kUtc;
  std::vector<FanPanel> panels;
  std::size_t left_out = 0;  ///< series without a panel
};

/// More would make a file that nobody looks at; what is beyond counts as left out, and the subtitle says so.
inline constexpr std::size_t kMostPanels = 12;

/// The whole file. Long series are thinned to what a picture can show; their extremes stay.
std::string fan_chart(const FanFigure& figure);

}  // namespace umbra::cli
