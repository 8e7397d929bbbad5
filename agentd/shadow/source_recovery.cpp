// What a source does with a cutover, or a shadow, of an earlier life of the agent; and when the VM has moved away.
#include <spdlog/spdlog.h>

#include "agentd/shadow/source.hpp"
#include "base/fault_point.hpp"

namespace umbra::shadow {
namespace {

using namespace std::chrono_literals;

constexpr Deadline kCall = 5s;
constexpr auto kLateCall = 60s;  // libvirt gives up waiting for its turn with a domain after half of that
constexpr auto kLeastBackoff = 1s;
constexpr auto kMostBackoff = 60s;
constexpr auto kAskAgain = 10s;  // a standby that could not say who owns the VM

}  // namespace

v1::CutoverResult account_of(const Record& record, const std::string& node, v1::Outcome outcome, std::string detail) {
  v1::CutoverRequest request;
  v1::CutoverResult result;
  if (!request.ParseFromString(record.cutover)) detail = "the journal's record of it is damaged";
  result.set_vm_uuid(record.vm_uuid);
  result.set_from(node);
  result.set_to(request.standby().name());
  result.set_epoch(request.epoch());
  result.set_reason(request.reason());
  result.set_outcome(outcome);
  result.set_detail(std::move(detail));
  return result;
}

void Source::account(v1::Outcome outcome, std::string detail) {
  last_cutover_ = account_of(life_.record(), context_.config.node, outcome, std::move(detail));
  last_cutover_->set_vm(vm_.name());
  if (outcome != v1::OUTCOME_UNDECIDED) context_.ended(*last_cutover_);
}

/// Acts on the phase that an earlier life of the agent wrote last. QEMU and the standby know the truth.
asio::awaitable<void> Source::recover() {
  const auto& record = life_.record();
  guard_.take_up(record.origin);
  if (!record.wish.empty() && built_.ParseFromString(record.wish)) {
    if (!wish_) wish_ = built_;
    standby_ = context_.peers.peer(built_.standby());
  }
  const auto domain = co_await primary();
  if (!domain) spdlog::info("{}: {}", uuid_, domain.error());
  switch (life_.phase()) {
    case Phase::kProfile:
    case Phase::kDropped:
      break;
    case Phase::kStaging:
    case Phase::kStaged:
    case Phase::kPrecopy:
    case Phase::kArmed: {  // half made, or a cutover that promised nothing
      co_await take_up_gate();
      take_monitor();
      if (life_.phase() == Phase::kArmed) {
        v1::CutoverRequest given_up;
        given_up.ParseFromString(life_.record().cutover);
        auto refuse = refusing(given_up, "the source's agent was restarted before it promised");
        refuse.set_vm_uuid(uuid_);
        refuse.set_epoch(life_.epoch());
        const auto refused = co_await standby_->refuse(std::move(refuse), kCall);
        if (!refused) spdlog::warn("{}: {}", uuid_, refused.error());
        account(v1::OUTCOME_ABORTED, "the agent was restarted before it promised");
      }
      const auto dropped = co_await drop("the agent was restarted");
      if (!dropped) spdlog::error("{}: {}", uuid_, dropped.error());
      break;
    }
    case Phase::kWarm:
    case Phase::kHot: {
      co_await take_up_gate();
      take_monitor();
      const auto adopted = co_await hold_->adopt(kCall);
      if (adopted) {
        refresh_due_ = context_.clock.steady();
        const auto set = hold_->watch().halted() ? Result<void>{} : co_await as_its_tier_wants();
        if (!set) spdlog::warn("{}: {}", vm_.name(), set.error());  // keep() finds out what has become of it
        spdlog::info("{}: took up the hold towards {}", vm_.name(), built_.standby().name());
        break;
      }
      if (hypervisor_up_) {
        const auto dropped = co_await drop(adopted.error().message);
        if (!dropped) spdlog::error("{}: {}", uuid_, dropped.error());
      }
      break;
    }
    case Phase::kPromised:  // run() settles it
      account(v1::OUTCOME_UNDECIDED, "the agent was restarted in the middle of it");
      break;
    case Phase::kMoved:  // run() clears away what is left
      account(v1::OUTCOME_MOVED, "");
      break;
    case Phase::kServing:
      break;  // never written on this side
  }
}

/// In promised: asks until the standby has answered for certain.
asio::awaitable<void> Source::settle() {
  if (vm_.name().empty()) {  // its addresses are needed
    const auto known = co_await primary();
    if (!known && vm_.name().empty() && known.error().code != Errc::kNotFound) {
      co_await pause(kLeastBackoff);
      co_return;
    }
  }
  v1::CutoverRequest request;
  if (!request.ParseFromString(life_.record().cutover)) {
    context_.note(v1::SEVERITY_ALERT, vm_.name(),
                  "the journal's record of its cutover is damaged: look at both hosts, then resume it on one");
    co_await pause(kMostBackoff);
    co_return;
  }
  co_await take_up_gate();
  take_monitor();  // libvirt may have come back since
  Cutover cutover(context_, *hold_, life_, guard_, vm_, request, [](const auto&) {});
  if (decision_) {
    co_await carry_out(cutover);
    co_return;
  }
  const auto outcome = co_await cutover.settle("the cutover broke off");
  if (outcome == v1::OUTCOME_UNDECIDED) {
    auto why = cutover.result().detail();
    if (why.empty())
      why = fmt::format("nobody can say whether it runs on {0}; it stays as it is here until {0} answers",
                        request.standby().name());
    if (backoff_ == 0ms || why != told_undecided_) context_.note(v1::SEVERITY_ALERT, vm_.name(), why);
    told_undecided_ = std::move(why);
    backoff_ = backoff_ == 0ms ? kLeastBackoff : std::min<std::chrono::milliseconds>(backoff_ * 2, kAskAgain);
    co_await pause(backoff_);
    co_return;
  }
  if (!last_cutover_) last_cutover_ = cutover.result();
  last_cutover_->set_outcome(outcome);
  context_.ended(*last_cutover_);
  backoff_ = 0ms;
  if (outcome == v1::OUTCOME_REFUSED) {
    hold_.reset();
    late_stop_until_ = context_.clock.steady() + kLateCall;
  }
}

/// After libvirt came back: its QEMU and the hold in it lived on.
Task<void> Source::reattach() {
  reattach_ = false;
  const auto domain = co_await primary();
  if (!domain && domain.error().code == Errc::kUnavailable) {
    reattach_ = true;
    co_return fail(domain.error());
  }
  if (!domain) co_return fail(domain.error());
  if (!hold_) co_return Result<void>{};
  take_monitor();
  UMBRA_CO_CHECK(co_await hold_->adopt(kCall));
  if (held() && !hold_->watch().halted()) UMBRA_CO_CHECK(co_await as_its_tier_wants());
  co_return Result<void>{};
}

/// A step failed: drop what is there, and try again later. While libvirt is away nothing is dropped.
asio::awaitable<void> Source::failed(Error error) {
  status_.set_detail(error.text());
  if (!hypervisor_up_ || unknown(error)) spdlog::warn("{}: {}", vm_.name().empty() ? uuid_ : vm_.name(), error);
  if (!hypervisor_up_) co_return;
  if (exists(life_.phase()) && life_.phase() != Phase::kPromised && life_.phase() != Phase::kMoved) {
    const std::string why = given_up_.value_or(error.message);
    const auto dropped = co_await drop(why);
    if (!dropped) spdlog::error("{}: {}", vm_.name(), dropped.error());
    status_.set_detail(error.text());
  }
  backoff_ = backoff_ == 0ms ? kLeastBackoff : std::min<std::chrono::milliseconds>(backoff_ * 2, kMostBackoff);
  const auto until = context_.clock.steady() + backoff_;
  const auto waited = backoff_;
  asked_again_ = false;
  // A new wish or a change of the domain resets the back-off, and so ends the wait.
  while (!stopping_ && backoff_ == waited && !asked_again_ && context_.clock.steady() < until)
    co_await changed_.wait_until(until);
}

/// The VM lives elsewhere: what is left of it here goes. Runs again after a crash.
asio::awaitable<void> Source::leave() {
  hold_.reset();
  gate_.reset();  // it ends with its stream
  const auto arrived = context_.clock.steady() + kArrival;
  while (!stopping_ && context_.clock.steady() < arrived) co_await changed_.wait_until(arrived);
  for (auto wait = kLeastBackoff; !stopping_; wait = std::min<std::chrono::seconds>(wait * 2, kMostBackoff)) {
    co_await fault_point("clean-up");
    auto cleared = co_await clear_away();
    life_.set_wish({});
    if (cleared) cleared = co_await life_.apply(Event::kDrop);
    if (cleared) break;
    context_.note(contradicted_ ? v1::SEVERITY_ALERT : v1::SEVERITY_WARNING, vm_.name(),
                  fmt::format("moved away, but not cleared away yet: {}", cleared.error()));
    co_await pause(wait);
  }
  context_.changed();
}

/// What people changed after the last comparison and before the guest was gone. Of the definition it follows the VM; of
/// devices and disks it cannot, and is told.
asio::awaitable<void> Source::pass_on_changes() {
  if (!guard_.handed_over()) co_return;
  const virt::Definition before = *guard_.handed_over();
  auto now = co_await context_.hypervisor.definition(uuid_, kCall);
  if (!now || now->live_xml.empty()) co_return;
  const auto change = virt::change_between(before, *now);
  if (!change || !*change) co_return;
  const auto device = virt::device_difference(before.live_xml, now->live_xml);
  now->autostart = before.autostart;  // withdrawn here for the cutover
  if (device && *device) {            // what is stored here goes with devices that it does not have there
    const auto live = std::move(now->live_xml);
    now = before;
    now->live_xml = live;
  }
  v1::CutoverRequest cutover;
  cutover.ParseFromString(life_.record().cutover);
  v1::AmendRequest amend;
  amend.set_vm_uuid(uuid_);
  amend.set_epoch(life_.epoch());
  *amend.mutable_vm() = vm_;
  *amend.mutable_kept() = to_wire(*now);
  *amend.mutable_warrant() = cutover.warrant();
  const auto amended = co_await standby_->amend(std::move(amend), kCall);
  if (device && *device)
    context_.note(
        v1::SEVERITY_WARNING, vm_.name(),
        fmt::format("it was changed on {} in the moment it moved: {}; that is not so on {}: do it again there",
                    context_.config.node, **device, built_.standby().name()));
  else if (!amended)
    context_.note(
        v1::SEVERITY_WARNING, vm_.name(),
        fmt::format("it was changed on {} in the moment it moved: {}; {} could not be told of it: do it again "
                    "there ({})",
                    context_.config.node, **change, built_.standby().name(), amended.error()));
}

Task<void> Source::clear_away() {
  co_await pass_on_changes();
  const auto domain = co_await context_.hypervisor.domain(uuid_, kCall);
  if (!domain && domain.error().code != Errc::kNotFound) co_return fail(domain.error());
  if (domain && domain->state != virt::DomainState::kShutOff) {
    UMBRA_CO_TRY(const bool left, co_await has_left());
    if (!left) co_return Result<void>{};
    UMBRA_CO_CHECK(co_await context_.hypervisor.destroy(uuid_, virt::Ending::kMovedAway, kCall));
  }
  if (domain && domain->persistent) UMBRA_CO_CHECK(co_await context_.hypervisor.undefine(uuid_, kCall));
  co_return context_.network.detach(uuid_);
}

/// Nothing is destroyed on the journal's word alone: QEMU must say that the guest left, or the standby that it has it.
/// @return false: it has come back since, and the journal is from before that
Task<bool> Source::has_left() {
  if (decision_ == Decision::kYield) co_return true;  // by the controller's word, in its journal too
  qmp::Client qmp(context_.hypervisor.monitor(uuid_));
  UMBRA_CO_TRY(const auto status, co_await qmp.status(kCall));
  if (status.state == qmp::RunState::kPostMigrate) co_return true;
  v1::InspectRequest inspect;
  inspect.set_vm_uuid(uuid_);
  inspect.set_epoch(life_.epoch());
  *inspect.mutable_warrant() = built_.warrant();
  UMBRA_CO_TRY(const auto there, co_await standby_->inspect(std::move(inspect), kCall));
  if (!status.running && there.running()) co_return true;
  if (status.running && !there.running() && there.epoch() > life_.epoch()) {
    context_.note(v1::SEVERITY_WARNING, vm_.name(),
                  fmt::format("the journal of {} is from before it came back from {}: it runs here, and stays as it is",
                              context_.config.node, built_.standby().name()));
    co_return false;
  }
  if (status.running && !std::exchange(contradicted_, true)) context_.changed();
  co_return fail(
      {Errc::kConflict,
       fmt::format("{} was moved to {}, but QEMU here does not say that it left", vm_.name(), built_.standby().name()),
       "look at both hosts: virsh domstate; destroy the one that is not the owner"});
}

}  // namespace umbra::shadow
