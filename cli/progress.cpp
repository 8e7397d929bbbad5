#include "cli/progress.hpp"

#include <sys/ioctl.h>

#include "cli/output/table.hpp"
#include "cli/output/words.hpp"

namespace umbra::cli {
namespace {

constexpr std::size_t kWidestBar = 24;
constexpr std::size_t kNarrowestBar = 8;
constexpr std::size_t kUsualWidth = 80;
constexpr std::size_t kLogWidth = 200;

std::string bar(double fraction, std::size_t width) {
  const auto inner = width - 2;
  const auto filled = static_cast<std::size_t>(fraction * static_cast<double>(inner));
  std::string cells(filled, '=');
  if (filled < inner) cells += '>';
  cells.resize(inner, ' ');
  return "[" + cells + "]";
}

/// Parts two blanks apart, as many as fit.
std::string join_fitting(const std::vector<std::string>& parts, std::size_t width) {
  std::string line;
  for (const auto& part : parts) {
    auto longer = line.empty() ? part : line + "  " + part;
    if (display_width(longer) > width && !line.empty()) break;
    line = std::move(longer);
  }
  return std::string(fit(line, width));
}

std::size_t terminal_width(std::FILE* out) {
  winsize size{};
  const bool known = ::ioctl(::fileno(out), TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
  return known ? size.ws_col : kUsualWidth;
}

}  // namespace

std::string render_progress(const ProgressState& state, std::size_t width) {
  std::vector<std::string> parts{printable(state.subject), printable(state.phase)};
  const auto bar_at = parts.size();
  if (state.total.count > 0) {
    const auto done = std::min(state.done, state.total);
    const auto fraction = static_cast<double>(done.count) / static_cast<double>(state.total.count);
    parts.push_back(percent(fraction));
    parts.push_back(fmt::format("{}/{}", to_string(done), to_string(state.total)));
  }
  if (state.rate.count > 0) parts.push_back(to_string(state.rate));
  if (state.dirty.count > 0) parts.push_back("dirty " + to_string(state.dirty));
  if (state.eta_ms > 0) parts.push_back("ETA " + span(state.eta_ms));
  if (state.total.count > 0) {
    const auto used = display_width(fmt::format("{}", fmt::join(parts, "  "))) + 1;
    const auto room = width > used ? std::min(width - used, kWidestBar) : 0;
    const auto fraction = std::min(1.0, static_cast<double>(state.done.count) / static_cast<double>(state.total.count));
    if (room >= kNarrowestBar) parts[bar_at] = bar(fraction, room) + " " + parts[bar_at];
  }
  return join_fitting(parts, width);
}

void Progress::show(const ProgressState& state) {
  if (mode_ == Mode::kSilent) return;
  if (mode_ == Mode::kLive) {
    // One column stays free: a line that fills the last one would wrap on some terminals.
    fmt::print(out_, "\r{}\x1b[K", render_progress(state, terminal_width(out_) - 1));
    std::fflush(out_);
    drawn_ = true;
    return;
  }
  if (state.subject == last_subject_ && state.phase == last_phase_) return;
  fmt::print(out_, "{}\n", render_progress(state, kLogWidth));
  last_subject_ = state.subject;
  last_phase_ = state.phase;
}

void Progress::clear() {
  if (!drawn_) return;
  fmt::print(out_, "\r\x1b[K");
  std::fflush(out_);
  drawn_ = false;
}

}  // namespace umbra::cli
