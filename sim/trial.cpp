#include "sim/trial.hpp"

#include <random>
#include <sstream>

namespace umbra::sim {
namespace {

using namespace std::chrono_literals;

constexpr auto kRecovery = 300s;  // the longest fault, the longest back-off, and what follows
constexpr auto kPatience = 90s;   // of a person who waits for things to end by themselves
constexpr auto kLookAgain = 30s;
constexpr auto kTryAgain = 12s;  // when a host that failed lately is trusted again
constexpr int kMostTries = 5;
constexpr auto kStays = "/stays";
constexpr unsigned kOneMovesOnOf = 8;  // of what chance decides; it takes as long as all the rest

void begin(World& world, Story story) {
  switch (story) {
    case Story::kCutover:
      world.cutover();
      break;
    case Story::kStaging:
      world.keep("host2", v1::TIER_WARM);
      break;
    case Story::kDropping:
      world.drop();
      break;
  }
}

/// Waits until it stays in order. @return what is not
std::string settle(World& world) {
  std::string wrong;
  const auto end = world.clock().steady() + kRecovery;
  auto look_due = world.clock().steady() + kPatience;
  while (world.clock().steady() < end) {
    wrong = world.disorder();
    if (wrong.empty()) {
      world.pass(2s);
      wrong = world.disorder();
    }
    if (wrong.empty() || !world.violations().empty()) return wrong;
    if (world.clock().steady() >= look_due) {
      look_due = world.clock().steady() + kLookAgain;
      world.obey_alerts();
    }
    world.pass(500ms);
  }
  return wrong;
}

}  // namespace

std::string_view to_string(Story story) {
  constexpr std::string_view names[] = {"cutover", "staging", "dropping"};
  return names[static_cast<std::size_t>(story)];
}

std::string Trial::text() const {
  auto text = fmt::format("{}/{}/{}{}:", to_string(story), options.hosts, options.dirty_rate.count / 1'000'000,
                          moves_on ? "" : kStays);
  for (const auto& strike : strikes)
    text += fmt::format("{}{}@{}", text.ends_with(':') ? "" : ",", strike.fault->name, strike.at);
  return text;
}

std::size_t next_strike(const Trial& trial, std::size_t from) {
  auto next = SIZE_MAX;
  for (const auto& strike : trial.strikes)
    if (strike.at >= from) next = std::min(next, strike.at);
  return next;
}

Trial trial_of(const std::string& text) {
  Trial trial;
  const auto colon = text.find(':');
  std::stringstream what(text.substr(0, colon));
  std::string name, hosts, rate;
  trial.moves_on = text.find(kStays) > colon;
  std::getline(what, name, '/');
  for (const auto story : {Story::kCutover, Story::kStaging, Story::kDropping})
    if (name == to_string(story)) trial.story = story;
  if (std::getline(what, hosts, '/')) trial.options.hosts = static_cast<unsigned>(std::stoul(hosts));
  if (std::getline(what, rate, '/')) trial.options.dirty_rate = BytesPerSecond{std::stoull(rate) * 1'000'000};
  std::stringstream parts(text.substr(colon + 1));
  for (std::string part, more; std::getline(parts, part, ',');) {
    while (part.find('@') == part.npos && std::getline(parts, more, ',')) part += ',' + more;  // a name with a comma
    const auto sign = part.rfind('@');
    const auto* found = fault(part.substr(0, sign));
    if (found == nullptr) throw std::runtime_error("no fault '" + part.substr(0, sign) + "'");
    trial.strikes.push_back({std::stoul(part.substr(sign + 1)), found});
  }
  return trial;
}

Trial trial_of(std::uint64_t seed, const std::vector<std::size_t>& moments) {
  std::mt19937_64 chance(seed);
  Trial trial;
  const auto kind = chance() % 10;
  trial.story = kind < 8 ? Story::kCutover : kind == 8 ? Story::kStaging : Story::kDropping;
  trial.options.hosts = chance() % 3 == 0 ? 3 : 2;
  trial.options.dirty_rate = BytesPerSecond{chance() % 2 * 50'000'000};
  const auto many = moments.at(static_cast<std::size_t>(trial.story));
  for (auto left = 1 + chance() % 3; left > 0; --left)
    // Recovery has moments of its own, after those of a story that goes well.
    trial.strikes.push_back({chance() % (many + many / 2), &faults()[chance() % faults().size()]});
  trial.moves_on = chance() % kOneMovesOnOf == 0;
  return trial;
}

std::unique_ptr<World> prepare(Story story, const World::Options& options) {
  auto world = std::make_unique<World>(options);
  if (story != Story::kStaging) {
    world->keep("host2", v1::TIER_WARM);
    world->until([&] { return world->shadow_phase() == v1::SHADOW_PHASE_WARM && world->disorder().empty(); }, 60s);
  }
  if (const auto wrong = world->disorder(); !wrong.empty())
    throw std::runtime_error(fmt::format("no world to begin with: {}\n{}", wrong, world->describe()));
  world->back_up();
  return world;
}

std::vector<Moment> moments_of(World& world, Story story) {
  std::vector<Moment> moments;
  world.set_fate([&](const Moment& moment) {
    moments.push_back(moment);
    return Verdict{};
  });
  begin(world, story);
  world.pass(500ms);  // what comes later is routine
  world.set_fate({});
  if (const auto wrong = settle(world); !wrong.empty())
    throw std::runtime_error(fmt::format("{} goes wrong by itself: {}\n{}", to_string(story), wrong, world.describe()));
  return moments;
}

std::string play(World& world, Story story, const Fate& fate) {
  world.set_fate(fate);
  begin(world, story);
  world.pass(1s);
  const auto wrong = settle(world);
  world.set_fate({});
  return wrong;
}

std::string move_on(World& world) {
  auto* owner = world.runner();
  if (owner == nullptr) return "";  // it ended, and somebody was told
  const auto to = owner->name == "host1" ? "host2" : "host1";
  std::shared_ptr<Move> move;
  const auto moved = [&] { return move && move->end && *move->end && (*move->end)->outcome() == v1::OUTCOME_MOVED; };
  for (int tries = 0; tries < kMostTries && !moved(); ++tries) {
    if (move) world.obey_alerts();
    if (move) world.pass(kTryAgain);
    world.tell("once more, to " + std::string(to));
    move = world.migrate(to);
    if (!world.until([&] { return move->end.has_value(); }, 60s)) return "its next move does not end: " + move->phase;
  }
  if (!*move->end) return "its next move is refused: " + move->end->error().text();
  if ((*move->end)->outcome() != v1::OUTCOME_MOVED) return "its next move does not move it: " + (*move->end)->detail();
  return settle(world);
}

}  // namespace umbra::sim
