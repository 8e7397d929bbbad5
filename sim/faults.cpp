#include "sim/faults.hpp"

namespace umbra::sim {
namespace {

using namespace std::chrono_literals;
using Kind = Moment::Kind;

bool anywhere(const Moment&) {
  return true;
}
bool at_messages(const Moment& moment) {
  return moment.is_message();
}
bool at_commits(const Moment& moment) {
  return moment.kind == Kind::kCommit;
}
bool at_changes(const Moment& moment) {
  return moment.is_change();
}
bool at_calls(const Moment& moment) {
  return moment.kind == Kind::kCall;
}

Fault crash(std::string name, std::vector<std::string> who, Milliseconds down) {
  return {std::move(name), anywhere, [who = std::move(who), down](World& world, const Moment&) {
            for (const auto& one : who) world.restart(world.machine(one), down);
            return Verdict{};
          }};
}

Fault power(std::string name, std::string who, Milliseconds down) {
  return {std::move(name), anywhere, [who = std::move(who), down](World& world, const Moment&) {
            world.lose_power(world.machine(who), down);
            return Verdict{};
          }};
}

Fault part(std::string name, std::string a, std::string b, Milliseconds time) {
  return {std::move(name), anywhere, [a = std::move(a), b = std::move(b), time](World& world, const Moment&) {
            world.part(world.machine(a), world.machine(b), time);
            return Verdict{};
          }};
}

Fault no_libvirt(std::string name, std::string who, Milliseconds time) {
  return {std::move(name), anywhere, [who = std::move(who), time](World& world, const Moment&) {
            world.libvirt_away(world.machine(who), time);
            return Verdict{};
          }};
}

Fault forgets(std::string name, std::string who, bool to_backup) {
  return {std::move(name), anywhere, [who = std::move(who), to_backup](World& world, const Moment&) {
            auto& machine = world.machine(who);
            to_backup ? world.restore(machine, 1s) : world.forget(machine, 1s);
            return Verdict{};
          }};
}

Fault late_and_crash(std::string name, Milliseconds late, Milliseconds down) {
  return {std::move(name), at_changes, [late, down](World& world, const Moment& moment) {
            auto& machine = world.machine(moment.node);
            world.lan().after(1ms, [&world, &machine, down] { world.restart(machine, down); });
            return Verdict{Verdict::Kind::kLate, late};
          }};
}

/// @param hang how long they hang; zero: they die
Fault gates(std::string name, std::string who, Milliseconds hang) {
  return {std::move(name), anywhere, [who = std::move(who), hang](World& world, const Moment&) {
            auto& gates = *world.machine(who).gates;
            hang > 0ms ? gates.hang(hang) : gates.kill();
            return Verdict{};
          }};
}

Fault clocks(std::string name, Milliseconds by) {
  return {std::move(name), anywhere, [by](World& world, const Moment&) {
            world.step_clocks(by);
            return Verdict{};
          }};
}

Fault verdict(std::string name, std::function<bool(const Moment&)> possible_at, Verdict verdict) {
  return {std::move(name), std::move(possible_at), [verdict](World&, const Moment&) { return verdict; }};
}

std::vector<Fault> all_faults() {
  return {
      crash("source crashes", {"host1"}, 300ms),
      crash("source crashes for long", {"host1"}, 25s),
      crash("standby crashes", {"host2"}, 300ms),
      crash("standby crashes for long", {"host2"}, 25s),
      crash("both crash", {"host1", "host2"}, 300ms),
      crash("edge crashes", {"edge1"}, 2s),
      crash("controller crashes", {"controller"}, 300ms),
      crash("controller crashes for long", {"controller"}, 40s),
      crash("controller and source crash", {"controller", "host1"}, 1s),
      part("hosts part", "host1", "host2", 2s),
      part("hosts part for long", "host1", "host2", 40s),
      part("edge is cut off", "host1", "edge1", 40s),
      part("controller loses the source", "controller", "host1", 40s),
      part("controller loses the standby", "controller", "host2", 40s),
      no_libvirt("source loses libvirt", "host1", 500ms),
      no_libvirt("source loses libvirt for long", "host1", 30s),
      no_libvirt("standby loses libvirt", "host2", 500ms),
      no_libvirt("standby loses libvirt for long", "host2", 30s),
      verdict("message is lost", at_messages, {Verdict::Kind::kLose, {}}),
      verdict("message is late", at_messages, {Verdict::Kind::kDelay, 2s}),
      verdict("message is very late", at_messages, {Verdict::Kind::kDelay, 17s}),
      verdict("message comes twice", at_messages, {Verdict::Kind::kTwice, 1s}),
      verdict("disk is full", at_commits, {Verdict::Kind::kFail, {}}),
      verdict("call fails", at_calls, {Verdict::Kind::kFail, {}}),
      {"guest is paused", anywhere,
       [](World& world, const Moment&) {
         auto& source = world.host(1);
         if (world.runs(source)) world.qemu(source)->io_error();
         for (const auto later : {3s, 10s, 30s, 60s})
           world.lan().after(later, [&world, &source] {
             const auto qemu = world.qemu(source);
             if (qemu && qemu->run_state() == qmp::RunState::kIoError) world.resume_by_hand(source);
           });
         return Verdict{};
       }},
      {"shadow's QEMU dies", anywhere,
       [](World& world, const Moment&) {
         if (const auto qemu = world.qemu(world.host(2)); qemu && !qemu->running()) qemu->die();
         return Verdict{};
       }},
      power("source loses power", "host1", 30s),
      power("standby loses power", "host2", 30s),
      forgets("source loses its journal", "host1", false),
      forgets("standby loses its journal", "host2", false),
      forgets("controller loses its store", "controller", false),
      forgets("source's journal is restored", "host1", true),
      forgets("standby's journal is restored", "host2", true),
      forgets("controller's store is restored", "controller", true),
      verdict("call is done late", at_changes, {Verdict::Kind::kLate, 1s}),
      verdict("call is done very late", at_changes, {Verdict::Kind::kLate, 20s}),
      clocks("clocks step back", -1h),
      clocks("clocks step ahead", 2min),
      {"source loses power and is fenced", anywhere,
       [](World& world, const Moment&) {
         world.lose_power(world.host(1), 100s);
         world.lan().after(20s, [&world] { world.fence_and_restart(world.host(1)); });
         return Verdict{};
       }},
      {"standby loses power and is fenced", anywhere,
       [](World& world, const Moment&) {
         world.lose_power(world.host(2), 100s);
         world.lan().after(20s, [&world] { world.fence_and_restart(world.host(2)); });
         return Verdict{};
       }},
      late_and_crash("call is done late, its agent crashes", 1s, 300ms),
      late_and_crash("call is done very late, its agent crashes", 20s, 300ms),
      gates("source's gate dies", "host1", 0s),
      gates("standby's gate dies", "host2", 0s),
      gates("source's gate hangs", "host1", 2s),
      gates("source's gate hangs for long", "host1", 20s),
  };
}

}  // namespace

const std::vector<Fault>& faults() {
  static const auto all = all_faults();
  return all;
}

const Fault* fault(std::string_view name) {
  for (const auto& one : faults())
    if (one.name == name) return &one;
  return nullptr;
}

}  // namespace umbra::sim
