#include "rpc/tests/echo_service.hpp"

namespace umbra::rpc::test {
namespace {

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

}  // namespace
}  // namespace umbra::rpc::test
