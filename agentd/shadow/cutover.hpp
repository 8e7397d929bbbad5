/// One cutover, from the source's side: exactly one owner, whatever dies.
#pragma once

#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "agentd/shadow/context.hpp"
#include "agentd/shadow/definition_guard.hpp"
#include "agentd/shadow/hold.hpp"
#include "agentd/shadow/life.hpp"
#include "netswitch/flip.hpp"

namespace umbra::shadow {

/// The question that makes a standby refuse a cutover's epoch, unless it serves in it.
v1::RefuseRequest refusing(const v1::CutoverRequest& cutover, const std::string& why);

/// Takes a held shadow through armed and promised to moved, or back.
///
///     source                                   standby                         edges, other hosts
///       | compare with what the shadow was made of; a pass through the gate, journal: armed
///       | accept(epoch) -----------------------> | durable: armed
///       | (meanwhile: what is left is milliseconds; libvirt shall not start it here at boot; compare again)
///       | journal: promised                      |
///       | point(VM → tap) ---------------------> |
///       | point(VM → standby) -----------------------------------------------> |
///       | own route → standby                    |
///       | stop; QEMU: pre-switchover             |
///       | migrate-continue, released(epoch) ---> | memory complete, resume, journal: moved
///       | <------------------------ RESUME at …  |
///       | journal: moved
///
/// Before the promise every failure leaves the primary running, untouched. After it the source runs the guest again
/// only on the standby's durable refusal, or when this process knows that it has not sent Released; while neither is
/// so, settle() must be called again later. Agent strand only. Cancelling it would leave the question open: callers do
/// not.
class Cutover {
 public:
  using Progress = std::function<void(const v1::CutoverProgress&)>;

  /// @param vm the primary, with its addresses
  Cutover(SourceContext& context, Hold& hold, Life& life, DefinitionGuard& guard, v1::Vm vm, v1::CutoverRequest request,
          Progress progress);

  /// The whole of it, for a shadow that is warm or hot. Ends with the life in warm (disarmed), dropped, moved; in
  /// armed, where QEMU could not be told to let go; or, where the outcome is OUTCOME_UNDECIDED, still in promised.
  asio::awaitable<v1::CutoverResult> run();

  /// For a life in promised: asks the standby to refuse, and acts on its answer. Also the whole recovery from a crash.
  /// @return OUTCOME_MOVED, OUTCOME_REFUSED (the primary runs again), or OUTCOME_UNDECIDED: try again later
  asio::awaitable<v1::Outcome> settle(std::string why);
  const v1::CutoverResult& result() const { return result_; }
  /// The standby will never run it in this epoch, for certain: the guest runs here again, unless it has ended.
  Task<void> take_back(Event event, std::string why);

 private:
  using Time = std::chrono::steady_clock::time_point;

  Task<void> arm();
  template <class T>
  Result<void> tell_of_a_change(const Result<T>& compared);
  Task<void> look();
  Task<void> accept();
  Task<void> withdraw_autostart();
  Task<void> compare_again();
  bool outdated();
  Error paused();
  Task<void> converge();
  Task<void> stop_guest(bool& answered);
  Task<void> open_once_stopped(const bool& answered);
  Task<void> stop();
  Task<void> hand_over();
  Task<void> go_on();
  Task<v1::ReleasedReply> release(v1::ReleasedRequest released, std::chrono::microseconds& answered);
  Task<bool> run_again();
  Task<bool> ended();
  void tell_of_the_end();
  void tell_how_long_it_stood();
  asio::awaitable<void> give_up(Error error);
  netswitch::Flip flip() { return netswitch::Flip(flip_steps()); }
  std::vector<netswitch::Flip::Step> flip_steps();
  asio::awaitable<void> point_all();
  v1::PointRequest pointing() const;
  v1::UnpointRequest unpointing() const;
  Task<void> reach_routers();
  void enter(std::string phase);
  void tell(double at, const qmp::MigrationInfo& info);
  double since_asked() const;

  SourceContext& context_;
  Hold& hold_;
  Life& life_;
  DefinitionGuard& guard_;
  virt::Definition definition_;  ///< what the standby was handed
  v1::Vm vm_;
  v1::CutoverRequest request_;
  Progress progress_;
  std::shared_ptr<Peer> standby_;
  std::vector<std::pair<v1::Node, std::shared_ptr<Peer>>> routers_;
  Time asked_;
  std::chrono::microseconds asked_wall_;
  bool accepted_ = false;  ///< the standby may have accepted: it must be asked to refuse before anything else
  bool refused_ = false;   ///< the standby did not accept: nothing else needs to be waited for
  v1::CutoverResult result_;
};

}  // namespace umbra::shadow
