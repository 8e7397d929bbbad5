// Connections that come, go, and come back.
#include <gmock/gmock.h>

#include "base/listening.hpp"
#include "rpc/backoff.hpp"
#include "rpc/tests/echo_service.hpp"

namespace umbra::rpc::test {
namespace {

using testing::HasSubstr;

class LivenessTest : public RpcTest {
 protected:
  std::unique_ptr<Dialer> keep_connected(Limits limits = {}) {
    DialerHooks callbacks;
    callbacks.on_connected = [this](std::shared_ptr<Session>) { ++connected; };
    callbacks.on_disconnected = [this](const Error& why) {
      ++disconnected;
      reason = why;
    };
    return std::make_unique<Dialer>(io.get_executor(), address, host1, Expect("controller1", v1::ROLE_CONTROLLER),
                                    Services{}, callbacks, limits);
  }

  int connected = 0;
  int disconnected = 0;
  Error reason;
};

TEST_F(LivenessTest, ACallInFlightWhenTheServerDiesIsUnavailable) {
  listen();
  run([this]() -> asio::awaitable<void> {
    EchoClient client(co_await get(dial(host1)));
    std::optional<Result<Text>> outcome;
    asio::co_spawn(io, client.wait_for_cancel(text(""), 30s),
                   [&outcome](std::exception_ptr, Result<Text> result) { outcome = result; });
    co_await until([this] { return echo->waiting == 1; });
    server.reset();
    co_await until([&outcome] { return outcome.has_value(); });
    EXPECT_EQ(outcome->error().code, Errc::kUnavailable);
    EXPECT_THAT(outcome->error().message, HasSubstr("umbra.rpc.test.Echo/WaitForCancel"));
    EXPECT_THAT(outcome->error().remedy, HasSubstr("outcome of calls in flight is unknown"));
    EXPECT_EQ((co_await get_error(client.say(text(""), 5s))).code, Errc::kUnavailable);
    co_await until([this] { return echo->cancelled == 1; });
  });
}

TEST_F(LivenessTest, AHandlerIsCancelledWhenItsCallerDies) {
  listen();
  run([this]() -> asio::awaitable<void> {
    auto session = co_await get(dial(host1));
    EchoClient client(session);
    asio::co_spawn(io, client.wait_for_cancel(text(""), 30s), asio::detached);
    co_await until([this] { return echo->waiting == 1; });
    session->close("going home");
    co_await until([this] { return echo->cancelled == 1; });
  });
}

TEST_F(LivenessTest, ADialerConnectsAgainAfterTheServerRestarted) {
  listen();
  const auto port = server->endpoint().port();
  run([this, port]() -> asio::awaitable<void> {
    const auto dialer = keep_connected();
    const auto early = dialer->session();
    EXPECT_TRUE(!early && early.error().code == Errc::kUnavailable);
    co_await until([this] { return connected == 1; });
    co_await get(EchoClient(dialer->session().value()).say(text("first"), 5s));

    server.reset();
    co_await until([this] { return disconnected == 1; });
    EXPECT_THAT(reason.message, HasSubstr("the server is stopping"));
    const auto between = dialer->session();
    EXPECT_TRUE(!between && between.error().code == Errc::kUnavailable);

    listen({}, port);
    co_await until([this] { return connected == 2; });
    co_await get(EchoClient(dialer->session().value()).say(text("second"), 5s));
    EXPECT_EQ(echo->said, 2);
  });
}

TEST_F(LivenessTest, ADialerSaysWhyItIsNotConnected) {
  listen();
  server.reset();  // nobody listens there now
  run([this]() -> asio::awaitable<void> {
    const auto dialer = keep_connected();
    co_await until([&] { return dialer->session().error().message.find("refused") != std::string::npos; });
    EXPECT_THAT(dialer->session().error().message, HasSubstr(address));
    EXPECT_FALSE(dialer->session().error().remedy.empty());
  });
}

TEST_F(LivenessTest, AStoppedDialerDialsNoMore) {
  listen();
  run([this]() -> asio::awaitable<void> {
    auto dialer = keep_connected();
    co_await until([this] { return connected == 1 && server->sessions().size() == 1; });
    dialer.reset();
    co_await until([this] { return server->sessions().empty(); });
    EXPECT_EQ(disconnected, 0) << "hooks of a destroyed dialer are not called";
  });
}

TEST_F(LivenessTest, AnIdleConnectionWithALivingPeerStaysOpen) {
  Limits limits;
  limits.keepalive = 20ms;
  listen(limits);
  run([this, limits]() -> asio::awaitable<void> {
    const auto session = co_await get(dial(host1, {}, limits));
    asio::steady_timer idle(io, 400ms);
    co_await idle.async_wait(asio::use_awaitable);
    EXPECT_TRUE(session->is_open());
    co_await get(EchoClient(session).say(text("still here"), 5s));
  });
}

TEST_F(LivenessTest, DrainingLetsCallsInFlightEndAndRefusesNewOnes) {
  listen();
  run([this]() -> asio::awaitable<void> {
    const auto session = co_await get(dial(host1));
    EchoClient client(session);
    CountRequest request;
    request.set_items(1000);
    request.set_item_bytes(1024);
    auto stream = co_await get(client.count(request, 30s));
    co_await get(stream.next());
    bool drained = false;
    asio::co_spawn(io, server->drain(30s), [&drained](std::exception_ptr, Result<void>) { drained = true; });
    co_await until([&session] { return !session->is_open(); });
    EXPECT_EQ((co_await get_error(client.say(text("too late"), 5s))).code, Errc::kUnavailable);
    EXPECT_FALSE(drained);
    int items = 1;
    while (co_await get(stream.next())) ++items;
    EXPECT_EQ(items, 1000);
    co_await until([&drained] { return drained; });
    EXPECT_TRUE(server->sessions().empty());
  });
}

TEST_F(LivenessTest, DrainingEndsAtItsGrace) {
  listen();
  run([this]() -> asio::awaitable<void> {
    EchoClient client(co_await get(dial(host1)));
    std::optional<Result<Text>> outcome;
    asio::co_spawn(io, client.wait_for_cancel(text(""), 30s),
                   [&outcome](std::exception_ptr, Result<Text> result) { outcome = result; });
    co_await until([this] { return echo->waiting == 1; });
    co_await get(server->drain(20ms));
    co_await until([this, &outcome] { return echo->cancelled == 1 && outcome; });
    EXPECT_EQ(outcome->error().code, Errc::kUnavailable);
  });
}

TEST_F(LivenessTest, ConnectingToNobodyNamesTheAddressAndTheRemedy) {
  listen();
  server.reset();
  run([this]() -> asio::awaitable<void> {
    const auto error = co_await get_error(dial(host1));
    EXPECT_EQ(error.code, Errc::kUnavailable);
    EXPECT_THAT(error.message, HasSubstr(address));
    EXPECT_THAT(error.remedy, HasSubstr("check that the service runs there"));
    address = "no-port";
    EXPECT_EQ((co_await get_error(dial(host1))).code, Errc::kInvalid);
    address = "host.invalid:7443";
    EXPECT_THAT((co_await get_error(dial(host1))).message, HasSubstr("cannot find the address of host.invalid:7443"));
  });
}

TEST_F(LivenessTest, ANodeIsReachedByItsAddressAndByAName) {
  listen();
  run([this]() -> asio::awaitable<void> {
    co_await get(dial(host1));
    address = "localhost" + address.substr(address.rfind(':'));
    const auto session = co_await get(dial(host1));
    EXPECT_EQ(session->address(), address);
  });
}

TEST_F(LivenessTest, AnEndpointInUseCannotBeListenedOn) {
  listen();
  const auto second = Server::listen(io.get_executor(), server->endpoint(), controller, Services{});
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, Errc::kUnavailable);
  EXPECT_THAT(second.error().message, HasSubstr(address));
}

TEST(BackoffTest, DoublesToItsMostAndTakesAtMostHalfOff) {
  Backoff backoff(1);
  for (const auto step : {250ms, 500ms, 1000ms, 2000ms, 4000ms, 8000ms, 10000ms, 10000ms}) {
    const auto wait = backoff.next();
    EXPECT_GE(wait, step / 2);
    EXPECT_LE(wait, step);
  }
  backoff.reset();
  EXPECT_LE(backoff.next(), 250ms);
  EXPECT_NE(Backoff(1).next(), Backoff(2).next()) << "not all of a fleet at once";
}

TEST(EndpointTest, IsAnAddressAndAPort) {
  EXPECT_EQ(parse_endpoint("10.0.0.1:7443")->port(), 7443);
  EXPECT_TRUE(parse_endpoint("[::]:0")->address().is_v6());
  for (const auto* wrong :
       {"", "10.0.0.1", "10.0.0.1:", "host:1", "10.0.0.1:65536", "10.0.0.1:x", "[::]", "10.0.0.1:99999999999"}) {
    EXPECT_FALSE(parse_endpoint(wrong)) << wrong;
  }
}

}  // namespace
}  // namespace umbra::rpc::test
