/// What series of a kind have in common, for those too young to know it of themselves.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "forecast/models/history.hpp"

namespace umbra::forecast {

/// The main season is cut into so many blocks.
inline constexpr std::size_t kProfileBlocks = 24;

/// How a series goes through its main season, relative to its mean: one number for each block, 1 on average.
using Profile = std::vector<float>;

/// @return empty where the series is shorter than two seasons, goes below zero, or is nothing but zeros
Profile profile_of(const History& history, std::size_t season);

/// One whose profile is known, and what it belongs to.
struct Peer {
  std::vector<std::string> groups;  ///< from the widest to the narrowest: instance type, zone, application, account, …
  Profile profile;
};

/// What to expect of a newcomer: the mean of all peers, drawn towards that of those who share its first group, then of
/// those among them who share the second too, and so on; each the more the more they are (a hierarchical normal
/// prior's posterior mean, with a variance between groups of a quarter of that between members).
/// @param groups the newcomer's, from the widest to the narrowest; an empty name is no group, and passed over
/// @return empty where there are no peers
Profile pooled_profile(std::span<const Peer> peers, std::span<const std::string> groups);

}  // namespace umbra::forecast
