// The control socket: who may speak there, and what comes of what is said.
#include "gate/control.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <boost/asio/co_spawn.hpp>

#include "gate/client.hpp"
#include "gate/launch.hpp"
#include "gate/tests/two_gates.hpp"

namespace umbra::gate {
namespace {

using test::must;
using test::TwoGates;
using namespace std::chrono_literals;

struct ControlSocket : testing::Test {
  template <class T>
  Result<T> run(Task<T> task) {
    std::optional<Result<T>> answer;
    asio::co_spawn(world.io, std::move(task), [&](std::exception_ptr bug, Result<T> result) {
      if (bug) std::rethrow_exception(bug);
      answer = std::move(result);
    });
    world.until([&] { return answer.has_value(); });
    return *answer;
  }
  std::shared_ptr<Client> connect() { return must(run(Client::connect(path))); }
  Result<v1::GateStatus> say(const std::shared_ptr<Client>& client, v1::GateCommand command) {
    return run(client->ask(std::move(command), 2s));
  }

  TwoGates world;
  const std::string path = world.path("control");
  std::unique_ptr<Control> control = must(Control::listen(world.io.get_executor(), world.clock, path));
  bool over = false;
  void SetUp() override {
    control->on_end([this] { over = true; });
  }
};

TEST_F(ControlSocket, TakesATaskOnceAndAnswersEachCommand) {
  const auto client = connect();
  v1::GateCommand begin;
  *begin.mutable_begin() = world.standby_task();
  const auto begun = say(client, begin);
  ASSERT_TRUE(begun) << begun.error().text();
  EXPECT_TRUE(begun->endpoint().starts_with("127.0.0.1:497")) << begun->endpoint();
  EXPECT_EQ(begun->task().key(), "") << "nobody needs to know";
  const auto again = say(client, begin);
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code, Errc::kConflict);
  v1::GateCommand set;
  set.mutable_set()->set_mode(v1::GATE_MODE_PULSED);
  set.mutable_set()->set_pause_us(9'000);
  ASSERT_TRUE(say(client, set));
  v1::GateCommand look;
  look.set_look(true);
  EXPECT_EQ(say(connect(), look)->setting().pause_us(), 9'000U) << "another life of the agent sees it";
}

TEST_F(ControlSocket, IsForItsOwnUserAlone) {
  struct stat there {};
  ASSERT_EQ(::stat(path.c_str(), &there), 0);
  EXPECT_EQ(there.st_mode & 0777U, 0600U);
  ASSERT_EQ(::chmod(path.c_str(), 0666), 0);
  ASSERT_EQ(::chmod(world.directory.path().c_str(), 0711), 0);
  const auto child = ::fork();
  if (child == 0) {
    if (::setuid(65534) != 0) ::_exit(2);
    const auto socket = connect_unix(path);
    if (!socket) ::_exit(3);
    char byte = 0;
    ::_exit(wait_for(socket->get(), POLLIN, 5s) && ::recv(socket->get(), &byte, 1, 0) == 0 ? 0 : 4);
  }
  int status = 0;
  EXPECT_TRUE(world.until([&] { return ::waitpid(child, &status, WNOHANG) == child; }));
  EXPECT_EQ(status, 0);
}

TEST_F(ControlSocket, WhoSpeaksGarbageIsSentAwayAndTheOthersStay) {
  const auto client = connect();
  for (const std::string& words : {std::string("\xff\xff\xff\xff"), std::string("\0\0\0\x04garbage", 11)}) {
    const auto stranger = must(connect_unix(path));
    ASSERT_GT(::send(stranger.get(), words.data(), words.size(), 0), 0);
    EXPECT_TRUE(world.ended(stranger));
  }
  v1::GateCommand look;
  look.set_look(true);
  EXPECT_TRUE(say(client, look));
  EXPECT_FALSE(say(client, v1::GateCommand())) << "a command that this version does not know";
}

TEST_F(ControlSocket, TellsOfTheEndAndIsGone) {
  const auto client = connect();
  std::string why;
  client->on_status([&](const v1::GateStatus& status) { why = status.ended(); });
  v1::GateCommand end;
  end.set_end("the shadow was dropped");
  client->tell(end);
  EXPECT_TRUE(world.until([&] { return over && !why.empty(); }));
  EXPECT_EQ(why, "the shadow was dropped");
  EXPECT_EQ(client->gone(), "the shadow was dropped");
  v1::GateCommand look;
  look.set_look(true);
  EXPECT_EQ(say(client, look).error().code, Errc::kUnavailable);
}

TEST(GateProgram, GoesOnWhenWhoeverStartedItIsGoneAndEndsWhenItIsTold) {
  TwoGates world;
  const std::filesystem::path program = std::filesystem::read_symlink("/proc/self/exe").parent_path() / "umbra-gate";
  const auto control = world.path("gate.sock");
  const auto child = ::fork();
  if (child == 0) ::_exit(launch({program, control, "info", world.path("log")}) ? 0 : 1);
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_EQ(status, 0);
  std::string why;
  std::shared_ptr<Client> client;
  asio::co_spawn(
      world.io,
      [&]() -> asio::awaitable<void> {
        auto connected = co_await Client::connect(control);
        if (connected) client = *connected;
      },
      asio::detached);
  ASSERT_TRUE(world.until([&] { return client != nullptr; }));
  client->on_status([&](const v1::GateStatus& told) { why = told.ended(); });
  v1::GateCommand end;
  end.set_end("no more");
  client->tell(end);
  EXPECT_TRUE(world.until([&] { return why == "no more"; }));
  EXPECT_TRUE(world.until([&] { return !std::filesystem::exists(control); }));
}

TEST(GateProgram, ThatIsNotThereIsSaid) {
  const auto launched = launch({"/nonexistent/umbra-gate", "/tmp/x"});
  ASSERT_FALSE(launched);
  EXPECT_NE(launched.error().text().find("/nonexistent/umbra-gate"), std::string::npos) << launched.error().text();
}

}  // namespace
}  // namespace umbra::gate
