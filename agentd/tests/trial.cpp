#include "agentd/tests/trial.hpp"

#include <gtest/gtest.h>

namespace umbra::agent::test {
namespace {

using namespace std::chrono_literals;
using Kind = Moment::Kind;
using shadow::Phase;

constexpr std::size_t kMostFailuresTold = 5;
constexpr int kHalfSecondsToRest = 150;  // what comes into order later than leases end is found by then

bool anywhere(const Moment&) {
  return true;
}
bool at_messages(const Moment& moment) {
  return moment.is_message();
}
bool at_commits(const Moment& moment) {
  return moment.kind == Kind::kCommit;
}
bool at_calls(const Moment& moment) {
  return moment.kind == Kind::kCall;
}
bool at_changes(const Moment& moment) {
  return moment.is_change();
}

Fault crash(std::string name, std::vector<Machine TwoHosts::*> who, Milliseconds down) {
  return {std::move(name), anywhere, [who = std::move(who), down](TwoHosts& world, const Moment&) {
            for (const auto machine : who) world.restart(world.*machine, down);
            return Verdict{};
          }};
}

Fault part(std::string name, Machine TwoHosts::*a, Machine TwoHosts::*b, Milliseconds time) {
  return {std::move(name), anywhere, [a, b, time](TwoHosts& world, const Moment&) {
            const auto one = (world.*a).name(), other = (world.*b).name();
            world.lan().part(one, other);
            world.lan().after(time, [&world, one, other] { world.lan().heal(one, other); });
            return Verdict{};
          }};
}

Fault no_libvirt(std::string name, Machine TwoHosts::*who, Milliseconds time) {
  return {std::move(name), anywhere, [who, time](TwoHosts& world, const Moment&) {
            auto& hypervisor = *(world.*who).hypervisor;
            hypervisor.set_connected(false);
            world.lan().after(time, [&hypervisor] { hypervisor.set_connected(true); });
            return Verdict{};
          }};
}

Fault verdict(std::string name, std::function<bool(const Moment&)> possible_at, Verdict verdict) {
  return {std::move(name), std::move(possible_at), [verdict](TwoHosts&, const Moment&) { return verdict; }};
}

Fault late_and_crash(std::string name, Milliseconds late, Milliseconds down) {
  return {std::move(name), at_changes, [late, down](TwoHosts& world, const Moment& moment) {
            auto& machine = world.machine(moment.node);
            world.lan().after(1ms, [&world, &machine, down] { world.restart(machine, down); });
            return Verdict{Verdict::Kind::kLate, late};
          }};
}

Fault lose_journal(std::string name, Machine TwoHosts::*who, std::vector<Rest> rests) {
  return {std::move(name), anywhere,
          [who](TwoHosts& world, const Moment&) {
            world.lose_journal(world.*who, 300ms);
            return Verdict{};
          },
          std::move(rests)};
}

std::vector<Fault> all_losses() {
  return {
      lose_journal("standby loses its journal", &TwoHosts::standby,
                   {{"nobody runs it", "umbractl resolve"},
                    {"it is not persistent any more", ""},  // it was to be defined from the journal
                    {"host2 still has the tap", ""}}),      // whose only name was there
      lose_journal("source loses its journal", &TwoHosts::source,
                   {{"nobody runs it", "virsh resume"},
                    {"the controller does not know who runs it", "was moved away"},
                    {"host1 still has a domain of it", ""}}),  // shut off, as any other that is defined
  };
}

std::vector<Fault> all_faults() {
  const auto source = &TwoHosts::source, standby = &TwoHosts::standby, edge = &TwoHosts::edge;
  return {
      crash("source crashes", {source}, 300ms),
      crash("source crashes for long", {source}, 25s),
      crash("standby crashes", {standby}, 300ms),
      crash("standby crashes for long", {standby}, 25s),
      crash("both crash", {source, standby}, 300ms),
      crash("edge crashes", {edge}, 2s),
      part("hosts part", source, standby, 2s),
      part("hosts part for long", source, standby, 40s),
      part("edge is cut off", source, edge, 40s),
      no_libvirt("source loses libvirt", source, 500ms),
      no_libvirt("source loses libvirt for long", source, 30s),
      no_libvirt("standby loses libvirt", standby, 500ms),
      no_libvirt("standby loses libvirt for long", standby, 30s),
      verdict("message is lost", at_messages, {Verdict::Kind::kLose, {}}),
      verdict("message is late", at_messages, {Verdict::Kind::kDelay, 2s}),
      verdict("message is very late", at_messages, {Verdict::Kind::kDelay, 17s}),
      verdict("disk is full", at_commits, {Verdict::Kind::kFail, {}}),
      verdict("call fails", at_calls, {Verdict::Kind::kFail, {}}),
      verdict("change happens late", at_changes, {Verdict::Kind::kLate, 1s}),
      verdict("change happens very late", at_changes, {Verdict::Kind::kLate, 20s}),
      late_and_crash("change happens late, its agent crashes", 1s, 300ms),
      late_and_crash("change happens very late, its agent crashes", 20s, 300ms),
      {"guest is paused", anywhere,
       [](TwoHosts& world, const Moment&) {
         if (world.runs(world.source)) world.qemu(world.source)->io_error();
         for (const auto later : {3s, 10s, 30s, 60s})
           world.lan().after(later, [&world] {
             const auto qemu = world.qemu(world.source);
             if (qemu && qemu->run_state() == qmp::RunState::kIoError) world.resume_by_hand(world.source);
           });
         return Verdict{};
       }},
      {"shadow's QEMU dies", anywhere,
       [](TwoHosts& world, const Moment&) {
         if (const auto qemu = world.qemu(world.standby); qemu && !qemu->running()) qemu->die();
         return Verdict{};
       }},
  };
}

std::string named(const Story& story, const std::vector<Strike>& strikes, const std::vector<std::string>& met) {
  auto text = story.name;
  for (std::size_t i = 0; i < strikes.size(); ++i)
    text += fmt::format(", {} at moment {} ({})", strikes[i].fault->name, strikes[i].at,
                        i < met.size() ? met[i] : "not reached");
  return text;
}

/// Back and forth once more: nothing that is left over may stand in the way.
std::string move_on(TwoHosts& world) {
  auto& owner = world.runs(world.source) ? world.source : world.standby;
  auto& other = world.runs(world.source) ? world.standby : world.source;
  const auto kept = world.keep(owner, other, v1::TIER_WARM);
  if (!kept) return "it cannot get another shadow: " + kept.error().text();
  if (!world.until([&] { return world.phase(owner) == Phase::kWarm; }, 30s, 5ms))
    return "its next shadow does not become warm";
  const auto move = world.cutover(owner, other);
  if (!world.until([&] { return move->end.has_value(); }, 5s)) return "its next cutover does not end";
  if (!*move->end) return "its next cutover is refused: " + (*move->end).error().text();
  if ((*move->end)->outcome() != v1::OUTCOME_MOVED)
    return "its next cutover does not move it: " + (*move->end)->detail();
  for (int i = 0; i < 30 && !world.disorder().empty(); ++i) world.pass(500ms, 20ms);
  return world.disorder();
}

}  // namespace

const std::vector<Fault>& faults() {
  static const auto all = all_faults();
  return all;
}

const std::vector<Fault>& losses() {
  static const auto all = all_losses();
  return all;
}

const Fault& fault(std::string_view name) {
  for (const auto* list : {&faults(), &losses()})
    for (const auto& one : *list)
      if (one.name == name) return one;
  throw std::runtime_error(fmt::format("no fault '{}'", name));
}

Story cutover_story() {
  return {"cutover", [](TwoHosts& world) { world.warm(); },
          [](TwoHosts& world) { world.cutover(world.source, world.standby); }};
}

Story staging_story() {
  return {"staging", [](TwoHosts&) {}, [](TwoHosts& world) { world.want(world.source, world.standby, v1::TIER_WARM); }};
}

Story dropping_story() {
  return {"dropping", [](TwoHosts& world) { world.warm(); }, [](TwoHosts& world) { world.drop(world.source, "test"); }};
}

std::vector<Moment> moments_of(const Story& story) {
  TwoHosts world(story.options);
  story.prepare(world);
  std::vector<Moment> moments;
  world.set_fate([&](const Moment& moment) {
    moments.push_back(moment);
    return Verdict{};
  });
  story.begin(world);
  world.pass(20ms);
  EXPECT_TRUE(world.until([&] { return world.disorder().empty(); }, 10s)) << story.name << ": " << world.disorder();
  return moments;
}

namespace {

/// Is it an end that is left to a person, who knows of it?
bool rests(const TwoHosts& world, const std::vector<Strike>& strikes, const std::string& disorder) {
  for (const auto& strike : strikes)
    for (const auto& rest : strike.fault->rests)
      if (disorder.starts_with(rest.disorder) && (rest.alert.empty() || world.told(v1::SEVERITY_ALERT, rest.alert)))
        return true;
  return false;
}

}  // namespace

std::string play(const Story& story, const std::vector<Strike>& strikes) {
  TwoHosts world(story.options);
  story.prepare(world);
  std::size_t moment = 0;
  std::vector<std::string> met;
  world.set_fate([&](const Moment& now) {
    Verdict verdict;
    for (const auto& strike : strikes)
      if (strike.at == moment) {
        met.push_back(now.text());
        verdict = strike.fault->strike(world, now);
      }
    ++moment;
    return verdict;
  });
  std::string wrong;
  try {
    story.begin(world);
    world.pass(1s);
    wrong = world.disorder();
    for (int i = 0; i < 400 && !wrong.empty() && world.violations().empty(); ++i) {
      if (i > kHalfSecondsToRest && rests(world, strikes, wrong)) return "";
      world.pass(500ms, 20ms);
      wrong = world.disorder();
    }
    world.set_fate({});
    if (wrong.empty()) wrong = move_on(world);
  } catch (const std::exception& bug) {
    wrong = fmt::format("exception: {}", bug.what());
  }
  if (wrong.empty()) return "";
  return fmt::format("{}\n  {}\n{}", named(story, strikes, met), wrong, world.describe());
}

std::size_t play_everywhere(const Story& story, const Fault& fault) {
  const auto moments = moments_of(story);
  std::size_t played = 0, failed = 0;
  for (std::size_t at = 0; at < moments.size(); ++at) {
    if (!fault.possible_at(moments[at])) continue;
    ++played;
    const auto wrong = play(story, {{at, &fault}});
    if (wrong.empty()) continue;
    if (++failed <= kMostFailuresTold)
      ADD_FAILURE() << wrong;
    else
      ADD_FAILURE() << wrong.substr(0, wrong.find('\n', wrong.find('\n') + 1));
  }
  return played;
}

}  // namespace umbra::agent::test
