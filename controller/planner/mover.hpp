/// Moves VMs: a shadow where they shall go, then the cutover to it, and an honest account of how it ended.
#pragma once

#include "base/task_group.hpp"
#include "controller/planner/move.hpp"
#include "controller/planner/shadow_keeper.hpp"

namespace umbra::controller {

/// A cutover belongs to the source's agent: it goes on when we go away. So each one is stored before it is asked for,
/// and stays open until the source has said how it ended, over the stream, in a report, or when asked, or until the
/// journal of either side proves it; also across restarts. Ownership changes only on OUTCOME_MOVED. One move per VM at
/// a time.
class Mover {
 public:
  /// Writes down what else is to be known of an order: in one transaction with it, before it goes out.
  using Note = std::function<void(const Move&)>;
  /// A cutover has ended for certain.
  using Ended = std::function<void(const v1::CutoverResult&)>;

  Mover(Inventory& inventory, Store& store, EventLog& events, Clock& clock, asio::any_io_executor executor,
        TaskGroup& tasks, ShadowKeeper& keeper, const WarrantIssuer& warrants, Ended ended);

  /// Moves a VM to its shadow. In a handler the order has gone out on return, unless nodes must be heard
  /// before an epoch is taken.
  /// @param note not called for a move that ends without an order
  /// @error kNotFound; kConflict it moves already, or has no shadow that is held
  Result<std::shared_ptr<const Move>> cutover(const std::string& vm_uuid, const std::string& reason,
                                              const std::string& actor, Note note = {});
  /// Moves a VM to a host, warming a shadow there first.
  /// @error kNotFound; kConflict it moves already, or is there
  Result<std::shared_ptr<const Move>> migrate(const std::string& vm_uuid, const std::string& to,
                                              const std::string& reason, const std::string& actor);

  /// What a report says of a cutover; ignored unless it belongs to one that is open, or corrects one.
  void reported(const std::string& node, const v1::CutoverResult& result);
  /// Takes up the cutovers that were open when the controller ended. @error of the store
  Result<void> resume();
  /// For as long as the controller lives: a source that cannot learn from its standby that the guest has left it, as
  /// that has lost its journal, is told so.
  asio::awaitable<void> see_off();

  /// The move of this VM that is going on; null without one.
  std::shared_ptr<const Move> open(const std::string& vm_uuid) const;
  /// Somebody who may has decided how the open cutover ends: both sides act on it, or have done so.
  void decide(const std::string& vm_uuid, v1::Outcome outcome, std::string why);

  /// Moves that are going on, for the brain.
  std::vector<std::shared_ptr<const Move>> moves() const;
  /// Notified when any move has news.
  Signal& changed() { return changed_; }

  /// Waits for the end of a move; gives up with OUTCOME_UNDECIDED when the source has been silent for too long, while
  /// the mover goes on asking.
  Task<v1::CutoverResult> end_of(std::shared_ptr<const Move> move);
  /// The result to show while nobody can say how the cutover ended; nothing before patience has run out.
  std::optional<v1::CutoverResult> undecided(const Move& move) const;

 private:
  Result<std::shared_ptr<Move>> begin(const VmRecord& record, const std::string& to, const std::string& reason,
                                      const std::string& actor);
  asio::awaitable<void> run(std::shared_ptr<Move> move, bool warm_first, Note note);
  Task<void> warm(std::shared_ptr<Move> move);
  Task<v1::CutoverResult> cut_over(std::shared_ptr<Move> move, Note note);
  /// Asks for it and follows it. @error anything: how it ended is not known here
  Task<v1::CutoverResult> stream(std::shared_ptr<Move> move, Epoch epoch);
  /// Waits until every node that may know newer epochs has told them.
  asio::awaitable<void> await_epochs();
  /// Takes the next epoch and opens the cutover in it.
  Result<Epoch> enter_epoch(const Move& move, const Note& note);
  /// How the cutover ended by the journals of both sides, as they report what they serve. Nothing: they prove nothing.
  std::optional<v1::CutoverResult> proven(const Move& move, Epoch epoch) const;
  /// Asks the source until it knows, or somebody can prove it.
  asio::awaitable<v1::CutoverResult> ask(std::shared_ptr<Move> move, Epoch epoch, std::string why);
  asio::awaitable<void> resume(std::shared_ptr<Move> move, Epoch epoch);
  /// Does the host have the VM? Nothing when it cannot say.
  std::optional<bool> has(const std::string& host, const std::string& vm_uuid) const;
  bool runs_on(const std::string& host, const std::string& vm_uuid) const;
  /// Has the host accepted a cutover of the VM, and not refused it since?
  bool takes_part(const std::string& host, const std::string& vm_uuid) const;
  Result<v1::CutoverRequest> request(const Move& move, Epoch epoch) const;
  /// VMs of which that host has a paused copy, and another one is the owner.
  std::vector<std::string> paused_elsewhere(const NodeRecord& host) const;
  Task<void> see_off(std::string host, std::string vm_uuid);
  void tell(Move& move, v1::MoveProgress progress);
  void finish(const std::shared_ptr<Move>& move, Result<v1::CutoverResult> end);
  void settle(const v1::CutoverResult& result);

  Inventory& inventory_;
  Store& store_;
  EventLog& events_;
  Clock& clock_;
  TaskGroup& tasks_;
  ShadowKeeper& keeper_;
  const WarrantIssuer& warrants_;
  Ended ended_;
  Signal changed_;
  std::map<std::string, std::shared_ptr<Move>> moves_;  ///< by VM uuid
  std::map<std::string, v1::CutoverResult> reported_;   ///< by VM uuid: how the open one ended
};

}  // namespace umbra::controller
