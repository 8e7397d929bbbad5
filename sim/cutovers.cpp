// Plays cutovers in which things go wrong: each fault at each moment, pairs of them, and by chance.
#include <spdlog/spdlog.h>
#include <sys/wait.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <random>

#include "sim/player.hpp"

namespace {

using namespace umbra;
using namespace umbra::sim;

struct Asked {
  bool singles = false;
  std::uint64_t every = 1;   // of the singles, every so manyth
  std::string fault;         // of the singles, this one alone
  std::uint64_t random = 0;  // so many schedules by chance
  std::uint64_t pairs = 0;   // so many pairs, spread evenly over all; 0: none
  std::uint64_t first = 1;
  std::optional<std::uint64_t> seed;
  std::vector<std::string> at;  // as Trial::text() has it: those
  std::string file;             // the same, from a file
  unsigned jobs = 1;
  unsigned most_failures = 20;
};

/// A schedule on each line; # begins a comment.
std::vector<std::string> lines_of(const std::string& file) {
  std::ifstream in(file);
  if (!in) throw std::runtime_error("cannot read " + file);
  std::vector<std::string> lines;
  for (std::string line; std::getline(in, line);)
    if (!line.empty() && !line.starts_with('#')) lines.push_back(line);
  return lines;
}

std::vector<std::size_t> count_moments(std::vector<std::vector<Moment>>* all) {
  std::vector<std::size_t> counts;
  for (const auto story : {Story::kCutover, Story::kStaging, Story::kDropping}) {
    const auto world = prepare(story, {});
    auto moments = moments_of(*world, story);
    counts.push_back(moments.size());
    if (all != nullptr) all->push_back(std::move(moments));
  }
  return counts;
}

std::vector<Job> jobs_of(const Asked& asked) {
  std::vector<Job> jobs;
  std::vector<std::vector<Moment>> moments;
  const auto counts = count_moments(&moments);
  if (asked.seed) jobs.push_back({trial_of(*asked.seed, counts), fmt::format("seed {}", *asked.seed)});
  for (auto seed = asked.first; seed < asked.first + asked.random; ++seed)
    jobs.push_back({trial_of(seed, counts), fmt::format("seed {}", seed)});
  for (const auto& text : asked.at) jobs.push_back({trial_of(text), text});
  if (!asked.file.empty())
    for (const auto& line : lines_of(asked.file)) jobs.push_back({trial_of(line), line});
  std::uint64_t single = 0;
  if (asked.singles)
    for (const auto story : {Story::kCutover, Story::kStaging, Story::kDropping})
      for (const auto& one : faults()) {
        if (!asked.fault.empty() && one.name != asked.fault) continue;
        const auto& all = moments[static_cast<std::size_t>(story)];
        for (std::size_t at = 0; at < all.size(); ++at)
          if (one.possible_at(all[at]) && single++ % asked.every == 0) {
            Trial trial;
            trial.story = story;
            trial.strikes = {{at, &one}};
            jobs.push_back({trial, fmt::format("{}:{}@{} ({})", to_string(story), one.name, at, all[at].text())});
          }
      }
  if (asked.pairs > 0) {
    const auto& all = moments.front();
    std::vector<Strike> strikes;
    for (const auto& one : faults())
      for (std::size_t at = 0; at < all.size(); ++at)
        if (one.possible_at(all[at])) strikes.push_back({at, &one});
    const auto every = std::max<std::uint64_t>(1, strikes.size() * strikes.size() / 2 / asked.pairs);
    std::uint64_t number = 0;
    for (std::size_t i = 0; i < strikes.size(); ++i)
      for (std::size_t j = i + 1; j < strikes.size(); ++j) {
        if (++number % every != 0) continue;
        Trial trial;
        trial.strikes = {strikes[i], strikes[j]};
        jobs.push_back({trial, fmt::format("cutover:{}@{},{}@{}", strikes[i].fault->name, strikes[i].at,
                                           strikes[j].fault->name, strikes[j].at)});
      }
  }
  return jobs;
}

/// What one process plays: trials of one kind of world, and those together that begin with the same fault.
using Part = std::vector<Job>;

std::vector<Part> parts_of(std::vector<Job> jobs) {
  constexpr std::size_t kOfOneKind = 4;  // so that the last ones to end keep nobody waiting
  std::map<std::tuple<Story, unsigned, std::uint64_t, std::size_t>, Part> by_kind;
  for (auto& job : jobs) {
    const auto& [story, options, strikes, moves_on] = job.trial;
    const auto part = next_strike(job.trial, 0) % kOfOneKind;
    by_kind[{story, options.hosts, options.dirty_rate.count, part}].push_back(std::move(job));
  }
  std::vector<Part> parts;
  for (auto& [kind, part] : by_kind) parts.push_back(std::move(part));
  std::ranges::sort(parts, std::ranges::greater{}, &Part::size);
  return parts;
}

/// The child's whole life.
[[noreturn]] void play_part(std::vector<Part> parts, std::size_t number, Telling telling) {
  const Part jobs = std::move(parts[number]);
  parts = {};  // or each of its children would get a copy
  const auto world = prepare(jobs.front().trial.story, jobs.front().trial.options);
  _exit(static_cast<int>(Player(*world, jobs, telling).play()));
}

/// As many at a time as were asked for. @return how many went wrong
std::size_t play_all(std::vector<Part> parts, const Asked& asked) {
  std::size_t failed = 0, running = 0, next = 0;
  while (running > 0 || (next < parts.size() && failed < asked.most_failures)) {
    if (running < asked.jobs && next < parts.size() && failed < asked.most_failures) {
      std::fflush(stdout);
      if (fork() == 0) play_part(std::move(parts), next, {asked.most_failures, asked.seed || !asked.at.empty()});
      ++running;
      ++next;
      continue;
    }
    int status = 0;
    wait(&status);
    --running;
    failed += WIFEXITED(status) ? static_cast<std::size_t>(WEXITSTATUS(status)) : 1;
  }
  return failed;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{
      "Plays moves of a VM between simulated hosts, with the real controller and agents, while things go wrong. "
      "Everything that is wrong is told with its story; a seed plays the same again."};
  Asked asked;
  bool verbose = false, moments = false;
  app.add_flag("--singles", asked.singles, "each fault at each moment of a cutover, a staging and a dropping");
  app.add_option("--every", asked.every, "of these, every so manyth")->check(CLI::PositiveNumber);
  app.add_option("--fault", asked.fault, "of these, this fault alone");
  app.add_option("--pairs", asked.pairs, "so many of all pairs of faults and moments of a cutover, evenly spread");
  app.add_option("--random", asked.random, "so many schedules by chance");
  app.add_option("--first", asked.first, "the first seed")->capture_default_str();
  app.add_option("--seed", asked.seed, "plays that seed alone, and tells its story");
  app.add_option("--at", asked.at,
                 "STORY[/HOSTS[/MB PER S]]:FAULT@MOMENT[,FAULT@MOMENT…]: plays that alone, and tells its story");
  app.add_option("--file", asked.file, "plays what each line of it names as --at does; # begins a comment")
      ->check(CLI::ExistingFile);
  app.add_option("-j,--jobs", asked.jobs, "processes")->capture_default_str()->check(CLI::Range(1, 256));
  app.add_option("--most-failures", asked.most_failures, "each process ends after so many")->capture_default_str();
  app.add_flag("--moments", moments, "lists the moments of each story, and plays nothing");
  app.add_flag("-v", verbose, "the daemons' logs too");
  CLI11_PARSE(app, argc, argv);
  spdlog::set_level(verbose ? spdlog::level::debug : spdlog::level::off);

  if (moments) {
    std::vector<std::vector<Moment>> all;
    count_moments(&all);
    for (const auto story : {Story::kCutover, Story::kStaging, Story::kDropping})
      for (std::size_t i = 0; const auto& moment : all[static_cast<std::size_t>(story)])
        fmt::print("{} {:>3}  {}\n", to_string(story), i++, moment.text());
    return 0;
  }
  const auto begun = std::chrono::steady_clock::now();
  auto jobs = jobs_of(asked);
  const auto many = jobs.size();
  const auto failed = play_all(parts_of(std::move(jobs)), asked);
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begun;
  fmt::print("{} played, {} went wrong, {:.1f} s\n", many, failed, took.count());
  return failed == 0 ? 0 : 1;
}
