#include "cli/output/fan_panel.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "cli/output/polyline.hpp"
#include "cli/output/svg.hpp"
#include "cli/output/words.hpp"

namespace umbra::cli {
namespace {

// Okabe and Ito's colours for all kinds of sight, darkened where they are text; in greyscale they differ in lightness,
// and by the kind of line besides.
constexpr const char* kBlue = "#0072b2";
constexpr const char* kDarkBlue = "#00507d";
constexpr const char* kVermilion = "#b8480a";
constexpr const char* kOrange = "#e69f00";
constexpr const char* kBrown = "#7a5200";
constexpr double kBandOpacity = 0.2;  // bands lie on one another: the innermost is the darkest

constexpr double kLineHeight = 13;  // of labels
constexpr double kEdgeGap = 12;     // from the plot to the labels beside it
constexpr double kPerTimeTick = 88, kPerValueTick = 42;
constexpr double kAxisHeight = 36;  // two lines of labels below the plot
constexpr double kEdgeOfFigure = 8;
constexpr std::size_t kMostStripRows = 3;
constexpr double kLongestEventLabel = 180;
constexpr std::size_t kMostSpans = 300;  // events beyond are drawn together where they touch

bool usable(double value) {
  return std::isfinite(value) && std::abs(value) <= 1e100;
}

bool usable(const Fan::Band& band, std::size_t step) {
  return step < band.lower.size() && step < band.upper.size() && usable(band.lower[step]) && usable(band.upper[step]);
}

std::string share_text(double share) {
  return fmt::format("{:.4g} %", 100 * share);
}

std::vector<const Fan::Band*> widest_first(const Fan& fan) {
  std::vector<const Fan::Band*> bands;
  for (const auto& band : fan.bands) bands.push_back(&band);
  std::stable_sort(bands.begin(), bands.end(), [](const auto* a, const auto* b) { return a->share > b->share; });
  return bands;
}

std::string line(double x1, double y1, double x2, double y2, std::string_view look) {
  return fmt::format("<path d=\"M{} {}L{} {}\" {}/>\n", coordinate(x1), coordinate(y1), coordinate(x2), coordinate(y2),
                     look);
}

std::string stroke(std::string_view data, std::string_view colour, double width, std::string_view more = "") {
  if (data.empty()) return "";
  return fmt::format(
      "<path d=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"{}\" stroke-linejoin=\"round\" "
      "stroke-linecap=\"round\"{}/>\n",
      data, colour, width, more);
}

}  // namespace

std::string svg_text(double x, double y, std::string_view text, std::string_view colour, std::string_view more) {
  return fmt::format("<text x=\"{}\" y=\"{}\" fill=\"{}\"{}>{}</text>\n", coordinate(x), coordinate(y), colour, more,
                     xml_text(text));
}

PanelLayout::PanelLayout(const FanPanel& panel, ChartTime time, double plot_height)
    : panel_(panel), time_(time), plot_height_(plot_height) {
  find_domain();
  value_ticks_ =
      value_ticks(lowest_, highest_, static_cast<std::size_t>(std::max(4.0, std::floor(plot_height_ / kPerValueTick))));
  find_edges();
}

void PanelLayout::find_domain() {
  constexpr auto kInfinite = std::numeric_limits<double>::infinity();
  from_ = lowest_ = kInfinite;
  to_ = highest_ = -kInfinite;
  const auto see = [&](double value) {
    if (!usable(value)) return;
    lowest_ = std::min(lowest_, value);
    highest_ = std::max(highest_, value);
  };
  const auto see_points = [&](const std::vector<ChartPoint>& points) {
    for (const auto& point : points) {
      from_ = std::min(from_, static_cast<double>(point.at));
      to_ = std::max(to_, static_cast<double>(point.at));
      see(point.value);
    }
  };
  see_points(panel_.history);
  see_points(panel_.came);
  for (const auto& fan : panel_.fans) {
    see_points(fan.steps);
    if (fan.from) see_points({*fan.from});
    for (const auto& band : fan.bands)
      for (std::size_t step = 0; step < fan.steps.size(); ++step)
        if (usable(band, step)) see(band.lower[step]), see(band.upper[step]);
  }
  if (from_ > to_) from_ = to_ = 0;
  if (from_ == to_) from_ -= 1, to_ += 1;
  if (lowest_ > highest_) lowest_ = 0, highest_ = 1;

  // A chart that comes near 0 begins there; the range of a constant has 0 in it.
  constexpr double kNearZero = 0.35, kPadding = 0.04;
  const auto size = std::max(std::abs(lowest_), std::abs(highest_));
  if (highest_ - lowest_ <= 1e-9 * size || size == 0) {
    lowest_ = std::min(0.0, 2 * lowest_);
    highest_ = size == 0 ? 1 : std::max(0.0, 2 * highest_);
  }
  if (lowest_ > 0 && lowest_ <= kNearZero * highest_) lowest_ = 0;
  if (panel_.capacity && usable(panel_.capacity->value)) {
    constexpr double kMostStretch = 2.5;  // else the series would be a flat line at the edge
    const auto low = std::min(lowest_, panel_.capacity->value), high = std::max(highest_, panel_.capacity->value);
    capacity_within_ = high - low <= kMostStretch * (highest_ - lowest_);
    if (capacity_within_) lowest_ = low, highest_ = high;
  }
  const auto padding = kPadding * (highest_ - lowest_);
  if (lowest_ != 0) lowest_ -= padding;
  if (highest_ != 0) highest_ += padding;
}

void PanelLayout::find_edges() {
  if (!panel_.fans.empty() && !panel_.fans.back().steps.empty()) {
    const auto& fan = panel_.fans.back();
    const auto last = fan.steps.size() - 1;
    bool widest = true;
    for (const auto* band : widest_first(fan)) {
      if (usable(*band, last))
        edges_.push_back({band->upper[last], {share_text(band->share) + (widest ? " interval" : "")}, kDarkBlue});
      widest = false;
    }
    if (usable(fan.steps[last].value)) edges_.push_back({fan.steps[last].value, {"forecast"}, kDarkBlue});
  }
  const auto came = std::find_if(panel_.came.rbegin(), panel_.came.rend(),
                                 [](const ChartPoint& point) { return usable(point.value); });
  if (came != panel_.came.rend()) edges_.push_back({came->value, {"what came"}, kInk});
  if (panel_.capacity && usable(panel_.capacity->value)) {
    const auto& capacity = *panel_.capacity;
    const auto* beyond = capacity_within_ ? "" : capacity.value > highest_ ? " ↑" : " ↓";
    Edge edge{capacity.value, {"capacity " + value_text(capacity.value) + beyond}, kVermilion};
    if (capacity.p_exceeded) edge.lines.push_back("P(exceeded) " + percent(*capacity.p_exceeded));
    if (capacity.p_exceeded && !capacity.within.empty()) edge.lines.push_back(capacity.within);
    edges_.push_back(std::move(edge));
  }
  std::stable_sort(edges_.begin(), edges_.end(), [](const Edge& a, const Edge& b) { return a.value > b.value; });
}

double PanelLayout::left_margin() const {
  double widest = 0;
  for (const auto& tick : value_ticks_) widest = std::max(widest, text_width(tick.label, kFontSize));
  return widest + 8 + kEdgeOfFigure;
}

double PanelLayout::right_margin() const {
  double widest = 60;  // for the name of the axis
  for (const auto& edge : edges_)
    for (const auto& text : edge.lines) widest = std::max(widest, text_width(text, kFontSize));
  return kEdgeGap + widest + kEdgeOfFigure;
}

/// The panel at its place: parts are added from back to front.
class PanelLayout::Drawing {
 public:
  Drawing(const PanelLayout& layout, const Frame& frame) : layout_(layout), panel_(layout.panel_), frame_(frame) {
    find_spans();
    const auto rows = lay_strip();
    top_ = frame.top + static_cast<double>(rows) * kLineHeight + (rows > 0 ? 6 : 2);
    bottom_ = top_ + layout.plot_height_;
  }

  Drawn draw() {
    draw_spans();
    draw_value_axis();
    draw_time_axis();
    for (const auto& fan : panel_.fans) draw_bands(fan);
    draw_capacity();
    svg_ += stroke(path_of(thinned(dots(panel_.history))), kInk, 1.1, " class=\"history\"");
    svg_ += stroke(path_of(thinned(dots(panel_.came))), kInk, 1.1, " class=\"came\"");
    for (const auto& fan : panel_.fans) draw_point_forecast(fan);
    draw_strip();
    draw_edges();
    return {std::move(svg_), bottom_ + kAxisHeight};
  }

 private:
  struct Span {
    double left = 0, right = 0;
    std::string label;
  };
  struct StripLabel {
    double x = 0;
    std::size_t row = 0;
    std::string text;
    const char* look = "";
    const char* colour = "";
  };

  double x(double at) const {
    return frame_.left + (at - layout_.from_) / (layout_.to_ - layout_.from_) * (frame_.right - frame_.left);
  }
  double x(UnixMillis at) const { return x(static_cast<double>(at)); }
  double y(double value) const {
    return bottom_ - (value - layout_.lowest_) / (layout_.highest_ - layout_.lowest_) * layout_.plot_height_;
  }

  std::vector<Dot> dots(const std::vector<ChartPoint>& points) const {
    std::vector<Dot> out;
    bool apart = false;
    for (const auto& point : points) {
      if (usable(point.value)) out.push_back({x(point.at), y(point.value), apart});
      apart = !usable(point.value);
    }
    return out;
  }

  double boundary(const Fan& fan) const { return x(fan.from ? fan.from->at : fan.steps.front().at); }

  void find_spans() {
    auto events = panel_.events;
    std::stable_sort(events.begin(), events.end(),
                     [](const ChartEvent& a, const ChartEvent& b) { return a.begin < b.begin; });
    for (const auto& event : events) {
      if (event.end <= event.begin) continue;
      const auto left = std::max(x(event.begin), frame_.left), right = std::min(x(event.end), frame_.right);
      if (right < frame_.left || left > frame_.right || right < left) continue;
      if (spans_.size() >= kMostSpans && left <= spans_.back().right + 1)
        spans_.back().right = std::max(spans_.back().right, right);
      else
        spans_.push_back({left, right, event.label});
    }
  }

  /// Puts labels above the plot, in rows; what finds no room has none. @return rows that are used
  std::size_t lay_strip() {
    std::vector<std::vector<std::pair<double, double>>> taken(kMostStripRows);
    std::size_t rows = 0;
    const auto put = [&](double middle, std::string text, const char* look, const char* colour) {
      const auto half = text_width(text, kSmallFont) / 2 + 3;
      const auto at = std::clamp(middle, frame_.left + half, std::max(frame_.left + half, frame_.right - half));
      for (std::size_t row = 0; row < kMostStripRows; ++row) {
        const auto free = std::none_of(taken[row].begin(), taken[row].end(), [&](const auto& other) {
          return at - half < other.second && at + half > other.first;
        });
        if (!free) continue;
        taken[row].emplace_back(at - half, at + half);
        strip_.push_back({at, row, std::move(text), look, colour});
        rows = std::max(rows, row + 1);
        return;
      }
    };
    for (const auto& fan : panel_.fans)
      if (!fan.label.empty() && !fan.steps.empty())
        put(boundary(fan), shortened(fan.label, kLongestEventLabel, kSmallFont), " font-weight=\"bold\"", kInk);
    for (const auto& span : spans_)
      put((span.left + span.right) / 2, shortened(span.label, kLongestEventLabel, kSmallFont), "", kBrown);
    return rows;
  }

  void draw_spans() {
    constexpr double kLeastWidth = 1.5;
    for (const auto& span : spans_) {
      const auto width = std::max(kLeastWidth, span.right - span.left);
      svg_ += fmt::format(
          "<rect class=\"event\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" fill=\"{}\" fill-opacity=\"0.22\">"
          "<title>{}</title></rect>\n",
          coordinate(span.left), coordinate(top_), coordinate(width), coordinate(layout_.plot_height_), kOrange,
          xml_text(span.label));
    }
  }

  void draw_value_axis() {
    for (const auto& tick : layout_.value_ticks_) {
      const auto at = y(tick.at);
      svg_ += line(frame_.left, at, frame_.right, at, "stroke=\"#000\" stroke-opacity=\"0.1\" stroke-width=\"0.8\"");
      svg_ += svg_text(frame_.left - 7, at + 4, tick.label, kGrey, " text-anchor=\"end\"");
    }
    svg_ += line(frame_.left, bottom_, frame_.right, bottom_, "stroke=\"#888\" stroke-width=\"1\"");
  }

  void draw_time_axis() {
    const auto most = static_cast<std::size_t>(std::max(1.0, std::floor((frame_.right - frame_.left) / kPerTimeTick)));
    const auto from = static_cast<std::int64_t>(std::ceil(layout_.from_));
    const auto to = static_cast<std::int64_t>(std::floor(layout_.to_));
    const bool utc = layout_.time_ == ChartTime::kUtc;
    const auto ticks = utc ? time_ticks(from, to, most) : step_ticks(from, to, most);
    auto name_at = frame_.right + kEdgeGap;
    for (const auto& tick : ticks) {
      const auto at = x(tick.at);
      svg_ += line(at, bottom_, at, bottom_ + 4, "stroke=\"#888\" stroke-width=\"1\"");
      svg_ += svg_text(at, bottom_ + 16, tick.label, kGrey, " text-anchor=\"middle\"");
      name_at = std::max(name_at, at + text_width(tick.label, kFontSize) / 2 + kFontSize);
    }
    svg_ += svg_text(name_at, bottom_ + 16, utc ? "UTC" : "step", kGrey);
    // From the right: where two have no room, the later one stays, since it marks where a day or a year begins.
    auto free = frame_.width - kEdgeOfFigure;
    for (auto tick = ticks.rbegin(); tick != ticks.rend(); ++tick) {
      if (tick->context.empty()) continue;
      const auto half = text_width(tick->context, kFontSize) / 2;
      const auto at = std::max(x(tick->at), half + kEdgeOfFigure);
      if (at + half > free) continue;
      svg_ += svg_text(at, bottom_ + 30, tick->context, kGrey, " text-anchor=\"middle\"");
      free = at - half - kFontSize;
    }
  }

  void draw_bands(const Fan& fan) {
    for (const auto* band : widest_first(fan)) {
      std::vector<Slice> slices;
      if (fan.from && usable(fan.from->value))
        slices.push_back({x(fan.from->at), y(fan.from->value), y(fan.from->value)});
      bool apart = false;
      for (std::size_t step = 0; step < fan.steps.size(); ++step) {
        const bool there = usable(*band, step);
        if (there) slices.push_back({x(fan.steps[step].at), y(band->upper[step]), y(band->lower[step]), apart});
        apart = !there;
      }
      if (slices.empty()) continue;
      svg_ += fmt::format("<path class=\"band\" d=\"{}\" fill=\"{}\" fill-opacity=\"{}\"><title>{}</title></path>\n",
                          outline_of(thinned(slices)), kBlue, kBandOpacity, share_text(band->share));
    }
  }

  void draw_point_forecast(const Fan& fan) {
    std::vector<ChartPoint> points;
    if (fan.from) points.push_back(*fan.from);
    points.insert(points.end(), fan.steps.begin(), fan.steps.end());
    svg_ += stroke(path_of(thinned(dots(points))), kDarkBlue, 1.7, " class=\"forecast\"");
  }

  void draw_capacity() {
    if (!layout_.capacity_within_) return;
    const auto at = y(panel_.capacity->value);
    svg_ +=
        line(frame_.left, at, frame_.right, at,
             fmt::format("class=\"capacity\" stroke=\"{}\" stroke-width=\"1.3\" stroke-dasharray=\"6 4\"", kVermilion));
  }

  void draw_strip() {
    for (const auto& fan : panel_.fans) {
      if (fan.steps.empty()) continue;
      const auto at = boundary(fan);
      svg_ += line(at, top_ - (fan.label.empty() ? 0 : 4), at, bottom_,
                   "class=\"boundary\" stroke=\"#222\" stroke-width=\"0.9\" stroke-dasharray=\"2 3\"");
    }
    for (const auto& label : strip_)
      svg_ += svg_text(label.x, top_ - 7 - kLineHeight * static_cast<double>(label.row), label.text, label.colour,
                       fmt::format(" font-size=\"{}\" text-anchor=\"middle\"{}", kSmallFont, label.look));
  }

  void draw_edges() {
    std::vector<Label> labels;
    for (const auto& edge : layout_.edges_)
      labels.push_back(
          {std::clamp(y(edge.value), top_, bottom_), kLineHeight * static_cast<double>(edge.lines.size())});
    const auto wished = labels;
    spread_out(labels, top_ - kLineHeight / 2, bottom_ + 2);
    for (std::size_t i = 0; i < labels.size(); ++i) {
      const auto& edge = layout_.edges_[i];
      svg_ += line(frame_.right + 1, wished[i].y, frame_.right + kEdgeGap - 3, labels[i].y,
                   fmt::format("stroke=\"{}\" stroke-opacity=\"0.5\" stroke-width=\"0.8\"", edge.colour));
      auto baseline = labels[i].y - labels[i].height / 2 + kLineHeight - 3;
      for (const auto& text : edge.lines) {
        svg_ += svg_text(frame_.right + kEdgeGap, baseline, text, edge.colour);
        baseline += kLineHeight;
      }
    }
  }

  const PanelLayout& layout_;
  const FanPanel& panel_;
  Frame frame_;
  double top_ = 0, bottom_ = 0;
  std::vector<Span> spans_;
  std::vector<StripLabel> strip_;
  std::string svg_;
};

PanelLayout::Drawn PanelLayout::draw(const Frame& frame) const {
  return Drawing(*this, frame).draw();
}

}  // namespace umbra::cli
