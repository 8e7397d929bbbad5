#include <gmock/gmock.h>
#include <sys/stat.h>

#include <fstream>

#include "base/config.hpp"
#include "base/temporary_directory.hpp"
#include "base/tests/config_text.hpp"

namespace umbra {
namespace {

using testing::HasSubstr;
using testing::Not;
using namespace std::chrono_literals;

class ConfigLayers : public testing::Test {
 protected:
  ConfigLayers() { std::filesystem::create_directory(drop_ins); }

  std::filesystem::path write(const std::filesystem::path& path, std::string_view text) {
    std::ofstream(path) << text;
    return path;
  }
  std::filesystem::path drop_in(std::string_view name, std::string_view text) { return write(drop_ins / name, text); }
  Config loaded() {
    auto config = Config::load_layers(file, packaged);
    EXPECT_TRUE(config) << config.error().text();
    return std::move(*config);
  }
  void expect_refused(std::string_view message, std::string_view remedy) {
    const auto config = Config::load_layers(file, packaged);
    ASSERT_FALSE(config) << message;
    EXPECT_THAT(config.error().message, HasSubstr(message));
    EXPECT_THAT(config.error().remedy, HasSubstr(remedy));
  }

  TemporaryDirectory directory = TemporaryDirectory::make("umbra-config-").value();
  std::filesystem::path packaged = directory.path() / "packaged.toml";
  std::filesystem::path file = write(directory.path() / "agentd.toml", "");
  std::filesystem::path drop_ins = directory.path() / "agentd.toml.d";
};

TEST_F(ConfigLayers, TheFileGoesBeforeThePackagedDefaultsAndDropInsBeforeBothInOrderOfName) {
  write(packaged, "[a]\none = 1\ntwo = 1\nthree = 1\nfour = 1\n");
  write(file, "[a]\ntwo = 2\nthree = 2\nfour = 2\n");
  drop_in("20-later.toml", "[a]\nfour = 4\n");
  drop_in("10-sooner.toml", "[a]\nthree = 3\nfour = 3\n");
  auto config = loaded();
  EXPECT_EQ(config.integer("a.one", 0, 0, 9), 1);
  EXPECT_EQ(config.integer("a.two", 0, 0, 9), 2);
  EXPECT_EQ(config.integer("a.three", 0, 0, 9), 3);
  EXPECT_EQ(config.integer("a.four", 0, 0, 9), 4);
  EXPECT_TRUE(config.finish());
}

TEST_F(ConfigLayers, NeedOnlyTheFileItself) {
  std::filesystem::remove(drop_ins);
  write(file, "[a]\nkey = 'x'\n");
  EXPECT_EQ(loaded().text("a.key", ""), "x");
  EXPECT_TRUE(Config::load_layers(file, "")) << "no packaged defaults at all";
  std::filesystem::remove(file);
  write(packaged, "");
  expect_refused("cannot read configuration " + file.string() + ": No such file", "--config");
}

TEST_F(ConfigLayers, AListReplacesTheWholeListBelowIt) {
  write(file,
        "[a]\nlist = ['x', 'y']\n[[fence]]\nhost = 'host1'\n[[fence]]\nhost = 'host2'\n[[gone]]\nhost = 'host1'\n");
  drop_in("50.toml", "gone = []\n[a]\nlist = ['z']\n[[fence]]\nhost = 'host3'\n");
  auto config = loaded();
  EXPECT_THAT(config.texts("a.list"), testing::ElementsAre("z"));
  ASSERT_EQ(config.tables("fence"), 1u);
  EXPECT_EQ(config.required_text("fence[0].host"), "host3");
  EXPECT_EQ(config.tables("gone"), 0u);
  EXPECT_TRUE(config.finish());
}

TEST_F(ConfigLayers, AComplaintNamesTheLayerThatTheValueCameFrom) {
  write(packaged, "[a]\nzero = 1\nfirst = '1h'\n\n\n\nlist = ['x']\n");
  write(file, "[a]\nsecond = '1h'\n");
  const auto site = drop_in("50-site.toml", "[a]\n\nthird = '5 parsecs'\nlist = [1]\n[[fence]]\noff = 3\n").string();
  const auto complaint = [this](const std::function<void(Config&)>& ask) {
    auto config = loaded();
    ask(config);
    return config.finish().error();
  };
  EXPECT_THAT(complaint([](Config& config) { config.duration("a.third", 1s); }).message,
              HasSubstr(site + ":3: a.third: '5 parsecs' is not a duration"));
  EXPECT_THAT(complaint([](Config& config) { config.texts("a.list"); }).message,
              HasSubstr(site + ":4: a.list: is not a list of strings"));
  EXPECT_THAT(complaint([](Config& config) { config.text("fence[0].off", ""); }).message,
              HasSubstr(site + ":6: fence[0].off: is not a string"));
  EXPECT_THAT(complaint([](Config& config) { config.complain("a.second", "is odd", ""); }).message,
              HasSubstr(file.string() + ":2: a.second: is odd"));
  EXPECT_THAT(complaint([](Config& config) { config.required_text("a.missing"); }).message,
              HasSubstr(file.string() + ": a.missing: is missing"));
  const auto of_default = complaint([](Config& config) { config.complain("a.first", "is odd", "make it even"); });
  EXPECT_THAT(of_default.message, HasSubstr(packaged.string() + ":3: a.first: is odd"));
  EXPECT_EQ(of_default.remedy, "make it even; set it in " + file.string());
}

TEST_F(ConfigLayers, AKeyThatNobodyKnowsIsRefusedInEveryLayer) {
  const auto site = drop_ins / "50-site.toml";
  for (const auto& layer : {packaged, file, site}) {
    write(layer, "[a]\n\nzome = 1\n");
    const auto outcome = loaded().finish();
    ASSERT_FALSE(outcome);
    EXPECT_THAT(outcome.error().message, HasSubstr(layer.string() + ":3: unknown key a.zome"));
    write(layer, "");
  }
}

TEST_F(ConfigLayers, ASectionCannotBeAValueInAnotherLayer) {
  write(file, "[a]\nkey = 1\n");
  drop_in("50.toml", "\na = 1\n");
  expect_refused("50.toml:2: a is a value, but a section in " + file.string() + ":1", "correct one of them");
}

TEST_F(ConfigLayers, ALayerThatIsNoTomlIsNamed) {
  const auto site = drop_in("50-site.toml", "[a]\nkey =\n").string();
  expect_refused(site + ":2:", "must be TOML");
  std::filesystem::remove(site);
  write(packaged, "[a\n");
  expect_refused(packaged.string() + ":1:", "must be TOML");
}

TEST_F(ConfigLayers, HiddenFilesAndOtherEndingsAreNoDropIns) {
  for (const auto* name : {".50-site.toml", "50-site.toml~", "50-site.conf", "README"}) drop_in(name, "not TOML");
  EXPECT_TRUE(loaded().finish());
}

TEST_F(ConfigLayers, WhatIsNoRegularFileIsNoLayer) {
  const auto pipe = drop_ins / "50-pipe.toml";
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  expect_refused(pipe.string() + ": is not a regular file", "a drop-in is corrected or removed");
  std::filesystem::remove(pipe);
  std::filesystem::create_directory(drop_ins / "50-directory.toml");
  expect_refused("50-directory.toml: is not a regular file", "corrected or removed");
  std::filesystem::remove(drop_ins / "50-directory.toml");
  std::filesystem::create_symlink("nowhere", drop_ins / "50-link.toml");
  expect_refused("50-link.toml: No such file", "corrected or removed");
  std::filesystem::remove_all(drop_ins);
  write(drop_ins, "");
  expect_refused(drop_ins.string() + ": Not a directory", "corrected or removed");
  std::filesystem::remove(drop_ins);
  std::filesystem::remove(file);
  std::filesystem::create_directory(file);
  expect_refused(file.string() + ": Is a directory", "--config");
}

TEST_F(ConfigLayers, AreLimitedInNumberAndSize) {
  for (std::size_t i = 0; i < kMostDropIns; ++i) drop_in(fmt::format("{:03}.toml", i), "");
  const auto last = drop_in("099.toml", std::string(kMostLayerBytes, '\n'));
  EXPECT_TRUE(loaded().finish()) << "that much may be";
  write(last, std::string(kMostLayerBytes + 1, '\n'));
  expect_refused(last.string() + " is larger than 1 MiB", "shorter");
  write(last, "");
  drop_in("100.toml", "");
  expect_refused(drop_ins.string() + " has 101 configuration files, more than 100", "into one file");
}

/// Asks for keys of every kind.
void ask(Config& config) {
  config.tables("fence.agent");
  for (const auto* name : {"fence.agent[0].host", "fence.agent[1].host"}) config.text(name, "");
  config.tables("fence.none");
  config.text("top", "");
  config.text("a.text", "");
  config.texts("a.list");
  config.duration("a.time", 90min);
  config.duration("a.zero", 0s);
  config.boolean("a.yes", true);
  config.number("a.share", 0.1, 0, 1);
  config.integer("a.count", 7, 0, 9);
  EXPECT_TRUE(config.finish()) << config.finish().error().text();
}

constexpr std::string_view kAll =
    "top = \"\"\n\n"
    "[a]\ncount = 7\nlist = [\"x\", \"y # z\"]\nshare = 0.25\ntext = \"it's \\\"q\\\" \\\\ \\n\\u00F6\"\n"
    "time = \"90min\"\nyes = true\nzero = \"0s\"\n\n"
    "[fence]\nnone = []\n\n[[fence.agent]]\nhost = \"host1\"\n\n[[fence.agent]]\nhost = \"host2\"\n";

TEST_F(ConfigLayers, ArePrintedWithTheOriginOfEachKey) {
  write(file, "[a]\ntext = \"\"\"it's \"q\" \\\\ \nö\"\"\"\nshare = 0.25\nlist = ['x', 'y # z']\n");
  const auto site = drop_in("50.toml", "[[fence.agent]]\nhost = 'host1'\n[[fence.agent]]\nhost = 'host2'\n").string();
  auto config = loaded();
  ask(config);
  EXPECT_EQ(test::without_origins(config.print()), kAll);
  const auto line = [&](const std::string& text, const std::string& origin) { return text + "  # " + origin + '\n'; };
  EXPECT_THAT(config.print(), HasSubstr(line("count = 7", "default")));
  EXPECT_THAT(config.print(), HasSubstr(line("share = 0.25", file.string() + ":4")));
  EXPECT_THAT(config.print(), HasSubstr(line("[[fence.agent]]", site + ":3")));
  EXPECT_THAT(config.print(), HasSubstr(line("host = \"host2\"", site + ":4")));
  EXPECT_THAT(config.print(), HasSubstr(line("none = []", "default")));
}

TEST_F(ConfigLayers, ReadTheSameFromWhatWasPrinted) {
  write(file, kAll);
  auto config = loaded();
  ask(config);
  EXPECT_EQ(test::without_origins(config.print()), kAll);
  EXPECT_THAT(config.print(), Not(HasSubstr("default")));
  write(file, config.print());
  auto again = loaded();
  ask(again);
  EXPECT_EQ(test::without_origins(again.print()), kAll);
}

TEST_F(ConfigLayers, APathOfSteeringCharactersForgesNoLine) {
  const auto odd = write(directory.path() / "a\nb = 1.toml", "[a]\nkey = 1\n");
  auto config = Config::load_layers(odd, "");
  ASSERT_TRUE(config) << config.error().text();
  config->integer("a.key", 0, 0, 9);
  EXPECT_EQ(test::without_origins(config->print()), "[a]\nkey = 1\n");
}

TEST(Duration, IsWrittenInTheLargestUnitThatFits) {
  for (const auto* text : {"0s", "1ms", "999ms", "1s", "90s", "1min", "90min", "6h", "14d"})
    EXPECT_EQ(format_duration(parse_duration(text).value()), text);
  EXPECT_EQ(format_duration(7200s), "2h");
}

}  // namespace
}  // namespace umbra
