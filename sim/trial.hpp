/// One story in which a few things go wrong at chosen moments; and how it must end.
#pragma once

#include "sim/faults.hpp"

namespace umbra::sim {

struct Strike {
  std::size_t at = 0;  ///< how many moments of the story come before
  const Fault* fault = nullptr;
};

/// What is under way when it goes wrong.
enum class Story : std::uint8_t { kCutover, kStaging, kDropping };
std::string_view to_string(Story story);

/// Everything that a seed decides.
struct Trial {
  Story story = Story::kCutover;
  World::Options options;
  std::vector<Strike> strikes;
  bool moves_on = true;  ///< in the end the VM is moved once more
  /// "STORY/HOSTS/MB PER S THAT THE GUEST WRITES[/stays]:FAULT@MOMENT,FAULT@MOMENT"
  std::string text() const;
};
/// The moment of its first fault that is not before `from`; SIZE_MAX without one.
std::size_t next_strike(const Trial& trial, std::size_t from);
/// @param moments of each story when nothing goes wrong, by its number
/// @param text as Trial::text() gives it; hosts and MB/s may be left out. Throws when it names what there is not
Trial trial_of(const std::string& text);
Trial trial_of(std::uint64_t seed, const std::vector<std::size_t>& moments);

/// The world at the story's begin.
std::unique_ptr<World> prepare(Story story, const World::Options& options);
/// The moments of the story in which nothing goes wrong. Uses the world up.
std::vector<Moment> moments_of(World& world, Story story);
/// Plays it, and lets everybody recover. Uses the world up.
/// @param fate what goes wrong
/// @return what is wrong; empty when at no step the VM had two owners, and in the end the fleet is in order
std::string play(World& world, Story story, const Fate& fate);
/// Has the VM moved to another host, in a fleet that is in order: nothing that is left over may stand in the way.
/// @return what is wrong
std::string move_on(World& world);

}  // namespace umbra::sim
