// A cutover, the building and the dropping of a shadow, with each thing that can go wrong at each moment at which it
// can.
#include <gtest/gtest.h>

#include <iostream>
#include <random>

#include "agentd/tests/trial.hpp"

namespace umbra::agent::test {
namespace {

class CrashMatrix : public testing::TestWithParam<std::string> {};

TEST_P(CrashMatrix, ACutoverEndsWithOneOwner) {
  const auto played = play_everywhere(cutover_story(), fault(GetParam()));
  EXPECT_GT(played, 0U);
  std::cout << played << " cutovers in which " << GetParam() << '\n';
}

TEST_P(CrashMatrix, AShadowIsBuiltAllTheSame) {
  const auto played = play_everywhere(staging_story(), fault(GetParam()));
  EXPECT_GT(played, 0U);
  std::cout << played << " shadows built while " << GetParam() << '\n';
}

TEST_P(CrashMatrix, AShadowIsDroppedAllTheSame) {
  const auto played = play_everywhere(dropping_story(), fault(GetParam()));
  EXPECT_GT(played, 0U);
  std::cout << played << " shadows dropped while " << GetParam() << '\n';
}

std::vector<std::string> fault_names() {
  std::vector<std::string> names;
  for (const auto* list : {&faults(), &losses()})
    for (const auto& one : *list) names.push_back(one.name);
  return names;
}

std::string as_identifier(const testing::TestParamInfo<std::string>& info) {
  auto name = info.param;
  std::erase(name, '\'');
  std::erase(name, ',');
  std::replace(name.begin(), name.end(), ' ', '_');
  return name;
}

INSTANTIATE_TEST_SUITE_P(When, CrashMatrix, testing::ValuesIn(fault_names()), as_identifier);

class CrashStorm : public testing::TestWithParam<Story (*)()> {};

/// Two or three things at once, by chance; the same ones in every run. UMBRA_STORMS=5000 makes an hour of it,
/// UMBRA_STORMS=1012-1013 plays that one alone.
TEST_P(CrashStorm, EndsWithOneOwner) {
  const auto* asked = std::getenv("UMBRA_STORMS");
  const std::string range = asked != nullptr ? asked : "150";
  const auto dash = range.find('-');
  const auto first = dash == std::string::npos ? 0 : std::stoul(range);
  const auto end = std::stoul(dash == std::string::npos ? range : range.substr(dash + 1));
  auto story = GetParam()();
  const auto moments = moments_of(story).size();
  for (auto seed = first; seed < end; ++seed) {
    std::mt19937 chance(static_cast<unsigned>(seed));
    story.options.dirty_rate = BytesPerSecond{chance() % 2 * 50'000'000};
    std::vector<Strike> strikes;
    for (auto left = 2 + chance() % 2; left > 0; --left) {
      // Recovery has moments of its own, after those of a story that goes well.
      strikes.push_back({chance() % (moments + moments / 2), &faults()[chance() % faults().size()]});
    }
    const auto wrong = play(story, strikes);
    if (!wrong.empty()) ADD_FAILURE() << "storm " << seed << ": " << wrong;
  }
  std::cout << end - first << " storms on a " << story.name << '\n';
}

INSTANTIATE_TEST_SUITE_P(On, CrashStorm, testing::Values(cutover_story, staging_story, dropping_story),
                         [](const auto& one) { return one.param().name; });

}  // namespace
}  // namespace umbra::agent::test
