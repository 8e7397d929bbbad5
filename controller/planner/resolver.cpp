#include "controller/planner/resolver.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <set>

#include "umbra/v1/agent.rpc.hpp"

namespace umbra::controller {
namespace {

using namespace std::chrono_literals;

constexpr Deadline kLook = 5s;
constexpr Deadline kAct = 30s;
constexpr auto kKeepTelling = 60s;  // a host that yielded to another one waits for that to run
constexpr auto kAgain = 1s;

std::string be_sure(const std::string& host) {
  return fmt::format("bring it back, or make sure that it is off: umbractl fence {}", host);
}

}  // namespace

bool Resolver::fenced(const std::string& host) const {
  const auto* node = inventory_.node(host);
  return node != nullptr && node->is_off();
}

Task<v1::Side> Resolver::ask(std::string host, std::string vm_uuid) {
  v1::Side side;
  side.set_host(host);
  side.set_fenced(fenced(host));
  const auto session = inventory_.session(host);
  if (!session) co_return side;
  v1::AgentClient agent(*session);
  v1::AccountRequest request;
  request.set_vm_uuid(vm_uuid);
  const auto account = co_await agent.account(std::move(request), kLook);
  side.set_reachable(account.has_value());
  if (account) *side.mutable_account() = *account;
  co_return side;
}

Task<std::vector<v1::Side>> Resolver::ask_all(std::vector<std::string> hosts, std::string vm_uuid) {
  std::vector<v1::Side> sides;
  for (const auto& host : hosts) {
    const std::string named = host;
    UMBRA_CO_TRY(auto side, co_await ask(named, vm_uuid));
    sides.push_back(std::move(side));
  }
  co_return sides;
}

Task<std::vector<v1::Side>> Resolver::look(std::string vm_uuid) {
  std::set<std::string> hosts;
  if (const auto move = mover_.open(vm_uuid)) {
    hosts = {move->from, move->to};
    hosts.erase("");
  } else {
    const auto* record = inventory_.vm(vm_uuid);
    if (record == nullptr) co_return fail({Errc::kNotFound, "the VM is gone", "see umbractl vms"});
    if (!record->host.empty()) hosts.insert(record->host);
    for (const auto& [name, node] : inventory_.nodes())
      if (node.claims.contains(vm_uuid)) hosts.insert(name);
  }
  std::vector<std::string> named(hosts.begin(), hosts.end());
  co_return co_await ask_all(std::move(named), std::move(vm_uuid));
}

Task<void> Resolver::yield(std::string host, std::string vm_uuid, Epoch epoch, std::string to) {
  if (fenced(host)) co_return Result<void>{};
  UMBRA_CO_TRY(auto session, inventory_.session(host));
  v1::AgentClient agent(session);
  v1::YieldRequest request;
  request.set_vm_uuid(vm_uuid);
  request.set_epoch(epoch);
  request.set_to(to);
  UMBRA_CO_CHECK(co_await agent.yield(std::move(request), kAct));
  co_return Result<void>{};
}

/// Told again while the answer is not known: the other side has no copy any more.
Task<void> Resolver::run(std::string host, std::string vm_uuid, Epoch epoch) {
  const auto until = clock_.steady() + kKeepTelling;
  while (true) {
    Result<void> told;
    if (const auto session = inventory_.session(host)) {
      v1::AgentClient agent(*session);
      v1::ResolveRequest request;
      request.set_vm_uuid(vm_uuid);
      request.set_epoch(epoch);
      const auto answer = co_await agent.resolve(std::move(request), kAct);
      if (answer) co_return told;
      told = fail(answer.error());
    } else {
      told = fail(session.error());
    }
    const auto code = told.error().code;
    if ((code != Errc::kUnavailable && code != Errc::kTimeout) || clock_.steady() >= until) co_return told;
    co_await inventory_.changed().wait_until(clock_.steady() + kAgain);
  }
}

Result<Resolver::Question> Resolver::question(const std::string& vm_uuid) const {
  const auto* record = inventory_.vm(vm_uuid);
  if (record == nullptr) return fail({Errc::kNotFound, "the VM is gone", "see umbractl vms"});
  if (auto move = mover_.open(vm_uuid)) {
    if (move->asking_since) return Question::of(move);
  } else if (record->alerted || record->vm.state() == v1::VM_STATE_PAUSED) {  // several may have it, or one waits
    Question question{vm_uuid, record->vm.name(), nullptr, {}};
    for (const auto& [name, node] : inventory_.nodes()) {
      if (node.claims.contains(vm_uuid) || name == record->host)
        question.sides.push_back(name);
      else if (node.is_host() && !node.up && !node.fence)  // it has not said that it does not have it
        return fail({Errc::kUnavailable, fmt::format("{} cannot be asked, and may have a copy", name), be_sure(name)});
    }
    if (!question.sides.empty()) return question;
  }
  return fail({Errc::kConflict, "nothing is undecided: no cutover of this VM waits for an answer",
               "umbractl resolve without --keep shows what each side knows"});
}

Task<Epoch> Resolver::settle(Question question, std::string keep, std::string why) {
  if (question.move) co_return co_await settle_marked(question, std::move(keep), std::move(why));
  UMBRA_CO_CHECK(inventory_.begin_move(question.vm_uuid, keep));  // its owner is nobody else's to settle meanwhile
  auto epoch = co_await settle_marked(question, std::move(keep), std::move(why));
  inventory_.end_move(question.vm_uuid);
  co_return epoch;
}

Task<Epoch> Resolver::settle_marked(const Question& question, std::string keep, std::string why) {
  UMBRA_CO_TRY(const auto epoch, inventory_.take_epoch(question.vm_uuid));
  std::string given_up;  // by whom
  for (const auto& side : question.sides) {
    if (side == keep) continue;
    const auto yielded = co_await yield(side, question.vm_uuid, epoch, keep);
    if (!yielded)
      co_return fail({yielded.error().code,
                      fmt::format("{} has not given up its copy, so {} was not told to run: {}", side, keep,
                                  yielded.error().message),
                      yielded.error().remedy.empty()
                          ? fmt::format("bring {0} back, or fence it: umbractl fence {0}", side)
                          : yielded.error().remedy});
    given_up += (given_up.empty() ? "" : " and ") + side;
  }
  const auto runs = co_await run(keep, question.vm_uuid, epoch);
  if (!runs) {
    events_.add(v1::EVENT_KIND_CUTOVER, v1::SEVERITY_ALERT,
                fmt::format("{} gave up its copy for the one on {}, which does not run: {}",
                            given_up.empty() ? "no other host" : given_up, keep, runs.error()),
                {keep, question.vm});
    co_return fail(runs.error());
  }
  if (const auto& move = question.move) {
    mover_.decide(move->vm_uuid, keep == move->to ? v1::OUTCOME_MOVED : v1::OUTCOME_REFUSED, why);
    (void)co_await mover_.end_of(move);
  }
  UMBRA_CO_CHECK(inventory_.settle(question.vm_uuid, keep, epoch));
  co_return epoch;
}

/// Nothing is destroyed before this holds.
Task<void> Resolver::check_sides(const Question& question, const std::string& keep) {
  UMBRA_CO_TRY(const auto sides, co_await ask_all(question.sides, question.vm_uuid));
  for (const auto& side : sides)
    if (side.account().domain() == "running")
      co_return fail({Errc::kConflict, fmt::format("it runs on {}: nothing is undecided", side.host()),
                      "wait a moment, it ends by itself; or end the copy that is wrong, with virsh destroy there"});
  for (const auto& side : sides) {
    if (side.host() == keep && !side.reachable())
      co_return fail({Errc::kUnavailable, fmt::format("{} cannot be asked, so its copy cannot be kept", keep),
                      "bring it back, or keep another one"});
    if (side.host() == keep && !side.account().can_run())
      co_return fail({Errc::kConflict, fmt::format("the copy on {} cannot run: {}", keep, side.account().detail()),
                      "keep another one"});
    if (side.host() != keep && !side.reachable() && !side.fenced())
      co_return fail(
          {Errc::kUnavailable, fmt::format("{} cannot be asked, and may run it", side.host()), be_sure(side.host())});
  }
  co_return Result<void>{};
}

Task<Epoch> Resolver::keep(std::string vm_uuid, std::string keep, std::string reason, std::string actor) {
  UMBRA_CO_TRY(const auto asked, question(vm_uuid));
  if (std::ranges::find(asked.sides, keep) == asked.sides.end())
    co_return fail({Errc::kInvalid, fmt::format("{} is no side of it", keep),
                    fmt::format("keep {}", fmt::join(asked.sides, " or "))});
  UMBRA_CO_CHECK(co_await check_sides(asked, keep));
  auto others = asked.sides;
  std::erase(others, keep);
  events_.add(v1::EVENT_KIND_AUDIT, v1::SEVERITY_WARNING,
              fmt::format("resolve: {} keeps it{}{}{}", keep,
                          others.empty() ? "" : fmt::format(", {} gives up its copy", fmt::join(others, " and ")),
                          reason.empty() ? "" : ": ", reason),
              {keep, asked.vm}, actor);
  auto why = fmt::format("by {}'s decision", actor);
  co_return co_await settle(asked, keep, std::move(why));
}

Task<void> Resolver::settle_fenced(std::string vm_uuid) {
  const auto move = mover_.open(vm_uuid);
  if (!move || !move->asking_since) co_return Result<void>{};
  const bool from = fenced(move->from), to = fenced(move->to);
  if (!from && !to) co_return Result<void>{};
  if (from && to) {
    mover_.decide(vm_uuid, v1::OUTCOME_ABORTED, "both hosts are fenced");
    co_return Result<void>{};
  }
  const auto lives = from ? move->to : move->from;
  UMBRA_CO_TRY(const auto side, co_await ask(lives, vm_uuid));
  if (!side.reachable() || side.account().domain() == "running") co_return Result<void>{};  // it will say so itself
  auto why = fmt::format("{} is fenced", from ? move->from : move->to);
  if (side.account().can_run()) {
    auto question = Question::of(move);
    UMBRA_CO_CHECK(co_await settle(std::move(question), lives, std::move(why)));
    co_return Result<void>{};
  }
  if (!from) co_return fail(Errc::kConflict, "the copy on {} cannot run: {}", lives, side.account().detail());
  // The shadow has not all of the memory: it ends, and the VM may be started from its definition.
  UMBRA_CO_CHECK(co_await yield(lives, vm_uuid, move->epoch, move->from));
  mover_.decide(vm_uuid, v1::OUTCOME_REFUSED, why + ", and the shadow had not all of the memory");
  co_return Result<void>{};
}

}  // namespace umbra::controller
