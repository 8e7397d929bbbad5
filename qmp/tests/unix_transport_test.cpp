#include "qmp/unix_transport.hpp"

#include <sys/socket.h>

#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/write.hpp>

#include "qmp/tests/run.hpp"

namespace umbra::qmp {
namespace {
using namespace std::chrono_literals;
namespace json = boost::json;

constexpr std::string_view kGreeting = R"({"QMP": {"version": {"qemu": {"micro": 2, "minor": 0, "major": 10}}}})";

/// The other end of a monitor, which says what the test tells it to.
class Peer {
 public:
  explicit Peer(asio::io_context& io) : socket_(io) {
    int ends[2];
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    socket_.assign(asio::local::stream_protocol(), ends[0]);
    client_end = ends[1];
  }
  void say(std::string_view line) { asio::write(socket_, asio::buffer(std::string(line) + "\n")); }
  asio::awaitable<std::string> hear() {
    const auto size = co_await asio::async_read_until(socket_, asio::dynamic_buffer(heard_), '\n', asio::use_awaitable);
    auto line = heard_.substr(0, size);
    heard_.erase(0, size);
    co_return line;
  }
  void hang_up() { socket_.close(); }

  int client_end = -1;

 private:
  asio::local::stream_protocol::socket socket_;
  std::string heard_;
};

struct UnixTransportTest : testing::Test {
  asio::io_context io;
  Peer peer{io};

  /// A negotiated session; the negotiation's command has id 1.
  Task<std::shared_ptr<UnixTransport>> open() {
    peer.say(kGreeting);
    peer.say(R"({"return": {}, "id": 1})");
    co_return co_await UnixTransport::adopt(peer.client_end, 1s);
  }
  static Task<json::value> ask(UnixTransport& transport, std::string command, Deadline deadline = 1s) {
    json::object none;
    co_return co_await transport.execute(std::move(command), none, deadline);
  }
};

TEST_F(UnixTransportTest, MatchesOverlappingRepliesByTheirIds) {
  using namespace asio::experimental::awaitable_operators;
  run_task(io, [](UnixTransportTest& t) -> Task<void> {
    UMBRA_CO_TRY(const auto transport, co_await t.open());
    t.peer.say(R"({"return": "second", "id": 3})");
    t.peer.say(R"({"return": "first", "id": 2})");
    auto [first, second] = co_await (t.ask(*transport, "a") && t.ask(*transport, "b"));
    CO_ASSERT(first && second);
    EXPECT_EQ(first->as_string(), "first");
    EXPECT_EQ(second->as_string(), "second");
    co_return Result<void>{};
  }(*this));
}

TEST_F(UnixTransportTest, TellsEventsInTheirOrder) {
  run_task(io, [](UnixTransportTest& t) -> Task<void> {
    UMBRA_CO_TRY(const auto transport, co_await t.open());
    std::string names;
    transport->on_event([&](const Event& event) { names += event.name + " "; });
    t.peer.say(R"({"event": "STOP", "timestamp": {"seconds": 1, "microseconds": 2}})");
    t.peer.say(R"({"event": "RESUME", "timestamp": {"seconds": 1, "microseconds": 3}})");
    t.peer.say(R"({"return": {}, "id": 2})");
    UMBRA_CO_CHECK(co_await t.ask(*transport, "x"));
    EXPECT_EQ(names, "STOP RESUME ");
    co_return Result<void>{};
  }(*this));
}

TEST_F(UnixTransportTest, FailsEveryPendingAndLaterCommandWhenThePeerDies) {
  using namespace asio::experimental::awaitable_operators;
  run_task(io, [](UnixTransportTest& t) -> Task<void> {
    UMBRA_CO_TRY(const auto transport, co_await t.open());
    asio::post(t.io, [&] { t.peer.hang_up(); });
    const auto [first, second] = co_await (t.ask(*transport, "a") && t.ask(*transport, "b"));
    CO_ASSERT(!first && !second);
    EXPECT_EQ(first.error().code, Errc::kUnavailable);
    EXPECT_EQ(second.error().code, Errc::kUnavailable);
    const auto later = co_await t.ask(*transport, "c");
    CO_ASSERT(!later);
    EXPECT_EQ(later.error().code, Errc::kUnavailable);
    co_return Result<void>{};
  }(*this));
}

TEST_F(UnixTransportTest, GivesUpAtTheDeadlineAndPassesOverTheLateReply) {
  run_task(io, [](UnixTransportTest& t) -> Task<void> {
    UMBRA_CO_TRY(const auto transport, co_await t.open());
    const auto late = co_await t.ask(*transport, "slow", 5ms);
    CO_ASSERT(!late);
    EXPECT_EQ(late.error().code, Errc::kTimeout);
    t.peer.say(R"({"return": "late", "id": 2})");
    t.peer.say(R"({"return": "mine", "id": 3})");
    UMBRA_CO_TRY(const auto mine, co_await t.ask(*transport, "next"));
    EXPECT_EQ(mine.as_string(), "mine");
    co_return Result<void>{};
  }(*this));
}

TEST_F(UnixTransportTest, EndsTheSessionOnWhatIsNotQmp) {
  run_task(io, [](UnixTransportTest& t) -> Task<void> {
    UMBRA_CO_TRY(const auto transport, co_await t.open());
    t.peer.say("Segmentation fault");
    const auto answer = co_await t.ask(*transport, "a");
    CO_ASSERT(!answer);
    EXPECT_EQ(answer.error().code, Errc::kCorrupt);
    co_return Result<void>{};
  }(*this));
}

TEST_F(UnixTransportTest, WaitsForTheGreetingNoLongerThanTold) {
  run_task(io, [](UnixTransportTest& t) -> Task<void> {
    const auto transport = co_await UnixTransport::adopt(t.peer.client_end, 5ms);
    CO_ASSERT(!transport);
    EXPECT_EQ(transport.error().code, Errc::kTimeout);
    co_return Result<void>{};
  }(*this));
}

TEST_F(UnixTransportTest, SaysWhenNobodyListens) {
  run_task(io, []() -> Task<void> {
    const auto transport = co_await UnixTransport::connect("/nonexistent/qmp.sock", 1s);
    CO_ASSERT(!transport);
    EXPECT_EQ(transport.error().code, Errc::kUnavailable);
    EXPECT_NE(transport.error().message.find("/nonexistent/qmp.sock"), std::string::npos);
    co_return Result<void>{};
  }());
}

TEST_F(UnixTransportTest, RefusesAPathThatNoSocketCanHave) {
  run_task(io, []() -> Task<void> {
    const std::string path(200, 'x');
    const auto transport = co_await UnixTransport::connect(path, 1s);
    CO_ASSERT(!transport);
    EXPECT_EQ(transport.error().code, Errc::kInvalid);
    co_return Result<void>{};
  }());
}

}  // namespace
}  // namespace umbra::qmp
