#include "forecast/peers.hpp"

#include <algorithm>

namespace umbra::forecast {
namespace {

constexpr std::size_t kSeasonsLeast = 2;
constexpr std::size_t kSeasonsMost = 14;  // older ones say little of what it does now
constexpr float kGroupCounts = 4;         // what is known of the wider group, in members of the narrower

Profile mean_of(std::span<const Peer* const> peers) {
  Profile mean(kProfileBlocks, 0.0F);
  for (const auto* peer : peers)
    for (std::size_t block = 0; block < kProfileBlocks; ++block)
      mean[block] += peer->profile[block] / static_cast<float>(peers.size());
  return mean;
}

}  // namespace

Profile profile_of(const History& history, std::size_t season) {
  if (season < kProfileBlocks || history.recent().size() < kSeasonsLeast * season) return {};
  const auto seasons = std::min(kSeasonsMost, history.recent().size() / season);
  std::vector<double> sums(kProfileBlocks), counts(kProfileBlocks);
  double total = 0;
  for (auto place = history.size() - seasons * season; place < history.size(); ++place) {
    const auto value = history[place];
    if (value < 0) return {};
    const auto block = place % season * kProfileBlocks / season;
    sums[block] += value;
    ++counts[block];
    total += value;
  }
  if (!(total > 0)) return {};
  const auto mean = total / static_cast<double>(seasons * season);
  Profile profile;
  for (std::size_t block = 0; block < kProfileBlocks; ++block)
    profile.push_back(static_cast<float>(sums[block] / counts[block] / mean));
  return profile;
}

Profile pooled_profile(std::span<const Peer> peers, std::span<const std::string> groups) {
  std::vector<const Peer*> sharing;
  for (const auto& peer : peers)
    if (peer.profile.size() == kProfileBlocks) sharing.push_back(&peer);
  if (sharing.empty()) return {};
  auto pooled = mean_of(sharing);
  for (std::size_t depth = 0; depth < groups.size(); ++depth) {
    if (groups[depth].empty()) continue;
    std::erase_if(sharing, [&](const Peer* peer) {
      return peer->groups.size() <= depth || peer->groups[depth] != groups[depth];
    });
    if (sharing.empty()) break;
    const auto narrower = mean_of(sharing);
    const auto count = static_cast<float>(sharing.size());
    for (std::size_t block = 0; block < kProfileBlocks; ++block)
      pooled[block] = (count * narrower[block] + kGroupCounts * pooled[block]) / (count + kGroupCounts);
  }
  return pooled;
}

}  // namespace umbra::forecast
