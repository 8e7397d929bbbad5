#include "controller/settings.hpp"

#include <gmock/gmock.h>
#include <unistd.h>

#include <fstream>

#include "base/tests/packaged_config.hpp"
#include "controller/brain/zone_feed.hpp"

namespace umbra::controller {
namespace {

using testing::HasSubstr;

constexpr std::string_view kTls = "[tls]\nca = 'ca.crt'\ncertificate = 'c.crt'\nkey = 'c.key'\n";

Result<Settings> read(const std::string& text) {
  UMBRA_TRY(auto config, Config::parse(text + std::string(kTls), "controllerd.toml"));
  return Settings::from(config);
}

TEST(Settings, HaveDefaultsThatWork) {
  const auto settings = read("");
  ASSERT_TRUE(settings) << settings.error().text();
  EXPECT_EQ(settings->heartbeat.interval, 1000ms);
  EXPECT_EQ(settings->brain.cutover, 0.8);
  EXPECT_EQ(settings->listen, "[::]:7443");
  EXPECT_TRUE(settings->zone_feed.empty());
}

TEST(Settings, ReadWhatIsWritten) {
  const auto settings = read(
      "[brain]\ntick = '1s'\nwindow = '2min'\nforecast_step = '10s'\nhistory = '1h'\nautomatic = false\nmemory_reserve "
      "= '1GiB'\n"
      "[heartbeat]\ninterval = '500ms'\nmissed = 3\n[zones]\nfeed = '/run/zones.json'\n");
  ASSERT_TRUE(settings) << settings.error().text();
  EXPECT_EQ(settings->brain.forecast_step, 10s);
  EXPECT_FALSE(settings->brain.automatic);
  EXPECT_EQ(settings->brain.memory_reserve, gibibytes(1));
  EXPECT_EQ(settings->heartbeat.silence(), 1500ms);
  EXPECT_EQ(settings->zone_feed, "/run/zones.json");
}

TEST(Settings, ReadOneFenceAgentForEachHost) {
  const auto settings = read(
      "[fence]\nautomatic = true\nafter = '1min'\n"
      "[[fence.agent]]\nhost = 'host1'\ncommand = ['/bin/off', '--now']\n"
      "[[fence.agent]]\nhost = 'host2.example.net'\ncommand = ['/bin/off']\nstatus = ['/bin/ask']\noff = "
      "'OFF'\ntimeout = "
      "'5s'\n");
  ASSERT_TRUE(settings) << settings.error().text();
  EXPECT_TRUE(settings->fence.automatic);
  ASSERT_NE(settings->fence.agent("host1"), nullptr);
  EXPECT_EQ(settings->fence.agent("host1")->command.size(), 2u);
  ASSERT_NE(settings->fence.agent("host2.example.net"), nullptr);
  EXPECT_EQ(settings->fence.agent("host2.example.net")->off, "OFF");
  EXPECT_EQ(settings->fence.agent("host2.example.net")->timeout, 5s);
  EXPECT_EQ(settings->fence.agent("host3"), nullptr);
}

TEST(Settings, ShortenTheHistoryWithTheStep) {
  EXPECT_LE(read("[brain]\nforecast_step = '1s'\n")->brain.history, 10'000s);
}

TEST(Settings, RefuseNonsenseWithFileLineAndRemedy) {
  struct Wrong {
    std::string text, cause, remedy;
  };
  const Wrong wrongs[] = {
      {"[brain]\nwarm = 0.9\nhot = 0.5\n", "the thresholds do not rise", "0 < staged <= warm <= hot <= cutover <= 1"},
      {"[brain]\nwarm = 3\n", ":2: brain.warm: 3 is out of range", "allowed are 0 to 1"},
      {"[brain]\nconfirm_k = 4\nconfirm_n = 3\n", ":2: brain.confirm_k: is more than confirm_n", "k of n ticks"},
      {"[brain]\ntick = '0s'\n", ":2: brain.tick: is not longer than 0", "5s or 10min"},
      {"[brain]\nmemory_reserve = 'much'\n", ":2: brain.memory_reserve: 'much'", "256MiB"},
      {"[brain]\nforecast_step = '1s'\nhistory = '14d'\n", ":3: brain.history", "lengthen brain.forecast_step"},
      {"[brain]\nmaintenance_lead = '7h'\n", ":2: brain.maintenance_lead", "the notice comes first"},
      {"[fence]\nautomatic = true\n", ":2: fence.automatic: is set, but no [[fence.agent]] is", "configure one"},
      {"[[fence.agent]]\nhost = 'a'\n", "fence.agent[0].command: is missing", "fence_ipmilan"},
      {"[[fence.agent]]\nhost = 'a'\ncommand = ['x']\n[[fence.agent]]\nhost = 'a'\ncommand = ['y']\n",
       "'a' has an agent already", "keep one"},
      {"[[fence.agent]]\nhost = 'a'\ncommand = ['x']\ncomand = ['y']\n", ":4: unknown key fence.agent[0].comand",
       "correct or remove it"},
      {"[brian]\ntick = '1s'\n", ":2: unknown key brian.tick", "correct or remove it"},
      {"[controller]\nlog_level = 'loud'\n", ":2: controller.log_level: 'loud' is no log level",
       "allowed are trace, debug, info, warning, error"},
      {"[listen]\nendpoint = 'here'\n", ":2: listen.endpoint: \"here\"", "10.0.0.1:7443 or [::]:7443"},
      {"[heartbeat]\ninterval = '0s'\n", ":2: heartbeat.interval: is not longer than 0", "5s or 10min"},
      {"[heartbeat]\ninterval = '20ms'\n", ":2: heartbeat.interval: is shorter than agents", "at least 100ms"}};
  for (const auto& [text, cause, remedy] : wrongs) {
    const auto settings = read(text);
    ASSERT_FALSE(settings) << text;
    EXPECT_THAT(settings.error().message, HasSubstr("controllerd.toml"));
    EXPECT_THAT(settings.error().message, HasSubstr(cause));
    EXPECT_THAT(settings.error().remedy, HasSubstr(remedy));
  }
}

TEST(Settings, NameWhatIsMissing) {
  auto config = Config::parse("", "controllerd.toml");
  ASSERT_TRUE(config);
  const auto settings = Settings::from(*config);
  ASSERT_FALSE(settings);
  EXPECT_EQ(settings.error().text(),
            "controllerd.toml: tls.ca: is missing (give it a value; docs/configuration.md tells what it means)");
}

constexpr auto settings_keys = test::printed_keys<Settings>;

constexpr std::string_view kFenceAgents =
    "[[fence.agent]]\nhost = 'host1'\ncommand = ['/bin/off', '--now']\n"
    "[[fence.agent]]\nhost = 'host2'\ncommand = ['/bin/off']\nstatus = ['/bin/ask']\noff = 'OFF'\ntimeout = '5s'\n";

std::string with_tls(std::string_view text) {
  return std::string(text) + std::string(kTls);
}

TEST(Settings, ArePrintedSoThatTheyReadTheSame) {
  const auto keys = settings_keys(
      Config::parse(with_tls("[brain]\nforecast_step = '1s'\n" + std::string(kFenceAgents)), "controllerd.toml"));
  EXPECT_THAT(keys, HasSubstr("history = \"10000s\"\n")) << "the longest of so short steps";
  EXPECT_THAT(keys, HasSubstr("[[fence.agent]]\n"
                              "command = [\"/bin/off\"]\nhost = \"host2\"\noff = \"OFF\"\n"
                              "status = [\"/bin/ask\"]\ntimeout = \"5s\"\n"));
  EXPECT_EQ(settings_keys(Config::parse(keys, "printed.toml")), keys);
}

class PackagedSettings : public test::PackagedConfig<Settings> {
 protected:
  PackagedSettings() : PackagedConfig("controllerd.toml") {}
};

TEST_F(PackagedSettings, NameEveryKeyAndNoOther) {
  EXPECT_EQ(test::keys_of(test::with_examples(test::text_of(packaged))),
            test::keys_of(settings_keys(Config::parse(with_tls(kFenceAgents), "controllerd.toml"))));
}

TEST_F(PackagedSettings, ChangeNothing) {
  // Values that other defaults follow among them.
  for (const auto* text : {"", "[brain]\nforecast_step = '1s'\n", "[brain]\nconfirm_n = 1\n"})
    EXPECT_EQ(keys_over_packaged(with_tls(text)), settings_keys(Config::parse(with_tls(text), "controllerd.toml")));
}

TEST_F(PackagedSettings, HaveExamplesThatMayBeTaken) {
  const auto keys = keys_over_packaged(test::with_examples(test::text_of(packaged)));
  EXPECT_THAT(keys, HasSubstr("[[fence.agent]]\n"));
  EXPECT_EQ(settings_keys(Config::parse(keys, "printed.toml")), keys);
}

TEST(ZoneFeed, ReadsHealthAndReason) {
  const auto words = parse_zone_feed(R"({"zones": {"a": {"health": 0.2, "reason": "smoke"}, "b": {"health": 1}}})");
  ASSERT_TRUE(words) << words.error().text();
  ASSERT_EQ(words->size(), 2u);
  EXPECT_EQ((*words)[0].health, 0.2);
  EXPECT_EQ((*words)[0].reason, "smoke");
  EXPECT_EQ((*words)[1].health, 1);
}

TEST(ZoneFeed, SaysWhatIsWrong) {
  for (const auto& [text, why] : {std::pair{"", "is not JSON"}, std::pair{"[]", "has no object \"zones\""},
                                  std::pair{R"({"zones": {"a": 0.5}})", "no health for zone a"},
                                  std::pair{R"({"zones": {"a": {"health": 2}}})", "not within 0 and 1"},
                                  std::pair{R"({"zones": {"a": {"health": "0.5"}}})", "no health for zone a"}}) {
    const auto words = parse_zone_feed(text);
    ASSERT_FALSE(words) << text;
    EXPECT_THAT(words.error().message, HasSubstr(why));
    EXPECT_EQ(words.error().remedy, R"(it reads like {"zones": {"a": {"health": 0.2, "reason": "why"}}})");
  }
}

TEST(ZoneFeed, SpeaksOnlyWhenTheFileHasChanged) {
  const auto file = std::filesystem::temp_directory_path() / fmt::format("umbra-feed-{}.json", ::getpid());
  ZoneFeed feed(file);
  EXPECT_FALSE(feed.poll()) << "no file says nothing";
  std::ofstream(file) << R"({"zones": {"a": {"health": 0.5}}})";
  EXPECT_TRUE(feed.poll());
  EXPECT_FALSE(feed.poll());
  std::ofstream(file) << "broken";
  const auto broken = feed.poll();
  std::filesystem::remove(file);
  ASSERT_TRUE(broken);
  EXPECT_FALSE(*broken);
  EXPECT_FALSE(feed.poll());
}

}  // namespace
}  // namespace umbra::controller
