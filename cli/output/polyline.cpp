#include "cli/output/polyline.hpp"

#include <algorithm>
#include <array>
#include <cmath>

#include "cli/output/svg.hpp"

namespace umbra::cli {
namespace {

constexpr double kVisibleGap = 2;  // pixels
constexpr std::size_t kDense = 4;  // of a column of pixels

/// Calls `work` with the begin and end of each stretch that lies within one column of pixels.
template <class Places, class Work>
void by_column(const Places& places, const Work& work) {
  for (std::size_t begin = 0, end = 0; begin < places.size(); begin = end) {
    const auto column = std::floor(places[begin].x);
    while (end < places.size() && std::floor(places[end].x) == column) ++end;
    work(begin, end);
  }
}

template <class Places>
bool dense(const Places& places) {
  return !places.empty() &&
         static_cast<double>(places.size()) > kDense * std::max(1.0, places.back().x - places.front().x);
}

std::string to(const char* command, double x, double y) {
  return command + coordinate(x) + ' ' + coordinate(y);
}

}  // namespace

std::vector<Dot> thinned(const std::vector<Dot>& dots) {
  if (!dense(dots)) return dots;
  std::vector<Dot> kept;
  by_column(dots, [&](std::size_t begin, std::size_t end) {
    const auto at = [&](std::size_t i) { return dots.begin() + static_cast<std::ptrdiff_t>(i); };
    const auto [least, most] =
        std::minmax_element(at(begin), at(end), [](const Dot& a, const Dot& b) { return a.y < b.y; });
    std::array places{begin, static_cast<std::size_t>(least - dots.begin()),
                      static_cast<std::size_t>(most - dots.begin()), end - 1};
    std::sort(places.begin(), places.end());
    const auto last = std::unique(places.begin(), places.end());
    const bool apart = dots[begin].apart && !kept.empty() && dots[begin].x - kept.back().x >= kVisibleGap;
    for (auto place = places.begin(); place != last; ++place)
      kept.push_back({dots[*place].x, dots[*place].y, apart && *place == begin});
  });
  return kept;
}

std::vector<Slice> thinned(const std::vector<Slice>& slices) {
  if (!dense(slices)) return slices;
  std::vector<Slice> kept;
  by_column(slices, [&](std::size_t begin, std::size_t end) {
    auto one = slices[begin];
    for (auto i = begin; i < end; ++i) {
      one.upper = std::min(one.upper, slices[i].upper);
      one.lower = std::max(one.lower, slices[i].lower);
    }
    one.apart = one.apart && !kept.empty() && one.x - kept.back().x >= kVisibleGap;
    kept.push_back(one);
  });
  return kept;
}

std::string path_of(const std::vector<Dot>& dots) {
  std::string path;
  for (std::size_t i = 0; i < dots.size(); ++i) {
    const bool first = i == 0 || dots[i].apart, alone = first && (i + 1 == dots.size() || dots[i + 1].apart);
    path += to(first ? "M" : "L", dots[i].x, dots[i].y);
    if (alone) path += "h0.1";  // with round caps
  }
  return path;
}

std::string outline_of(const std::vector<Slice>& slices) {
  constexpr double kLeastWidth = 2;  // of what stands alone, to either side
  std::string path;
  for (std::size_t begin = 0, end = 0; begin < slices.size(); begin = end) {
    for (end = begin + 1; end < slices.size() && !slices[end].apart;) ++end;
    const auto widen = end - begin == 1 ? kLeastWidth : 0;
    for (auto i = begin; i < end; ++i) path += to(i == begin ? "M" : "L", slices[i].x - widen, slices[i].upper);
    if (widen > 0) path += to("L", slices[begin].x + widen, slices[begin].upper);
    if (widen > 0) path += to("L", slices[begin].x + widen, slices[begin].lower);
    for (auto i = end; i > begin; --i) path += to("L", slices[i - 1].x - widen, slices[i - 1].lower);
    path += "Z";
  }
  return path;
}

void spread_out(std::vector<Label>& labels, double top, double bottom) {
  // Blocks of labels that touch, each about the middle of what its labels wish for.
  struct Block {
    double wish = 0, height = 0;  // sum of wished begins of the block, and its height
    std::size_t count = 0;
    double begin() const { return wish / static_cast<double>(count); }
  };
  const auto place = [&](const Block& block) {
    return std::clamp(block.begin(), top, std::max(top, bottom - block.height));
  };
  std::vector<Block> blocks;
  for (const auto& label : labels) {
    blocks.push_back({label.y - label.height / 2, label.height, 1});
    while (blocks.size() > 1) {
      const auto& last = blocks.back();
      auto& before = blocks[blocks.size() - 2];
      if (place(before) + before.height <= place(last)) break;
      before.wish += last.wish - before.height * static_cast<double>(last.count);
      before.height += last.height;
      before.count += last.count;
      blocks.pop_back();
    }
  }
  std::size_t index = 0;
  for (const auto& block : blocks) {
    auto y = place(block);
    for (std::size_t i = 0; i < block.count; ++i, ++index) {
      labels[index].y = y + labels[index].height / 2;
      y += labels[index].height;
    }
  }
}

}  // namespace umbra::cli
