/// One chart of a figure (fan_chart.hpp).
#pragma once

#include <string>
#include <vector>

#include "cli/output/fan_chart.hpp"
#include "cli/output/ticks.hpp"

namespace umbra::cli {

inline constexpr double kFontSize = 11;  ///< of axes and labels
inline constexpr double kSmallFont = 10.5;
inline constexpr const char* kInk = "#222";
inline constexpr const char* kGrey = "#666";

/// `<text …>`: one line of text at a place. `more` are further attributes, each preceded by a blank.
std::string svg_text(double x, double y, std::string_view text, std::string_view colour, std::string_view more = "");

/// Lays out a panel in two steps, so that the charts of a figure can share their margins.
class PanelLayout {
 public:
  /// @param panel outlives the layout
  PanelLayout(const FanPanel& panel, ChartTime time, double plot_height);

  double left_margin() const;   ///< that its labels want
  double right_margin() const;  ///< that its labels want

  struct Frame {
    double left = 0, right = 0, top = 0;  ///< of the plot, but for `top`, which includes the labels above it
    double width = 0;                     ///< of the figure
  };
  struct Drawn {
    std::string svg;
    double bottom = 0;
  };
  Drawn draw(const Frame& frame) const;

 private:
  struct Edge {  // a label at the right edge
    double value = 0;
    std::vector<std::string> lines;
    const char* colour = "";
  };
  class Drawing;

  void find_domain();
  void find_edges();

  const FanPanel& panel_;
  ChartTime time_;
  double plot_height_;
  double from_ = 0, to_ = 0;         // x
  double lowest_ = 0, highest_ = 0;  // y
  bool capacity_within_ = false;     // the chart's range of values
  std::vector<Tick> value_ticks_;
  std::vector<Edge> edges_;  // as drawn from top to bottom where they are level
};

}  // namespace umbra::cli
