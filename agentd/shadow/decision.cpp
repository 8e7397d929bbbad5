// A cutover that neither side can decide, ended by the controller's word: one side yields, then the other runs.
#include <spdlog/spdlog.h>

#include "agentd/shadow/source.hpp"
#include "agentd/shadow/standby_shadow.hpp"
#include "qmp/codec.hpp"

namespace umbra::shadow {
namespace {

using namespace std::chrono_literals;

constexpr Deadline kCall = 5s;
constexpr Deadline kDecide = 20s;  // the source looks at it at its next step
constexpr auto kDecisionPoll = 50ms;

}  // namespace

Task<void> Source::tell(v1::VmAccount* account) {
  account->set_source_phase(std::string(to_string(life_.phase())));
  account->set_source_epoch(life_.epoch());
  if (hold_) {
    const auto status = co_await hold_->qmp().status(kCall);
    if (status) account->set_qemu(std::string(qmp::to_string(status->state)));
  }
  // Until the standby has answered, this is the guest's whole memory, whatever was sent of it.
  if (life_.phase() == Phase::kPromised && account->domain() == "paused")
    account->set_can_run(true);
  else
    account->set_detail(life_.phase() == Phase::kPromised ? "its QEMU has ended" : "it has promised nothing");
  co_return Result<void>{};
}

Task<void> Source::decide(Decision decision) {
  if (life_.phase() != Phase::kPromised && !(decision == Decision::kYield && life_.phase() == Phase::kMoved))
    co_return fail(Errc::kConflict, "{} is {} here: nothing is undecided", vm_.name(), to_string(life_.phase()));
  decision_ = decision;
  undecided_because_.clear();
  changed_.notify();
  const auto until = context_.clock.steady() + kDecide;
  const auto open = [this, decision] {
    return decision == Decision::kYield ? life_.phase() != Phase::kDropped : life_.phase() == Phase::kPromised;
  };
  while (open() && !stopping_ && context_.clock.steady() < until)
    co_await changed_.wait_until(context_.clock.steady() + kDecisionPoll);
  if (!open()) co_return Result<void>{};
  co_return fail(Errc::kTimeout, "it is not decided here yet{}{}", undecided_because_.empty() ? "" : ": ",
                 undecided_because_);
}

/// In promised, with the controller's word instead of the standby's answer.
asio::awaitable<void> Source::carry_out(Cutover& cutover) {
  if (decision_ == Decision::kYield) {
    last_cutover_ = account_of(life_.record(), context_.config.node, v1::OUTCOME_MOVED, "given up here by decision");
    last_cutover_->set_vm(vm_.name());
    const auto written = co_await life_.apply(Event::kServe);
    if (!written) undecided_because_ = written.error().message;  // and asked again
    if (!written) decision_.reset();
    co_return;  // leave() ends what is here
  }
  decision_.reset();
  std::string why = "decided by the controller";
  const auto back = co_await cutover.take_back(Event::kRefuse, std::move(why));
  if (!back) {
    undecided_because_ = back.error().message;
    co_return;
  }
  if (!last_cutover_) last_cutover_ = cutover.result();
  last_cutover_->set_outcome(v1::OUTCOME_REFUSED);
  context_.ended(*last_cutover_);
  backoff_ = 0ms;
  hold_.reset();
  changed_.notify();
}

Task<void> Standby::tell(std::string vm_uuid, v1::VmAccount* account) {
  const auto found = shadows_.find(vm_uuid);
  if (found == shadows_.end()) {
    if (const auto known = epochs_.find(vm_uuid); known != epochs_.end()) {
      const auto served = served_.find(vm_uuid);
      const bool here = served != served_.end() && served->second == known->second;
      account->set_standby_phase(here ? "moved" : "dropped");
      account->set_standby_epoch(known->second);
    }
    co_return Result<void>{};
  }
  const auto shadow = found->second;
  account->set_standby_phase(std::string(to_string(shadow->life.phase())));
  account->set_standby_epoch(shadow->life.epoch());
  if (shadow->watch) {
    const auto status = co_await shadow->watch->qmp().status(kCall);
    if (status) account->set_qemu(std::string(qmp::to_string(status->state)));
    const auto looked = co_await shadow->watch->ask(kCall);
    if (!looked) spdlog::warn("{}: {}", shadow->name(), looked.error());
  }
  const bool complete = shadow->watch && shadow->watch->status() == qmp::MigrationStatus::kCompleted && !shadow->gone;
  account->set_can_run(shadow->accepted() && complete);
  if (!complete)
    account->set_detail("its shadow has not all of the guest's memory");
  else if (!shadow->accepted())
    account->set_detail("its shadow has accepted no cutover");
  co_return Result<void>{};
}

std::uint64_t Standby::accepted_epoch(const std::string& vm_uuid) const {
  const auto found = shadows_.find(vm_uuid);
  return found != shadows_.end() && found->second->accepted() ? found->second->life.epoch() : 0;
}

/// Outside of any cutover the VM has become this host's.
void Standby::took(const std::string& vm_uuid, std::uint64_t epoch) {
  outdate(vm_uuid, epoch);
  served_[vm_uuid] = std::max(served_[vm_uuid], epoch);
}

void Standby::took_not(const std::string& vm_uuid, std::uint64_t served) {
  served_.erase(vm_uuid);
  if (served != 0) served_[vm_uuid] = served;
}

}  // namespace umbra::shadow
