#include <gmock/gmock.h>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>

#include "rpc/tests/echo_service.hpp"
#include "rpc/tests/log_capture.hpp"

namespace umbra::rpc::test {
namespace {

using testing::HasSubstr;
using CallsTest = RpcTest;

TEST_F(CallsTest, AUnaryCallReturnsTheReplyAndTheHandlerKnowsWhoCalls) {
  listen();
  run([this]() -> asio::awaitable<void> {
    const auto session = co_await get(dial(host1));
    EchoClient client(session);
    const auto reply = co_await get(client.say(text("hello"), 5s));
    EXPECT_EQ(reply.text(), "hello");
    EXPECT_EQ(echo->last_caller, "host1");
    EXPECT_EQ(session->peer().name, "controller1");
    EXPECT_EQ(session->peer().role, v1::ROLE_CONTROLLER);
  });
}

TEST_F(CallsTest, AnErrorTravelsWithItsCodeTextAndRemedy) {
  listen();
  run([this]() -> asio::awaitable<void> {
    EchoClient client(co_await get(dial(host1)));
    Failure wanted;
    wanted.set_code(static_cast<std::uint32_t>(Errc::kConflict));
    wanted.set_message("epoch 3 is older than 4");
    wanted.set_remedy("ask again");
    const auto error = co_await get_error(client.fail(wanted, 5s));
    EXPECT_EQ(error.code, Errc::kConflict);
    EXPECT_EQ(error.message, "epoch 3 is older than 4");
    EXPECT_EQ(error.remedy, "ask again");
  });
}

TEST_F(CallsTest, AnExceptionInAHandlerIsAnInternalErrorOfThatCallAndTheSessionGoesOn) {
  listen();
  const LogCapture log;
  run([this]() -> asio::awaitable<void> {
    EchoClient client(co_await get(dial(host1)));
    Failure wanted;
    wanted.set_by_exception(true);
    wanted.set_message("index out of range");
    const auto error = co_await get_error(client.fail(wanted, 5s));
    EXPECT_EQ(error.code, Errc::kInternal);
    EXPECT_THAT(error.message, HasSubstr("umbra.rpc.test.Echo/Fail: index out of range"));
    co_await get(client.say(text("still here"), 5s));
  });
  EXPECT_THAT(log.text(), HasSubstr("called by host1"));
}

TEST_F(CallsTest, TheServerCallsBackOverTheSameSession) {
  listen();
  const auto mine = std::make_shared<EchoServer>();
  run([this, mine]() -> asio::awaitable<void> {
    Services services{mine};
    EchoClient client(co_await get(dial(host1, services)));
    // The controller may not call Say at an agent: only agents and edges may.
    const auto error = co_await get_error(client.call_back(text("ping"), 5s));
    EXPECT_EQ(error.code, Errc::kDenied);
    EXPECT_THAT(error.message,
                HasSubstr("controller1 has the role controller, which may not call umbra.rpc.test.Echo/Say"));
  });
  // So let an edge serve in the controller's place.
  controller = fleet.node(v1::ROLE_EDGE, "edge1");
  listen();
  run([this, mine]() -> asio::awaitable<void> {
    Services services{mine};
    const Expect edge("edge1", v1::ROLE_EDGE);
    EchoClient client(co_await get(connect(io.get_executor(), address, host1, edge, services, 5s)));
    EXPECT_EQ((co_await get(client.call_back(text("ping"), 5s))).text(), "ping");
    EXPECT_EQ(mine->last_caller, "edge1");
  });
}

TEST_F(CallsTest, AMethodThatIsNotForTheCallersRoleIsDeniedByName) {
  listen();
  run([this]() -> asio::awaitable<void> {
    EchoClient client(co_await get(dial(host1)));
    const auto error = co_await get_error(client.admins_only(text(""), 5s));
    EXPECT_EQ(error.code, Errc::kDenied);
    EXPECT_EQ(error.message, "host1 has the role agent, which may not call umbra.rpc.test.Echo/AdminsOnly");
    EXPECT_THAT(error.remedy, HasSubstr("allowed to: admin"));
  });
}

TEST_F(CallsTest, AnUnknownMethodIsUnsupportedAndCostsNothingElse) {
  listen();
  run([this]() -> asio::awaitable<void> {
    const auto session = co_await get(dial(host1));
    const auto error = co_await get_error(session->call("umbra.rpc.test.Echo/Shout", "", 5s));
    EXPECT_EQ(error.code, Errc::kUnsupported);
    EXPECT_THAT(error.message, HasSubstr("umbra.rpc.test.Echo/Shout"));
    // A streaming method called as a unary one is as unknown.
    EXPECT_EQ((co_await get_error(session->call("umbra.rpc.test.Echo/Count", "", 5s))).code, Errc::kUnsupported);
    co_await get(EchoClient(session).say(text(""), 5s));
  });
}

TEST_F(CallsTest, ARequestThatDoesNotParseFailsThatCallAlone) {
  listen();
  run([this]() -> asio::awaitable<void> {
    const auto session = co_await get(dial(host1));
    const auto error = co_await get_error(session->call("umbra.rpc.test.Echo/Say", "\xff\xff", 5s));
    EXPECT_EQ(error.code, Errc::kCorrupt);
    EXPECT_THAT(error.message, HasSubstr("umbra.rpc.test.Text"));
    co_await get(EchoClient(session).say(text(""), 5s));
  });
}

TEST_F(CallsTest, AMethodNamedLikeAKeywordGetsAnUnderscore) {
  listen();
  run([this]() -> asio::awaitable<void> {
    EchoClient client(co_await get(dial(host1)));
    EXPECT_EQ((co_await get(client.delete_(text("x"), 5s))).text(), "x");
  });
}

TEST_F(CallsTest, AtTheDeadlineTheClientStopsWaitingAndTheHandlerIsCancelled) {
  listen();
  run([this]() -> asio::awaitable<void> {
    EchoClient client(co_await get(dial(host1)));
    const auto error = co_await get_error(client.wait_for_cancel(text(""), 50ms));
    EXPECT_EQ(error.code, Errc::kTimeout);
    EXPECT_THAT(error.message, HasSubstr("umbra.rpc.test.Echo/WaitForCancel"));
    co_await until([this] { return echo->cancelled == 1; });
    EXPECT_EQ(echo->waiting, 0);
  });
}

TEST_F(CallsTest, ACallWithNoTimeLeftIsNotSent) {
  listen();
  run([this]() -> asio::awaitable<void> {
    EchoClient client(co_await get(dial(host1)));
    EXPECT_EQ((co_await get_error(client.say(text(""), 0ms))).code, Errc::kTimeout);
    EXPECT_EQ(echo->said, 0);
  });
}

TEST_F(CallsTest, CancellingTheCallerCancelsTheHandler) {
  listen();
  run([this]() -> asio::awaitable<void> {
    EchoClient client(co_await get(dial(host1)));
    asio::cancellation_signal give_up;
    std::optional<Result<Text>> outcome;
    asio::co_spawn(io, client.wait_for_cancel(text(""), kNoDeadline),
                   asio::bind_cancellation_slot(give_up.slot(),
                                                [&](std::exception_ptr, Result<Text> result) { outcome = result; }));
    co_await until([this] { return echo->waiting == 1; });
    give_up.emit(asio::cancellation_type::terminal);
    co_await until([this, &outcome] { return echo->cancelled == 1 && outcome; });
    EXPECT_EQ(outcome->error().code, Errc::kCancelled);
    co_await get(client.say(text("the session goes on"), 5s));
  });
}

TEST_F(CallsTest, AThousandCallsAtOnceAreAllAnswered) {
  listen();
  run([this]() -> asio::awaitable<void> {
    EchoClient client(co_await get(dial(host1)));
    int right = 0;
    int answered = 0;
    for (int i = 0; i < 1000; ++i) {
      asio::co_spawn(io, client.say(text(std::to_string(i)), 30s),
                     [&right, &answered, i](std::exception_ptr, Result<Text> reply) {
                       ++answered;
                       right += reply && reply->text() == std::to_string(i) ? 1 : 0;
                     });
    }
    co_await until([&answered] { return answered == 1000; });
    EXPECT_EQ(right, 1000);
  });
}

TEST_F(CallsTest, CallsBeyondTheSessionsLimitAreRefusedAndNotQueued) {
  Limits limits;
  limits.max_calls = 3;
  listen(limits);
  run([this]() -> asio::awaitable<void> {
    EchoClient client(co_await get(dial(host1)));
    for (int i = 0; i < 3; ++i) asio::co_spawn(io, client.wait_for_cancel(text(""), 10s), asio::detached);
    co_await until([this] { return echo->waiting == 3; });
    const auto error = co_await get_error(client.say(text(""), 5s));
    EXPECT_EQ(error.code, Errc::kExhausted);
    EXPECT_THAT(error.message, HasSubstr("3 calls of host1"));
  });
}

TEST_F(CallsTest, AMessageOverTheFrameLimitIsRefusedWhereItIsMadeAndNamesTheLimit) {
  Limits limits;
  limits.max_frame = 64 * 1024;
  listen(limits);
  run([this, limits]() -> asio::awaitable<void> {
    const auto session = co_await get(dial(host1, {}, limits));
    EchoClient client(session);
    const auto request_error = co_await get_error(client.say(text(std::string(100'000, 'x')), 5s));
    EXPECT_EQ(request_error.code, Errc::kInvalid);
    EXPECT_THAT(request_error.message, HasSubstr("over the frame limit of 64.0 KiB"));
    EXPECT_TRUE(session->is_open());

    CountRequest too_large_item;
    too_large_item.set_items(1);
    too_large_item.set_item_bytes(100'000);
    auto stream = co_await get(client.count(too_large_item, 5s));
    const auto item_error = co_await get_error(stream.next());
    EXPECT_EQ(item_error.code, Errc::kInvalid);
    EXPECT_THAT(item_error.message, HasSubstr("over the frame limit of 64.0 KiB"));
    co_await get(client.say(text("the session goes on"), 5s));
  });
}

TEST_F(CallsTest, ALargeMessageArrivesWhole) {
  listen();
  run([this]() -> asio::awaitable<void> {
    EchoClient client(co_await get(dial(host1)));
    std::string large(std::size_t{15} << 20, '\0');
    for (std::size_t i = 0; i < large.size(); ++i) large[i] = static_cast<char>(i * 31 >> 3);
    EXPECT_EQ((co_await get(client.say(text(large), 30s))).text(), large);
  });
}

TEST_F(CallsTest, RoundTripTime) {
  listen();
  run([this]() -> asio::awaitable<void> {
    EchoClient client(co_await get(dial(host1)));
    std::vector<double> microseconds;
    for (int i = 0; i < 2000; ++i) {
      const auto start = std::chrono::steady_clock::now();
      co_await get(client.say(text("x"), 5s));
      microseconds.push_back(
          std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - start).count());
    }
    std::sort(microseconds.begin(), microseconds.end());
    const auto median = microseconds[microseconds.size() / 2];
    const auto worst = microseconds[microseconds.size() * 99 / 100];
    fmt::print("unary round trip over TLS on loopback, both ends in one thread: median {:.0f} µs, 99 % {:.0f} µs\n",
               median, worst);
    RecordProperty("median_us", static_cast<int>(median));
    EXPECT_EQ(echo->said, 2000);
  });
}

}  // namespace
}  // namespace umbra::rpc::test
