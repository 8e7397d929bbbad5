#include "base/config.hpp"

#include <gmock/gmock.h>

namespace umbra {
namespace {

using testing::HasSubstr;
using namespace std::chrono_literals;

Config parsed(std::string_view text) {
  auto config = Config::parse(text, "agent.toml");
  EXPECT_TRUE(config) << config.error().text();
  return std::move(*config);
}

TEST(Config, ReadsTypedValuesAndFallsBackWhereAbsent) {
  auto config = parsed("[agent]\nname = 'host1'\n[shadow]\nrefresh = '5s'\nports = 4\n");
  EXPECT_EQ(config.required_text("agent.name"), "host1");
  EXPECT_EQ(config.duration("shadow.refresh", 1s), 5s);
  EXPECT_EQ(config.integer("shadow.ports", 1, 1, 10), 4);
  EXPECT_EQ(config.text("agent.zone", "default"), "default");
  EXPECT_TRUE(config.finish());
}

TEST(Config, NamesFileLineAndRemedyOfAWrongValue) {
  auto config = parsed("[shadow]\nrefresh = '5 parsecs'\n");
  EXPECT_EQ(config.duration("shadow.refresh", 1s), 1s);
  const auto outcome = config.finish();
  ASSERT_FALSE(outcome);
  EXPECT_THAT(outcome.error().text(), HasSubstr("agent.toml:2: shadow.refresh: '5 parsecs' is not a duration"));
  EXPECT_THAT(outcome.error().remedy, HasSubstr("250ms"));
}

TEST(Config, RefusesAKeyThatNobodyKnows) {
  auto config = parsed("[agent]\nname = 'host1'\nzome = 'a'\n");
  config.required_text("agent.name");
  const auto outcome = config.finish();
  ASSERT_FALSE(outcome);
  EXPECT_THAT(outcome.error().message, HasSubstr("agent.toml:3: unknown key agent.zome"));
}

TEST(Config, RefusesOutOfRangeMissingAndMistypedValues) {
  auto range = parsed("[a]\nn = 70000\n");
  range.integer("a.n", 1, 1, 65535);
  EXPECT_THAT(range.finish().error().message, HasSubstr("70000 is out of range"));
  auto missing = parsed("");
  missing.required_text("agent.name");
  EXPECT_THAT(missing.finish().error().message, HasSubstr("agent.name: is missing"));
  auto mistyped = parsed("[a]\nb = 1\n");
  mistyped.text("a.b", "");
  EXPECT_THAT(mistyped.finish().error().message, HasSubstr("is not a string"));
}

TEST(Config, SaysWhereTheTomlIsBroken) {
  const auto broken = Config::parse("[agent\nname=", "agent.toml");
  ASSERT_FALSE(broken);
  EXPECT_THAT(broken.error().message, HasSubstr("agent.toml:1:"));
}

TEST(Config, SaysWhichFileIsMissing) {
  const auto missing = Config::load("/nonexistent/umbra.toml");
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, Errc::kNotFound);
  EXPECT_THAT(missing.error().message, HasSubstr("/nonexistent/umbra.toml"));
}

}  // namespace
}  // namespace umbra
