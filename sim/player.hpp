/// Plays many trials of one story, of which each is played only from where it begins to differ from others.
#pragma once

#include "sim/trial.hpp"

namespace umbra::sim {

struct Job {
  Trial trial;
  std::string name;
};

struct Telling {
  std::size_t most_failures = 20;  ///< so many, and no more is played
  bool all = false;                ///< also what went well
};

/// A process that plays the story for all trials which are the same up to here. Where a fault of some of them strikes,
/// they go on in a child of its own (fork(2)), with a copy of the world, whose player is this one's copy.
class Player {
 public:
  /// @param jobs of the world's kind, at least one; must outlive it
  Player(World& world, const std::vector<Job>& jobs, Telling telling);
  /// Plays them all, each in a child; what goes wrong is told on stdout. Leaves the world as it is.
  /// @return how many went wrong; at most 100
  std::size_t play();

 private:
  using Faults = std::vector<const Fault*>;
  using Jobs = std::vector<const Job*>;
  struct Plan {
    std::map<std::size_t, Jobs> due;  ///< by the moment of the next fault
    Jobs plain;                       ///< to which nothing more happens
  };
  [[noreturn]] void play_here();
  Verdict meet(const Moment& moment);
  Verdict strike(const Moment& moment, const Faults& faults, const Jobs& jobs);
  void file(const Job& job, std::size_t from);
  void conclude(const std::string& wrong, bool moved_on);
  template <class Child>
  void in_child(const Jobs& jobs, Child go_on);

  World& world_;
  Story story_;
  Telling telling_;
  std::size_t moment_ = 0, failed_ = 0;
  std::unique_ptr<Plan> plan_ = std::make_unique<Plan>();
};

}  // namespace umbra::sim
