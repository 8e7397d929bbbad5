#include "base/subprocess.hpp"

#include <gtest/gtest.h>

namespace umbra {
namespace {

using namespace std::chrono_literals;

const std::atomic<bool> kGoOn = false;

TEST(RunCommand, GivesStatusAndOutputOfBothStreams) {
  const auto ran = run_command({.words = {"sh", "-c", "echo out; echo err >&2; exit 3"}}, kGoOn);
  ASSERT_TRUE(ran) << ran.error().text();
  EXPECT_EQ(ran->status, 3);
  EXPECT_NE(ran->output.find("out"), std::string::npos);
  EXPECT_NE(ran->output.find("err"), std::string::npos);
}

TEST(RunCommand, LetsNoShellReadTheWords) {
  const auto ran = run_command({.words = {"echo", "$HOME; id", "*"}}, kGoOn);
  ASSERT_TRUE(ran);
  EXPECT_EQ(ran->output, "$HOME; id *\n");
}

TEST(RunCommand, GivesTheNamedVariablesAlone) {
  ::setenv("UMBRA_SECRET", "x", 1);
  const auto ran = run_command({.words = {"env"}, .variables = {{"UMBRA_HOST", "host1"}}}, kGoOn);
  ASSERT_TRUE(ran);
  EXPECT_NE(ran->output.find("UMBRA_HOST=host1"), std::string::npos);
  EXPECT_EQ(ran->output.find("UMBRA_SECRET"), std::string::npos);
}

TEST(RunCommand, KillsAProgramAndItsChildrenWhenTheTimeIsUp) {
  const auto begun = std::chrono::steady_clock::now();
  const auto ran = run_command({.words = {"sh", "-c", "sleep 60 & wait"}, .timeout = 100ms}, kGoOn);
  ASSERT_FALSE(ran);
  EXPECT_EQ(ran.error().code, Errc::kTimeout);
  EXPECT_LT(std::chrono::steady_clock::now() - begun, 10s);
}

TEST(RunCommand, KeepsLittleOfALongOutput) {
  const auto ran = run_command({.words = {"sh", "-c", "head -c 1000000 /dev/zero"}, .most_output = 100}, kGoOn);
  ASSERT_TRUE(ran);
  EXPECT_EQ(ran->status, 0);
  EXPECT_EQ(ran->output.size(), 100u);
}

TEST(RunCommand, SaysThatThereIsNoSuchProgram) {
  const auto ran = run_command({.words = {"/no/such/program"}}, kGoOn);
  ASSERT_FALSE(ran);
  EXPECT_EQ(ran.error().code, Errc::kNotFound);
}

}  // namespace
}  // namespace umbra
