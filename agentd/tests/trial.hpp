/// One story in which one thing, or a few, go wrong at a chosen moment; and how it must end.
#pragma once

#include <string>
#include <vector>

#include "agentd/tests/two_hosts.hpp"

namespace umbra::agent::test {

/// An end that is right although not all is in order: where the rules leave the rest to a person, who is told.
struct Rest {
  std::string disorder;  ///< what TwoHosts::disorder() says, or how it begins
  std::string alert;     ///< and what the operator was told, by an alert; empty: nothing
};

/// Something that goes wrong.
struct Fault {
  std::string name;
  std::function<bool(const Moment&)> possible_at;
  std::function<Verdict(TwoHosts&, const Moment&)> strike;
  std::vector<Rest> rests{};
};

/// What is under way when it does.
struct Story {
  std::string name;
  std::function<void(TwoHosts&)> prepare;
  std::function<void(TwoHosts&)> begin;
  TwoHosts::Options options{};
};

/// Faults after which everything comes back into order by itself.
const std::vector<Fault>& faults();
/// Faults that may take away what nobody else knows.
const std::vector<Fault>& losses();
const Fault& fault(std::string_view name);

Story cutover_story();
Story staging_story();
Story dropping_story();

/// The moments of a story in which nothing goes wrong.
std::vector<Moment> moments_of(const Story& story);

struct Strike {
  std::size_t at;  ///< how many moments of the story come before
  const Fault* fault;
};

/// Plays the story with its strikes, lets everybody recover, and then has the VM moved once more.
/// @return what is wrong; empty when at no step the VM had two owners, and in the end the fleet is in order
std::string play(const Story& story, const std::vector<Strike>& strikes);

/// Plays the story once for each of its moments at which the fault is possible. Fails the running test for each that
/// goes wrong. @return how many were played
std::size_t play_everywhere(const Story& story, const Fault& fault);

}  // namespace umbra::agent::test
