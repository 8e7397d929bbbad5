#include "sim/player.hpp"

#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>

namespace umbra::sim {
namespace {

constexpr unsigned kMostSeconds = 120;  // of real time, without anything that concerns a child
constexpr std::size_t kMostTold = 100;  // by an exit code

}  // namespace

Player::Player(World& world, const std::vector<Job>& jobs, Telling telling)
    : world_(world), story_(jobs.at(0).trial.story), telling_(telling) {
  for (const auto& job : jobs) file(job, 0);
}

void Player::file(const Job& job, std::size_t from) {
  const auto next = next_strike(job.trial, from);
  (next == SIZE_MAX ? plan_->plain : plan_->due[next]).push_back(&job);
}

std::size_t Player::play() {
  auto jobs = plan_->plain;
  for (const auto& [at, some] : plan_->due) jobs.insert(jobs.end(), some.begin(), some.end());
  in_child(jobs, [this] { play_here(); });
  alarm(0);
  return std::min(failed_, kMostTold);
}

/// The child's whole life, and those of its children.
void Player::play_here() {
  const auto said = [](const std::function<std::string()>& part) {
    try {
      return part();
    } catch (const std::exception& bug) {
      return fmt::format("exception: {}", bug.what());
    }
  };
  const auto wrong =
      said([&] { return sim::play(world_, story_, [this](const Moment& moment) { return meet(moment); }); });
  auto& plain = plan_->plain;
  for (const auto& [at, jobs] : plan_->due) plain.insert(plain.end(), jobs.begin(), jobs.end());  // those never came
  conclude(wrong, false);
  if (!plain.empty()) conclude(said([&] { return move_on(world_); }), true);
  _exit(static_cast<int>(std::min(failed_, kMostTold)));
}

/// Tells of those that end here.
void Player::conclude(const std::string& wrong, bool moved_on) {
  Jobs later;
  for (const auto* job : plan_->plain) {
    if (wrong.empty() && job->trial.moves_on && !moved_on) {
      later.push_back(job);
      continue;
    }
    if (!wrong.empty()) ++failed_;
    if (wrong.empty() && !telling_.all) continue;
    fmt::print("{} {}: {}\n  {}\n{}", wrong.empty() ? "well" : "WRONG", job->name, job->trial.text(), wrong,
               world_.describe());
  }
  std::fflush(stdout);
  plan_->plain = std::move(later);
}

/// Whom something happens to now goes a way of its own; who is alone goes it here.
Verdict Player::meet(const Moment& moment) {
  const auto now = moment_++;
  const auto node = plan_->due.extract(now);
  if (!node) return {};
  std::map<Faults, Jobs> ways;
  for (const auto* job : node.mapped()) {
    Faults faults;
    for (const auto& strike : job->trial.strikes)
      if (strike.at == now && strike.fault->possible_at(moment)) faults.push_back(strike.fault);
    if (faults.empty())
      file(*job, moment_);
    else
      ways[faults].push_back(job);
  }
  const bool alone = ways.size() == 1 && plan_->due.empty() && plan_->plain.empty();
  for (const auto& [faults, jobs] : ways) {
    if (alone) return strike(moment, faults, jobs);
    // The child leaves this function, and goes on where the story stands.
    std::optional<Verdict> verdict;
    in_child(jobs, [&] { verdict = strike(moment, faults, jobs); });
    if (verdict) return *verdict;
    if (failed_ >= telling_.most_failures) _exit(static_cast<int>(std::min(failed_, kMostTold)));
  }
  return {};
}

Verdict Player::strike(const Moment& moment, const Faults& faults, const Jobs& jobs) {
  static_cast<void>(plan_.release());  // to free what the parent has would copy all of it
  plan_ = std::make_unique<Plan>();
  for (const auto* job : jobs) file(*job, moment_);
  Verdict verdict;
  for (const auto* fault : faults) {
    world_.tell(fmt::format("{}: {}", moment.text(), fault->name));
    verdict = fault->strike(world_, moment);
  }
  return verdict;
}

/// @param go_on what the child does, and it alone
template <class Child>
void Player::in_child(const Jobs& jobs, Child go_on) {
  std::fflush(stdout);
  const pid_t pid = fork();
  if (pid < 0) throw std::runtime_error("cannot fork");
  if (pid == 0) {
    failed_ = 0;
    alarm(kMostSeconds);
    go_on();
    return;
  }
  int status = 0;
  waitpid(pid, &status, 0);
  alarm(kMostSeconds);
  if (WIFEXITED(status)) {
    failed_ += static_cast<std::size_t>(WEXITSTATUS(status));
  } else {
    failed_ += jobs.size();
    for (const auto* job : jobs)
      fmt::print("WRONG {}: {}\n  ended by signal {}\n", job->name, job->trial.text(), WTERMSIG(status));
    std::fflush(stdout);
  }
}

}  // namespace umbra::sim
