/// Lines of as many points as a picture can show.
#pragma once

#include <string>
#include <vector>

namespace umbra::cli {

/// A place in a picture, in pixels.
struct Dot {
  double x = 0, y = 0;
  bool apart = false;  ///< a gap lies before it
};

/// Of each column of pixels the first, the highest, the lowest and the last, in their order; all dots where they are
/// few. A gap that is narrower than two columns then closes, since nobody could see it.
/// @param dots ascending in x
std::vector<Dot> thinned(const std::vector<Dot>& dots);

/// The data of an SVG path; a dot between two gaps becomes one that can be seen.
std::string path_of(const std::vector<Dot>& dots);

/// Where a band lies at one x.
struct Slice {
  double x = 0, upper = 0, lower = 0;  ///< pixels: upper is the smaller number
  bool apart = false;
};
/// The same of a band: at each column its highest and its lowest. Bands that are nested stay so.
std::vector<Slice> thinned(const std::vector<Slice>& slices);

/// The outline as the data of an SVG path, one closed piece between two gaps.
std::string outline_of(const std::vector<Slice>& slices);

/// Moves labels apart so that none covers another, as little as possible.
struct Label {
  double y = 0;  ///< its middle
  double height = 0;
};
/// @param labels ascending in y
void spread_out(std::vector<Label>& labels, double top, double bottom);

}  // namespace umbra::cli
