// The table of a shadow's life, pair by pair against what the design says.
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "agentd/shadow/phase.hpp"

namespace umbra::shadow {
namespace {

using enum Phase;

constexpr std::array kPhases{kProfile, kStaging,  kStaged, kPrecopy, kWarm,   kHot,
                             kArmed,   kPromised, kMoved,  kDropped, kServing};
constexpr std::array kEvents{Event::kStage, Event::kStaged, Event::kMigrate, Event::kSynced,  Event::kHeat,
                             Event::kCool,  Event::kArm,    Event::kDisarm,  Event::kPromise, Event::kResume,
                             Event::kServe, Event::kRefuse, Event::kDrop,    Event::kRetract};

/// What may happen in each phase, as phase.hpp and ARCHITECTURE.md tell it.
const std::map<Phase, std::map<Event, Phase>> kLife{
    {kProfile, {{Event::kStage, kStaging}}},
    {kStaging, {{Event::kStaged, kStaged}, {Event::kDrop, kDropped}}},
    {kStaged, {{Event::kMigrate, kPrecopy}, {Event::kArm, kArmed}, {Event::kDrop, kDropped}}},
    {kPrecopy, {{Event::kSynced, kWarm}, {Event::kDrop, kDropped}}},
    {kWarm, {{Event::kHeat, kHot}, {Event::kArm, kArmed}, {Event::kDrop, kDropped}}},
    {kHot, {{Event::kCool, kWarm}, {Event::kArm, kArmed}, {Event::kDrop, kDropped}}},
    {kArmed,
     {{Event::kArm, kArmed},
      {Event::kDisarm, kWarm},
      {Event::kPromise, kPromised},
      {Event::kRefuse, kDropped},
      {Event::kDrop, kDropped}}},
    {kPromised,
     {{Event::kServe, kMoved}, {Event::kRefuse, kDropped}, {Event::kRetract, kDropped}, {Event::kResume, kServing}}},
    {kServing, {{Event::kServe, kMoved}}},
    {kMoved, {{Event::kDrop, kDropped}}},
    {kDropped, {{Event::kStage, kStaging}}},
};

TEST(PhaseTable, AllowsWhatTheDesignSaysAndNothingElse) {
  for (const auto from : kPhases)
    for (const auto on : kEvents) {
      const auto& allowed = kLife.at(from);
      const auto found = allowed.find(on);
      const auto expected = found == allowed.end() ? std::nullopt : std::optional(found->second);
      EXPECT_EQ(next(from, on), expected) << to_string(from) << " on " << to_string(on);
    }
}

TEST(PhaseTable, NamesEachEdgeOnce) {
  std::set<std::pair<Phase, Event>> seen;
  for (const auto& edge : kEdges)
    EXPECT_TRUE(seen.emplace(edge.from, edge.on).second) << to_string(edge.from) << " on " << to_string(edge.on);
}

TEST(PhaseTable, LeadsFromEveryPhaseBackToANewShadow) {
  for (const auto start : kPhases) {
    std::set<Phase> reached{start};
    for (std::size_t before = 0; before != reached.size();) {
      before = reached.size();
      for (const auto& edge : kEdges)
        if (reached.contains(edge.from)) reached.insert(edge.to);
    }
    EXPECT_TRUE(reached.contains(kStaging)) << "stuck in " << to_string(start);
  }
}

TEST(PhaseTable, LeadsToServingOnlyThroughAPromise) {
  for (const auto& edge : kEdges) {
    EXPECT_TRUE(edge.to != kMoved || edge.from == kPromised || edge.from == kServing) << to_string(edge.from);
    EXPECT_TRUE(edge.to != kServing || edge.from == kPromised) << to_string(edge.from);
    EXPECT_TRUE(edge.to != kPromised || edge.from == kArmed) << to_string(edge.from);
  }
}

TEST(PhaseTable, KeepsTheNumbersThatAreStoredAndSent) {
  EXPECT_EQ(static_cast<int>(kProfile), 0);
  EXPECT_EQ(static_cast<int>(kStaged), 2);
  EXPECT_EQ(static_cast<int>(kWarm), 4);
  EXPECT_EQ(static_cast<int>(kArmed), 6);
  EXPECT_EQ(static_cast<int>(kPromised), 7);
  EXPECT_EQ(static_cast<int>(kMoved), 8);
  EXPECT_EQ(static_cast<int>(kDropped), 9);
  EXPECT_EQ(static_cast<int>(kServing), 10);
}

TEST(PhaseTable, HasANameForEverything) {
  std::set<std::string_view> names;
  for (const auto phase : kPhases) names.insert(to_string(phase));
  EXPECT_EQ(names.size(), kPhases.size());
  EXPECT_FALSE(names.contains("unknown"));
  names.clear();
  for (const auto event : kEvents) names.insert(to_string(event));
  EXPECT_EQ(names.size(), kEvents.size());
}

}  // namespace
}  // namespace umbra::shadow
