/// Finds after how many steps a series repeats itself.
#pragma once

#include <chrono>
#include <cstddef>
#include <span>
#include <vector>

#include "base/clock.hpp"

namespace umbra::forecast {

/// The seasons of `values`, in steps, ascending; none is a common answer.
///
/// The series is written as a table with a cycle a row (cycle_table.hpp) for lengths from 2 steps to a third of the
/// series. A season is a length at which rows, each without its level, are alike: every row is predicted by the mean of
/// the others, and chance does not do as well. Rows of noise, of a random walk or along a trend have nothing in common,
/// so none of them seems to have a season, as they often do by their autocorrelation. How many lengths were tried is
/// counted against what is found (Bonferroni). It is then removed, and the rest searched again.
///
/// A week is found beyond a day, since days of the week differ. A half, third or fourth of a season is its harmonic and
/// not reported. A season that is no whole number of steps is found as a near one, or as a multiple. What fills less
/// than about a hundredth of its cycle is diluted, and may not be found. A series of noise, even when its values depend
/// on those before, gets a season in less than 2 of 100 cases.
///
/// @param values a gap (not finite) counts as the value before it; 10,000 values take about 5 ms
/// @param step how long each is for; the day and the week are then taken before other lengths that do as well. Zero for
///   unknown
std::vector<std::size_t> find_seasons(std::span<const double> values, Milliseconds step = Milliseconds(0));

}  // namespace umbra::forecast
