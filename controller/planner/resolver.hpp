/// Ends what hosts cannot decide among themselves: a cutover neither side of which knows how it ended, or paused copies
/// of a VM whose owner nobody knows any more. By a person's word, or because a side is fenced.
#pragma once

#include "controller/planner/mover.hpp"

namespace umbra::controller {

/// The side that gives up destroys its copy, durably, before the other is told to run; a side that is fenced has none.
/// So at no moment may both run. Nothing is destroyed before the side that is kept has said that its copy can run.
/// Controller's thread only.
class Resolver {
 public:
  Resolver(Inventory& inventory, EventLog& events, Clock& clock, Mover& mover)
      : inventory_(inventory), events_(events), clock_(clock), mover_(mover) {}

  /// What each host that has to do with the VM knows of it: both sides of an open cutover, else its owner and whoever
  /// says to have it.
  Task<std::vector<v1::Side>> look(std::string vm_uuid);
  /// Lets `keep` run; every other side gives up its copy.
  /// @return the epoch in which it does
  /// @error kConflict nothing is undecided, or that copy cannot run; kUnavailable a side cannot be asked; what a side
  ///        says
  Task<Epoch> keep(std::string vm_uuid, std::string keep, std::string reason, std::string actor);
  /// Ends a cutover one side of which is fenced: by the copy that can run, if there is one.
  Task<void> settle_fenced(std::string vm_uuid);

 private:
  /// What is undecided about a VM.
  struct Question {
    std::string vm_uuid, vm;
    std::shared_ptr<const Move> move;  ///< none: the store that knew of it was lost, or restored from a backup
    std::vector<std::string> sides;

    static Question of(const std::shared_ptr<const Move>& move) {
      return {move->vm_uuid, move->vm, move, {move->from, move->to}};
    }
  };
  Result<Question> question(const std::string& vm_uuid) const;
  Task<void> check_sides(const Question& question, const std::string& keep);
  Task<v1::Side> ask(std::string host, std::string vm_uuid);
  Task<std::vector<v1::Side>> ask_all(std::vector<std::string> hosts, std::string vm_uuid);
  bool fenced(const std::string& host) const;
  Task<void> yield(std::string host, std::string vm_uuid, Epoch epoch, std::string to);
  Task<void> run(std::string host, std::string vm_uuid, Epoch epoch);
  Task<Epoch> settle(Question question, std::string keep, std::string why);
  Task<Epoch> settle_marked(const Question& question, std::string keep, std::string why);

  Inventory& inventory_;
  EventLog& events_;
  Clock& clock_;
  Mover& mover_;
};

}  // namespace umbra::controller
