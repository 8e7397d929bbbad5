// The unit files, as systemd itself reads them.
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/wait.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <regex>
#include <string>

#include "base/temporary_directory.hpp"

namespace umbra::systemd {
namespace {

namespace fs = std::filesystem;

std::string text_of(const fs::path& file) {
  std::ifstream in(file);
  return {std::istreambuf_iterator<char>(in), {}};
}

struct Run {
  int code = -1;
  std::string output;
};

Run run(const std::string& command) {
  Run result;
  FILE* pipe = popen((command + " 2>&1").c_str(), "r");
  if (pipe == nullptr) return result;
  for (int c = fgetc(pipe); c != EOF; c = fgetc(pipe)) result.output += static_cast<char>(c);
  const int status = pclose(pipe);
  result.code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return result;
}

class Units : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    // The programs need not be installed for their units to be judged.
    copy_ = directory_.path() / GetParam();
    std::ofstream(copy_) << std::regex_replace(source(), std::regex("ExecStart=\\S+"), "ExecStart=/bin/true");
  }
  static std::string source() { return text_of(fs::path(UMBRA_UNITS) / GetParam()); }

  TemporaryDirectory directory_ = TemporaryDirectory::make("umbra-units-").value();
  fs::path copy_;
};

TEST_P(Units, are_understood_by_systemd_without_a_word) {
  const auto verified = run("systemd-analyze verify " + copy_.string());
  EXPECT_EQ(verified.code, 0) << verified.output;
  EXPECT_EQ(verified.output, "");
}

TEST_P(Units, leave_little_exposed) {
  // Tenths of systemd's exposure level, 0 to 100; a plain service has 96. The agent's CAP_CHOWN, and what it needs to
  // be of use, cost 4 (docs/adr/0011).
  const bool agent = std::string_view(GetParam()) == "umbra-agentd.service";
  const auto judged =
      run("systemd-analyze security --offline=true --no-pager --threshold=" + std::string(agent ? "25 " : "21 ") +
          copy_.string());
  EXPECT_EQ(judged.code, 0) << judged.output;
}

TEST_P(Units, announce_readiness_and_are_watched) {
  EXPECT_NE(source().find("\nType=notify\n"), std::string::npos);
  EXPECT_TRUE(std::regex_search(source(), std::regex("\nWatchdogSec=[0-9]+s\n")));
}

TEST(Guard, ends_before_libvirt_begins_and_is_as_hardened) {
  const auto directory = TemporaryDirectory::make("umbra-units-").value();
  const auto copy = directory.path() / "umbra-guard.service";
  const auto source = text_of(fs::path(UMBRA_UNITS) / "umbra-guard.service");
  std::ofstream(copy) << std::regex_replace(source, std::regex("ExecStart=\\S+"), "ExecStart=/bin/true");
  const auto verified = run("systemd-analyze verify " + copy.string());
  EXPECT_EQ(verified.code, 0) << verified.output;
  EXPECT_EQ(verified.output, "");
  const auto judged = run("systemd-analyze security --offline=true --no-pager --threshold=25 " + copy.string());
  EXPECT_EQ(judged.code, 0) << judged.output;
  EXPECT_NE(source.find("\nType=oneshot\n"), std::string::npos);
  std::smatch before;
  ASSERT_TRUE(std::regex_search(source, before, std::regex("\nBefore=(.*)\n")));
  for (const char* unit : {"libvirtd.service", "virtqemud.service", "libvirt-guests.service"})
    EXPECT_NE(before[1].str().find(unit), std::string::npos) << unit;
  EXPECT_EQ(before[1].str().find(".socket"), std::string::npos)
      << "sockets come before basic.target, and this after it";
}

TEST(Gate, is_a_template_that_the_agent_alone_may_start) {
  const auto directory = TemporaryDirectory::make("umbra-units-").value();
  const auto copy = directory.path() / "umbra-gate@.service";
  const auto source = text_of(fs::path(UMBRA_UNITS) / "umbra-gate@.service");
  std::ofstream(copy) << std::regex_replace(source, std::regex("ExecStart=\\S+"), "ExecStart=/bin/true");
  const auto verified = run("systemd-analyze verify " + (directory.path() / "umbra-gate@x.service").string());
  EXPECT_EQ(verified.code, 0) << verified.output;
  EXPECT_EQ(verified.output, "");
  const auto judged = run("systemd-analyze security --offline=true --no-pager --threshold=25 " + copy.string());
  EXPECT_EQ(judged.code, 0) << judged.output;
  EXPECT_NE(source.find("\nRestart=no\n"), std::string::npos) << "its streams end with it";
  const auto rule = text_of(fs::path(UMBRA_SYSTEMD) / "polkit/umbra-gate.rules");
  EXPECT_NE(rule.find(R"(/^umbra-gate@[0-9a-f-]{36}\.[sd][0-9]+\.service$/)"), std::string::npos);
}

INSTANTIATE_TEST_SUITE_P(Each, Units, testing::Values("umbra-agentd.service", "umbra-controllerd.service"),
                         [](const auto& each) {
                           return std::string(each.param).starts_with("umbra-agentd") ? "agentd" : "controllerd";
                         });

TEST(Sysusers, makes_the_users_that_the_units_name) {
  const auto directory = TemporaryDirectory::make("umbra-sysusers-").value();
  const auto root = directory.path().string();
  const auto made =
      run("systemd-sysusers --root=" + root +
          " " UMBRA_SYSTEMD "/sysusers/umbra-agentd.conf " UMBRA_SYSTEMD "/sysusers/umbra-controller.conf");
  EXPECT_EQ(made.code, 0) << made.output;
  const std::string users = text_of(fs::path(root) / "etc/passwd");
  for (const char* unit : {"umbra-agentd.service", "umbra-controllerd.service"}) {
    std::smatch user;
    const std::string source = text_of(fs::path(UMBRA_UNITS) / unit);
    ASSERT_TRUE(std::regex_search(source, user, std::regex("\nUser=(\\S+)\n")));
    EXPECT_NE(("\n" + users).find("\n" + user[1].str() + ":"), std::string::npos) << users;
  }
}

}  // namespace
}  // namespace umbra::systemd
