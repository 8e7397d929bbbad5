// TwoHosts: what is asked of the agents, and what can be seen.
#include <gtest/gtest.h>

#include "agentd/tests/two_hosts.hpp"

namespace umbra::agent::test {
namespace {

using namespace std::chrono_literals;
using shadow::Phase;
using shadow::Side;

constexpr auto kHearEvery = 100ms;

asio::awaitable<void> ask_cutover(Host& host, v1::CutoverRequest request, std::shared_ptr<Move> move) {
  const shadow::Cutover::Progress progress = [move](const v1::CutoverProgress& at) {
    move->phases.push_back(at.phase());
  };
  move->end = co_await host.cutover(std::move(request), progress);
}

}  // namespace

Result<v1::Shadow> TwoHosts::keep(Machine& at, Machine& to, v1::Tier tier) {
  v1::KeepShadowRequest wish;
  wish.set_vm_uuid(kVm);
  *wish.mutable_standby() = to.node;
  wish.set_tier(tier);
  return ask(&at, at.process->host()->keep_shadow(std::move(wish)), 5s);
}

void TwoHosts::resume_by_hand(Machine& machine) {
  asio::co_spawn(world_, machine.hypervisor->resume(kVm, 1s), asio::detached);
}

void TwoHosts::drop(Machine& at, std::string why) {
  v1::DropShadowRequest request;
  request.set_vm_uuid(kVm);
  request.set_why(std::move(why));
  asio::co_spawn(at.process->loop(), at.process->host()->drop_shadow(std::move(request)), asio::detached);
  settle();
}

v1::CutoverRequest TwoHosts::cutover_request(Machine& at, Machine& to) {
  v1::CutoverRequest request;
  request.set_vm_uuid(kVm);
  request.set_epoch(next_epoch());
  *request.mutable_standby() = to.node;
  request.set_reason("test");
  for (auto* one : machines())
    if (one != &at && one != &to) *request.add_routers() = one->node;
  return request;
}

std::shared_ptr<Move> TwoHosts::cutover(Machine& at, v1::CutoverRequest request) {
  auto move = std::make_shared<Move>();
  asio::co_spawn(at.process->loop(), ask_cutover(*at.process->host(), std::move(request), move), asio::detached);
  return move;
}

void TwoHosts::warm() {
  const auto kept = keep(source, standby, v1::TIER_WARM);
  ASSERT_TRUE(kept) << kept.error().text();
  ASSERT_TRUE(until([this] { return phase(source) == Phase::kWarm; }, 10s)) << describe();
}

Phase TwoHosts::phase(Machine& at) const {
  return static_cast<Phase>(shadow(at).phase());
}

v1::Shadow TwoHosts::shadow(Machine& at) const {
  v1::ReportRequest report;
  if (at.process) at.process->report(report);
  return report.shadows().empty() ? v1::Shadow{} : report.shadows(0);
}

std::optional<shadow::Record> TwoHosts::record(Machine& machine, Side side) const {
  const auto records = machine.process->journal().load();
  if (!records) throw std::runtime_error(records.error().text());
  for (const auto& record : records->records)
    if (record.side == side && record.vm_uuid == kVm) return record;
  return std::nullopt;
}

std::optional<virt::Domain> TwoHosts::domain(Machine& machine) {
  const auto found = ask(nullptr, machine.hypervisor->domain(kVm, 1s));
  return found ? std::optional(*found) : std::nullopt;
}

std::string TwoHosts::route(Machine& machine) const {
  const auto route = machine.kernel.route_to(netswitch::IpAddress::parse(kAddress).value()).value();
  if (!route) return "";
  if (!route->via) return route->dev == kTap ? "tap" : route->dev;
  for (const auto* one : {&source, &standby, &edge})
    if (one->node.underlay_address() == route->via->to_string()) return one->name();
  return route->via->to_string();
}

bool TwoHosts::told(v1::Severity severity, std::string_view words) const {
  return std::any_of(events_.begin(), events_.end(), [&](const auto& event) {
    return event.severity() == severity && event.text().find(words) != std::string::npos;
  });
}

void TwoHosts::violate(std::string what) {
  const auto at = clock().steady().time_since_epoch() / 1ms;
  violations_.push_back(fmt::format("at {} ms {}", at, what));
}

/// The guest's memory has one newest copy. Who runs another one turns back time for everybody who talked to the guest.
void TwoHosts::observe() {
  const auto here = qemu(source), there = qemu(standby);
  const bool runs_here = here && here->running(), runs_there = there && there->running();
  if (runs_here && runs_there) {
    if (violations_.empty()) violate("both hosts run the guest");
    return;
  }
  if (!runs_here && !runs_there) return;
  const auto& runs = runs_here ? here : there;
  if (stale_.contains(runs)) {
    stale_.erase(runs);
    violate(fmt::format("{} runs memory that the guest has left behind", runs_here ? source.name() : standby.name()));
  }
  // What a finished migration carried is out of date as soon as its source runs again.
  const auto& other = runs_here ? there : here;
  if (other && other->migration_status() == qmp::MigrationStatus::kCompleted) stale_.insert(other);
  if (running_in_ != runs && running_in_) stale_.insert(running_in_);
  running_in_ = runs;
}

/// Takes the agents' reports.
void TwoHosts::hear() {
  if (clock().steady() < hear_due_) return;
  hear_due_ = clock().steady() + kHearEvery;
  for (auto* one : machines()) {
    if (!one->process) continue;
    v1::ReportRequest report;
    one->process->report(report);
    one->process->outbox().delivered(report);
    events_.insert(events_.end(), report.events().begin(), report.events().end());
    results_.insert(results_.end(), report.cutovers().begin(), report.cutovers().end());
  }
}

void TwoHosts::lead_to(Machine& owner) {
  v1::ReconcileRequest wanted;
  auto* route = wanted.add_routes();
  route->set_vm_uuid(kVm);
  route->set_address(kAddress);
  route->set_epoch(next_epoch());
  route->set_host(owner.name());
  route->set_underlay_address(owner.node.underlay_address());
  for (auto* one : machines()) {
    const auto done = one->process->network().reconcile(wanted);
    if (!done) violate(fmt::format("{} takes no routes: {}", one->name(), done.error()));
  }
}

std::string TwoHosts::disorder() {
  // Time passes while these are asked, and an agent may crash meanwhile: first of all.
  const std::map<Machine*, std::optional<virt::Domain>> domains{{&source, domain(source)}, {&standby, domain(standby)}};
  std::map<Machine*, Result<std::string>> definitions;
  for (auto* one : {&source, &standby}) definitions.emplace(one, ask(nullptr, one->hypervisor->inactive_xml(kVm, 1s)));

  if (!violations_.empty()) return violations_.front();
  for (auto* one : machines())
    if (!one->process) return one->name() + "'s agent is down";
  if (!lan_.whole()) return "the network is parted";
  for (auto* one : {&source, &standby}) {
    v1::ReportRequest report;
    one->process->report(report);
    if (!report.hypervisor_up()) return one->name() + " cannot reach libvirt";
  }
  if (runs(source) == runs(standby)) return runs(source) ? "both hosts run it" : "nobody runs it";
  auto& owner = runs(source) ? source : standby;
  auto& other = runs(source) ? standby : source;
  if (storage_->owner[kImage] != "qemu") return "the image of the VM that runs belongs to " + storage_->owner[kImage];
  if (route(owner) != "tap") return fmt::format("{}, which runs it, routes to '{}'", owner.name(), route(owner));
  for (auto* one : {&other, &edge})
    if (route(*one) != owner.name())
      return fmt::format("{} routes to '{}', but {} runs it", one->name(), route(*one), owner.name());

  const auto kept = shadow(owner);
  const auto phase = static_cast<Phase>(kept.phase());
  const bool held = phase == Phase::kWarm || phase == Phase::kHot;
  if (kept.tier() >= v1::TIER_WARM ? !held : held) return fmt::format("its shadow is {}", to_string(phase));
  const auto shadows = other.process->host()->standby();
  if (!shadows) return other.name() + " is still recovering";
  const bool stands = (*shadows)->holds(kVm);
  if (stands != held) return stands ? "a shadow is left over" : "its shadow is nowhere";
  const auto& left = domains.at(&other);
  if (left.has_value() != held)
    return fmt::format("{} {}", other.name(), held ? "has no domain for the shadow" : "still has a domain of it");
  if (held && qemu(other)->migration_status() != qmp::MigrationStatus::kActive) return "the shadow gets no memory";
  if (other.kernel.link(kTap).has_value() != held)
    return fmt::format("{} {} the tap", other.name(), held ? "lacks" : "still has");

  const auto is = [&](Machine& machine, Side side, std::initializer_list<Phase> any_of) {
    const auto found = record(machine, side);
    return !found || std::find(any_of.begin(), any_of.end(), found->phase) != any_of.end();
  };
  if (!is(owner, Side::kSource, {Phase::kDropped, phase})) return "the owner's journal does not say what it keeps";
  if (!is(owner, Side::kStandby, {Phase::kMoved, Phase::kDropped}))
    return "the owner's journal still has it as a shadow";
  if (!is(other, Side::kSource, {Phase::kDropped})) return "the other host's journal has it as its own";
  if (!is(other, Side::kStandby, {Phase::kDropped, held ? Phase::kStaged : Phase::kMoved}))
    return "the other host's journal is wrong about the shadow";

  const auto& definition = definitions.at(&owner);
  if (definition.has_value() != options_.persistent)
    return options_.persistent ? "it is not persistent any more" : "it was made persistent";
  if (definition && definition->find("-incoming") != std::string::npos) return "its definition carries -incoming";
  return "";
}

std::string TwoHosts::describe() {
  std::string text = fmt::format("at {} ms, newest epoch {}\n", clock().steady().time_since_epoch() / 1ms, epoch_);
  for (auto* one : machines()) {
    text += fmt::format("  {}: route '{}'", one->name(), route(*one));
    if (one->is_host()) {
      const auto guest = qemu(*one);
      text += guest ? fmt::format(", QEMU {} / migration {}", static_cast<int>(guest->run_state()),
                                  static_cast<int>(guest->migration_status()))
                    : ", no QEMU";
    }
    if (!one->process) {
      text += ", agent down\n";
      continue;
    }
    for (const auto side : {Side::kSource, Side::kStandby})
      if (one->is_host())
        if (const auto found = record(*one, side))
          text += fmt::format(", {} {} in epoch {}", side == Side::kSource ? "source" : "standby",
                              to_string(found->phase), found->epoch);
    v1::ReportRequest report;
    one->process->report(report);
    if (!report.shadows().empty())
      text += fmt::format(", keeps a shadow: {} ({})", to_string(phase(*one)), report.shadows(0).detail());
    text += '\n';
    for (const auto& event : report.events()) text += fmt::format("    not yet told: {}\n", event.text());
  }
  for (const auto& event : events_)
    text += fmt::format("  {} {} {}: {}\n", event.at_unix_ms() % 10'000'000, v1::Severity_Name(event.severity()),
                        event.node(), event.text());
  for (const auto& violation : violations_) text += "  VIOLATION " + violation + '\n';
  return text;
}

}  // namespace umbra::agent::test
