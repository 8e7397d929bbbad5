#include "cli/output/fan_chart.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "cli/output/fan_panel.hpp"
#include "cli/output/svg.hpp"

namespace umbra::cli {
namespace {

constexpr double kWidth = 960, kMargin = 12;
constexpr double kAlone = 340, kAmongOthers = 150;  // heights of a plot
constexpr double kTitleFont = 16, kSubtitleFont = 11.5, kHeadingFont = 12.5;
constexpr double kHeadingHeight = 20, kUnitHeight = 14, kPanelGap = 14;

std::string description(const FanFigure& figure, std::size_t shown) {
  auto text = figure.subtitle;
  for (std::size_t i = 0; i < shown; ++i) {
    const auto& panel = figure.panels[i];
    std::size_t steps = 0;
    for (const auto& fan : panel.fans) steps += fan.steps.size();
    text += fmt::format("{}{}: a history of {} values, then a forecast of {} steps with its intervals",
                        text.empty() ? "" : ". ", panel.title, panel.history.size(), steps);
    if (panel.capacity) text += ", and a capacity";
    if (!panel.events.empty()) text += fmt::format(", and {} events", panel.events.size());
  }
  return text;
}

}  // namespace

std::string fan_chart(const FanFigure& figure) {
  const auto shown = std::min(figure.panels.size(), kMostPanels);
  const auto all = figure.panels.size() + figure.left_out;
  const bool alone = all == 1;

  std::vector<PanelLayout> layouts;
  double left = 0, right = 0;
  for (std::size_t i = 0; i < shown; ++i) {
    layouts.emplace_back(figure.panels[i], figure.time, alone ? kAlone : kAmongOthers);
    left = std::max(left, layouts.back().left_margin());
    right = std::max(right, layouts.back().right_margin());
  }

  std::string body;
  double y = kMargin;
  const auto add_line = [&](const std::string& text, double font_size, const char* colour, const char* more) {
    if (text.empty()) return;
    y += font_size + 5;
    body += svg_text(kMargin, y, shortened(text, kWidth - 2 * kMargin, font_size), colour,
                     fmt::format(" font-size=\"{}\"{}", font_size, more));
  };
  add_line(figure.title, kTitleFont, kInk, " font-weight=\"bold\"");
  auto subtitle = figure.subtitle;
  if (shown < all) subtitle += fmt::format("{}the first {} of {} series", subtitle.empty() ? "" : " · ", shown, all);
  add_line(subtitle, kSubtitleFont, kGrey, "");
  y += kMargin;
  for (std::size_t i = 0; i < shown; ++i) {
    const auto& title = figure.panels[i].title;
    if (!alone || !figure.unit.empty()) {
      const auto heading = alone ? "" : shortened(title, kWidth / 2, kHeadingFont);
      const auto gap = alone ? 0 : text_width(heading, kHeadingFont) + kMargin;
      if (!alone)
        body += svg_text(kMargin, y + kHeadingFont, heading, kInk,
                         fmt::format(" font-size=\"{}\" font-weight=\"bold\"", kHeadingFont));
      if (!figure.unit.empty())
        body += svg_text(kMargin + gap, y + kHeadingFont, shortened(figure.unit, kWidth / 3, kFontSize), kGrey);
      y += alone ? kUnitHeight : kHeadingHeight;
    }
    auto drawn = layouts[i].draw({left, kWidth - right, y, kWidth});
    body += fmt::format("<g>\n{}</g>\n", drawn.svg);
    y = drawn.bottom + kPanelGap;
  }
  const auto height = y;
  return fmt::format(
             "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0}\" height=\"{1}\" viewBox=\"0 0 {0} {1}\" "
             "role=\"img\" aria-labelledby=\"title desc\" font-family=\"Helvetica, Arial, sans-serif\" "
             "font-size=\"{2}\">\n"
             "<title id=\"title\">{3}</title>\n<desc id=\"desc\">{4}</desc>\n"
             "<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n",
             coordinate(kWidth), coordinate(height), kFontSize, xml_text(figure.title),
             xml_text(description(figure, shown))) +
         body + "</svg>\n";
}

}  // namespace umbra::cli
