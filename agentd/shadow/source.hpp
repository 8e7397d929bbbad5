/// One VM's shadow, from the host that runs the VM.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "agentd/shadow/context.hpp"
#include "agentd/shadow/cutover.hpp"
#include "agentd/shadow/definition_guard.hpp"
#include "agentd/shadow/leases.hpp"

namespace umbra::shadow {

/// What the journal tells of a cutover, where nobody remembers more.
v1::CutoverResult account_of(const Record& record, const std::string& node, v1::Outcome outcome, std::string detail);

/// Builds the shadow that is wanted, keeps it fresh, cuts over, and rebuilds it when it is lost.
///
/// One coroutine, run(), does everything that changes anything; the other calls leave a wish and wake it. So no two
/// steps of one shadow ever overlap. run() ends only when the VM has moved away or the agent stops.
/// Agent strand only.
class Source {
 public:
  /// @param record from the journal, or the first one of a VM that had none
  Source(SourceContext& context, Record record);
  ~Source();

  asio::awaitable<void> run();
  /// run() ends soon; the hold stays open in QEMU, for the agent's next life.
  void stop();

  /// The newest wish wins.
  void want(v1::KeepShadowRequest wish);
  void unwant(std::string why);
  /// What was staged as `id` is not on its standby any more, or out of reach: it is built again.
  void lost(const v1::ShadowId& id, std::string why);
  /// What the standby is to keep, if anything may be there.
  std::optional<Kept> kept() const;
  bool wanted() const { return wish_.has_value(); }

  /// @error kConflict no shadow is held, another cutover runs, or an old epoch
  Task<v1::CutoverResult> cutover(v1::CutoverRequest request, Cutover::Progress progress);
  const std::optional<v1::CutoverResult>& last_cutover() const { return last_cutover_; }

  /// Is it told to start at boot, though a cutover from here has withdrawn that, or may have? Nothing: none has.
  std::optional<bool> withdrawn_autostart() const {
    return guard_.autostart_withdrawn() ? std::optional(guard_.autostart()) : std::nullopt;
  }

  /// The controller's word on a cutover that nobody else can decide.
  enum class Decision : std::uint8_t {
    kRun,    ///< the standby gave its copy up: this one runs
    kYield,  ///< this copy is destroyed, whatever the standby's does
  };
  /// @error kConflict nothing is undecided; kTimeout it is not carried out yet
  Task<void> decide(Decision decision);
  /// Adds this side's share; `account` has libvirt's already.
  Task<void> tell(v1::VmAccount* account);

  /// From the agent: this domain was started, stopped, paused …; its definition or devices were changed; libvirt came
  /// or went.
  /// @param anew its guest has just begun again, or ended
  void domain_changed(bool anew);
  void definition_changed();
  /// What waits for a person is told once more: whoever was told before may have lost it.
  void tell_again();
  void hypervisor_changed(bool up);

  v1::Shadow status() const;
  /// Names the newest shadow that was staged.
  v1::ShadowId id() const;
  Phase phase() const { return life_.phase(); }
  /// What the journal holds of it now.
  const Record& record() const { return life_.record(); }
  /// One is asked for, and not ended.
  bool cuts_over() const { return pending_ != nullptr; }
  /// Its journal says that the guest has left, and it runs here: nobody but a person can say which is right.
  bool contradicted() const { return contradicted_; }
  /// After run(): did the VM move away?
  bool moved() const { return last_cutover_ && last_cutover_->outcome() == v1::OUTCOME_MOVED; }

 private:
  struct Pending;

  Task<void> step();
  Task<void> stage();
  Task<void> precopy();
  Task<void> keep();
  Task<void> compare();
  asio::awaitable<void> give_back_autostart();
  Task<void> refresh();
  Task<void> follow();
  asio::awaitable<void> look_at_gate();
  Task<void> as_its_tier_wants();
  Task<void> wait_suspended();
  void end_gate(std::string why);
  Error lost(std::string_view what) const;
  Result<void> look_for_progress(bool passed, bool sent);
  Task<std::shared_ptr<Gate>> open_gate();
  Task<void> perform(std::shared_ptr<Pending> pending);
  Task<void> reattach();
  Task<std::uint64_t> observe();
  void take(const qmp::MigrationInfo& info);
  Task<void> drop(std::string why);
  void tell_dropped(std::string text);
  Task<void> let_go();
  asio::awaitable<void> live();
  void take_monitor();
  Error no_libvirt() const;
  Result<void> undisturbed();
  void answer(Result<v1::CutoverResult> result);
  void account(v1::Outcome outcome, std::string detail);
  asio::awaitable<void> recover();
  asio::awaitable<void> take_up_gate();
  asio::awaitable<void> settle();
  asio::awaitable<void> carry_out(Cutover& cutover);
  asio::awaitable<void> leave();
  asio::awaitable<void> pass_on_changes();
  Task<void> clear_away();
  Task<bool> has_left();
  asio::awaitable<void> failed(Error error);
  asio::awaitable<void> pause(std::chrono::milliseconds at_most);
  Task<virt::Domain> primary();
  Task<void> undo_late_stop();
  std::chrono::milliseconds interval() const;
  bool held() const { return is_held(life_.phase()); }

  SourceContext& context_;
  std::string uuid_;
  Life life_;
  DefinitionGuard guard_;
  Signal changed_;
  std::unique_ptr<Hold> hold_;
  std::shared_ptr<Peer> standby_;
  std::optional<v1::KeepShadowRequest> wish_;
  v1::KeepShadowRequest built_;  ///< the wish that what exists was built for
  v1::Vm vm_;
  unsigned channels_ = 1;                      ///< of its stream
  std::string stream_;                         ///< where the staged shadow's gate waits
  std::shared_ptr<Gate> gate_;                 ///< of its stream
  std::chrono::microseconds pause_{};          ///< hot: between passes
  std::uint64_t passes_ = 0;                   ///< hot: QEMU's, at the last look
  Signal::TimePoint passed_at_{}, sent_at_{};  ///< hot: when a pass was seen to have ended, and anything to go out
  std::string behind_;                         ///< what was told of that
  BytesPerSecond link_{};                      ///< what was seen to go through while memory was first copied
  std::string unwanted_because_;
  std::string busy_;                     ///< the block job that bars a cutover now; empty without one
  std::optional<std::string> given_up_;  ///< why what exists must go; until it has gone nothing is built on it
  std::shared_ptr<Pending> pending_;
  std::optional<v1::CutoverResult> last_cutover_;
  v1::Shadow status_;
  Signal::TimePoint refresh_due_{};
  Signal::TimePoint compare_due_{};
  Signal::TimePoint gate_due_{};         ///< when its counters are looked at next
  Signal::TimePoint late_stop_until_{};  ///< a stop of a cutover that was taken back may yet be done
  Signal::TimePoint suspended_until_{};  ///< the guest is suspended, and its shadow kept until then
  Signal::TimePoint rest_until_{};       ///< the guest shuts down or reboots: no shadow until then
  std::chrono::milliseconds backoff_{0};
  std::optional<Decision> decision_;
  std::string told_undecided_;     ///< why nobody can say who owns it
  std::string undecided_because_;  ///< why the last decision was not carried out
  bool powered_down_ =
      false;  ///< the guest that was asked to shut down has done so: what was told of it came in between
  bool hypervisor_up_ = true;
  bool reattach_ = false;
  std::string told_dropped_;             ///< the last end of a shadow that was told, since one was warm
  Signal::TimePoint tell_dropped_at_{};  ///< when the same is told again
  bool renewed_ = false;                 ///< a wish has come that is not taken up yet
  bool asked_again_ = false;             ///< a wish ends the pause after a failure
  bool look_ = false;                    ///< libvirt told of a change of the domain
  bool contradicted_ = false;
  bool stopping_ = false;
};

}  // namespace umbra::shadow
