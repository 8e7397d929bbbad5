#include "cli/options.hpp"

#include <gmock/gmock.h>
#include <unistd.h>

#include <fstream>

namespace umbra::cli {
namespace {

using testing::HasSubstr;
using namespace std::chrono_literals;

class Options : public testing::Test {
 protected:
  Options() : directory_(std::filesystem::temp_directory_path() / fmt::format("umbra-options-{}", ::getpid())) {
    std::filesystem::create_directories(directory_);
  }
  ~Options() override { std::filesystem::remove_all(directory_); }
  std::filesystem::path file(const char* name, const char* text) const {
    std::ofstream(directory_ / name) << text;
    return directory_ / name;
  }
  std::filesystem::path directory_;
  const Contexts none{""};
};

TEST_F(Options, FlagsGoBeforeTheFileAndTheUsersFileBeforeTheMachines) {
  const auto user =
      file("user.toml",
           "controller = 'c1:7443'\nca = 'ca.pem'\ncert = '/etc/umbra/cert.pem'\noutput = 'json'\ntimeout = '2s'\n");
  const auto machine = file("machine.toml", "controller = 'other:7443'\n");
  Flags flags;
  auto settings = settle(flags, {user, machine}, none);
  ASSERT_TRUE(settings) << settings.error().text();
  EXPECT_EQ(settings->controller, "c1:7443");
  EXPECT_EQ(settings->tls.ca, directory_ / "ca.pem") << "relative to the file";
  EXPECT_EQ(settings->tls.certificate, "/etc/umbra/cert.pem");
  EXPECT_EQ(settings->output, Output::kJson);
  EXPECT_EQ(settings->timeout, 2s);
  EXPECT_EQ(settings->config_file, user);

  flags.controller = "c2:7443";
  flags.output = "table";
  flags.timeout = "1min";
  settings = settle(flags, {directory_ / "absent.toml", user}, none);
  ASSERT_TRUE(settings);
  EXPECT_EQ(settings->controller, "c2:7443");
  EXPECT_EQ(settings->output, Output::kTable);
  EXPECT_EQ(settings->timeout, 1min);
}

TEST_F(Options, ADifferentFileIsUsedWhenNamedAndMustExist) {
  Flags flags;
  flags.config = file("mine.toml", "controller = 'mine:1'\n");
  EXPECT_EQ(settle(flags, {file("user.toml", "controller = 'user:1'\n")}, none)->controller, "mine:1");
  flags.config = directory_ / "absent.toml";
  EXPECT_EQ(settle(flags, {}, none).error().code, Errc::kNotFound);
  EXPECT_TRUE(settle(Flags{}, {}, none)) << "no file at all is fine";
}

TEST_F(Options, MistakesAreNamedWithFileAndRemedy) {
  EXPECT_THAT(settle({}, {file("a.toml", "contoller = 'c1:1'\n")}, none).error().message,
              HasSubstr("a.toml:1: unknown key contoller"));
  EXPECT_THAT(settle({}, {file("b.toml", "output = 'xml'\n")}, none).error().message,
              HasSubstr("b.toml:1: output: no output format 'xml'"));
  Flags flags;
  flags.timeout = "soon";
  EXPECT_THAT(settle(flags, {}, none).error().message, HasSubstr("'soon' is not a duration"));
  flags.timeout = "0s";
  EXPECT_EQ(settle(flags, {}, none).error().text(), "a timeout of 0 leaves no time for an answer (give one like 15s)");
  flags = {};
  flags.output = "xml";
  EXPECT_THAT(settle(flags, {}, none).error().remedy, HasSubstr("table and json"));
}

}  // namespace
}  // namespace umbra::cli
