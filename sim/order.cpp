// World: what must hold at every step, and once nothing is going on.
#include <boost/asio/co_spawn.hpp>

#include "qmp/codec.hpp"
#include "sim/world.hpp"

namespace umbra::sim {
namespace {

using namespace std::chrono_literals;
using shadow::Phase;
using shadow::Side;

std::optional<shadow::Record> record_of(agent::Agent& agent, Side side) {
  const auto contents = agent.journal()->load();
  if (!contents) return std::nullopt;
  for (const auto& record : contents->records)
    if (record.side == side && record.vm_uuid == World::kVm) return record;
  return std::nullopt;
}

bool is_held(v1::ShadowPhase phase) {
  return phase == v1::SHADOW_PHASE_WARM || phase == v1::SHADOW_PHASE_HOT;
}

}  // namespace

void World::tell(std::string what) {
  story_.push_back(fmt::format("{:>8} ms  {}", now().count(), std::move(what)));
}

void World::violate(std::string what) {
  tell("VIOLATION: " + what);
  violations_.push_back(std::move(what));
}

/// The guest's memory has one newest copy. Who runs another one turns back time for everybody who talked to the guest.
void World::observe() {
  const Machine* runs_on = nullptr;
  for (const auto& one : machines_) {
    if (!one->is_host() || !runs(*one)) continue;
    if (runs_on != nullptr) {
      if (violations_.empty()) violate(fmt::format("{} and {} both run the guest", runs_on->name, one->name));
      return;
    }
    runs_on = one.get();
  }
  if (runs_on == nullptr) return;
  const auto guest = qemu(*runs_on);
  if (running_in_ == guest) return;
  tell(runs_on->name + " runs the guest");
  const bool newest_lives =
      std::ranges::any_of(machines_, [this](const auto& one) { return one->is_host() && qemu(*one) == running_in_; });
  if (stale_.erase(guest) > 0 && (newest_lives || !decided_))  // else a person chose what was left
    violate(runs_on->name + " runs memory that the guest has left behind");
  // What a finished migration carried is out of date as soon as its source runs again.
  for (const auto& one : machines_)
    if (one->is_host() && one.get() != runs_on)
      if (const auto other = qemu(*one); other && other->migration_status() == qmp::MigrationStatus::kCompleted)
        stale_.insert(other);
  if (running_in_) stale_.insert(running_in_);
  running_in_ = guest;
}

Machine* World::runner() {
  Machine* found = nullptr;
  for (const auto& one : machines_)
    if (one->is_host() && runs(*one)) found = found == nullptr ? one.get() : throw std::runtime_error("two runners");
  return found;
}

const controller::VmRecord* World::record() {
  auto& process = controller().process;
  return process && process->controller() != nullptr ? process->controller()->core().inventory.vm(kVm) : nullptr;
}

v1::ShadowPhase World::shadow_phase() {
  const auto* known = record();
  return known != nullptr && known->shadow ? known->shadow->phase() : v1::SHADOW_PHASE_PROFILE;
}

std::string World::route(Machine& machine) const {
  const auto route = machine.kernel.route_to(netswitch::IpAddress::parse(kAddress).value()).value();
  if (!route) return "";
  if (!route->via) return route->dev == kTap ? "tap" : route->dev;
  for (const auto& one : machines_)
    if (one->config.underlay_address == route->via->to_string()) return one->name;
  return route->via->to_string();
}

bool World::alerted(std::string_view words, std::string_view by) {
  return told(words, v1::SEVERITY_ALERT, by);
}

bool World::told(std::string_view words, v1::Severity at_least, std::string_view by) {
  auto& process = controller().process;
  if (!process) return false;
  const auto events = process->controller()->core().events.events(1000, "", 0);
  return events && std::ranges::any_of(*events, [=](const v1::Event& event) {
           return event.severity() >= at_least && (by.empty() || event.node() == by) && event.vm() == kName &&
                  event.text().find(words) != std::string::npos;
         });
}

std::string World::disorder() {
  if (!violations_.empty()) return violations_.front();
  for (const auto& one : machines_)
    if (!one->process) return one->name + " is down";
  if (!lan_.whole()) return "the network is parted";
  auto& core = controller().process->controller()->core();
  for (const auto& one : machines_) {
    if (one->kind == Machine::Kind::kController) continue;
    const auto* node = core.inventory.node(one->name);
    if (node == nullptr || !node->up) return "the controller does not hear " + one->name;
    if (one->is_host() && !node->vms_known) return "the controller does not know the VMs of " + one->name;
    if (one->is_host() && !one->hypervisor->connected()) return one->name + " has no libvirtd";
    if (one->is_host() && !one->process->agent()->host()->standby()) return one->name + " is still recovering";
  }
  const auto* known = record();
  auto* owner = runner();
  if (known != nullptr && known->moving()) return "the controller takes it for moving to " + known->moving_to;
  if (owner == nullptr) {
    // Its definition was to come out of a journal that was lost, and then its only host lost power.
    const auto is_gone = [](const auto& one) { return !one->is_host() || !one->hypervisor->knows(kVm); };
    const bool lost = std::ranges::all_of(machines_, is_gone) &&
                      std::ranges::any_of(machines_, [](const auto& one) { return one->is_host() && one->forgot; });
    return lost ? "" : "nobody runs it";
  }
  if (known == nullptr) return "the controller does not know the VM";
  if (known->host != owner->name)
    return fmt::format("{} runs it, but the controller says {}", owner->name, known->host);

  for (const auto& one : machines_) {
    if (one->kind == Machine::Kind::kController) continue;
    const auto leads = route(*one);
    if (leads != (one.get() == owner ? "tap" : owner->name))
      return fmt::format("{} routes to '{}', but {} runs it", one->name, leads, owner->name);
  }
  if (storage_->owner[kImage] != "qemu") return "its image belongs to " + storage_->owner[kImage];
  const auto forgot = [](const auto& one) { return one->is_host() && one->forgot; };
  if (owner->hypervisor->defines(kVm) != options_.persistent && std::ranges::none_of(machines_, forgot))
    return options_.persistent ? "it is not persistent any more" : "it was made persistent";
  const auto phase = shadow_phase();
  const bool held = is_held(phase);
  const bool wanted = core.pilot.pin(kVm) != nullptr;
  if (wanted != held)
    return fmt::format("a shadow is {}wanted, and is {}", wanted ? "" : "not ", static_cast<int>(phase));
  for (const auto& one : machines_) {
    if (!one->is_host() || one.get() == owner) continue;
    const bool here = held && known->shadow->standby() == one->name;
    if ((*one->process->agent()->host()->standby())->holds(kVm) != here)
      return here ? "its shadow is not on " + one->name : "a shadow is left over on " + one->name;
    const auto guest = qemu(*one);
    if ((guest != nullptr) != here) return fmt::format("{} {} a QEMU of it", one->name, here ? "lacks" : "still has");
    if (here && guest->migration_status() != qmp::MigrationStatus::kActive) return "the shadow gets no memory";
    if (one->kernel.link(kTap).has_value() != here && !(one->forgot && !here))  // its name was in the journal alone
      return fmt::format("{} {} the tap", one->name, here ? "lacks" : "still has");
    const auto source = record_of(*one->process->agent(), Side::kSource);
    if (source && source->phase != Phase::kDropped && source->phase != Phase::kProfile)
      return fmt::format("the journal of {} has it as its own, {}", one->name, to_string(source->phase));
  }
  return "";
}

std::string World::describe() {
  std::string text;
  for (const auto& line : story_) text += "  " + line + '\n';
  text += fmt::format("  at the end, {} ms:\n", now().count());
  if (const auto* known = record())
    text += fmt::format("    controller: on {} since epoch {} (newest {}){}\n", known->host, known->owner_epoch,
                        known->epoch, known->moving() ? ", moving to " + known->moving_to : "");
  for (const auto& one : machines_) {
    if (one->kind == Machine::Kind::kController) continue;
    text += fmt::format("    {}: route '{}'", one->name, route(*one));
    if (one->is_host()) {
      const auto guest = qemu(*one);
      text += guest ? fmt::format(", QEMU {} / migration {}", qmp::to_string(guest->run_state()),
                                  qmp::to_string(guest->migration_status()))
                    : ", no QEMU";
    }
    if (!one->process) {
      text += ", down\n";
      continue;
    }
    for (const auto side : {Side::kSource, Side::kStandby})
      if (one->is_host())
        if (const auto found = record_of(*one->process->agent(), side))
          text += fmt::format(", {} {} in epoch {}", side == Side::kSource ? "source" : "standby",
                              to_string(found->phase), found->epoch);
    text += '\n';
  }
  if (auto& process = controller().process) {
    const auto begin = wire_->clock().unix_ms() - now().count();
    if (const auto events = process->controller()->core().events.events(1000, "", 0))
      for (const auto& event : *events)
        text += fmt::format("    {:>8} ms  {} {} {}: {}\n", event.at_unix_ms() - begin,
                            v1::Severity_Name(event.severity()).substr(9), event.node(), event.vm(), event.text());
  }
  return text;
}

}  // namespace umbra::sim
