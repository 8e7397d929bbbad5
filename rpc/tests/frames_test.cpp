// What bytes from a peer may do: at worst, close their own connection.
#include <gmock/gmock.h>

#include "rpc/tests/log_capture.hpp"
#include "rpc/tests/raw_peer.hpp"

namespace umbra::rpc::test {
namespace {

using testing::HasSubstr;

constexpr std::string_view kRemedy = "both ends must run the same Umbra";

class FramesTest : public RpcTest {
 protected:
  /// Sends the bytes on a connection of its own, and expects that it is closed with that reason and what to do about
  /// it, that the log says so, and that another connection does not notice.
  void expect_closed(std::string bytes, std::string reason, Limits limits = {}) {
    const LogCapture log;
    listen(limits);
    run([&]() -> asio::awaitable<void> {
      EchoClient bystander(co_await get(dial(host1)));
      auto attacker = co_await RawPeer::dial(address, fleet.node(v1::ROLE_AGENT, "host2"));
      co_await attacker.send(bytes);
      const auto last = co_await attacker.receive();
      EXPECT_TRUE(last && last->has_goaway()) << "the reason comes first";
      if (last) {
        EXPECT_THAT(last->goaway().status().message(), HasSubstr(reason));
        EXPECT_THAT(last->goaway().status().remedy(), HasSubstr(kRemedy));
      }
      EXPECT_FALSE(co_await attacker.receive()) << "then the end";
      co_await get(bystander.say(text("unharmed"), 5s));
      EXPECT_EQ(server->sessions().size(), 1u);
    });
    EXPECT_THAT(log.text(), HasSubstr("closing the connection to host2 (agent, 127.0.0.1:"));
    EXPECT_THAT(log.text(), HasSubstr(reason));
    EXPECT_THAT(log.text(), HasSubstr(kRemedy));
  }

  static std::string framed(std::string_view body) {
    std::string bytes;
    for (int shift = 24; shift >= 0; shift -= 8) bytes += static_cast<char>(body.size() >> shift & 0xff);
    return bytes.append(body);
  }
  static std::string framed(const wire::Frame& frame) { return framed(frame.SerializeAsString()); }
};

TEST_F(FramesTest, GarbageInAFrameClosesTheConnection) {
  expect_closed(framed("\xff\xff\xff garbage"), "that are not a frame");
}

TEST_F(FramesTest, TextInsteadOfFramesIsAnOversizeFrame) {
  expect_closed("GET / HTTP/1.1\r\n\r\n", "received a frame of 1.11 GiB, the limit is 16.0 MiB");
}

TEST_F(FramesTest, ALengthOverTheLimitIsRefusedBeforeTheBytesCome) {
  Limits limits;
  limits.max_frame = 1024;
  expect_closed(std::string("\0\0\x04\x01", 4), "the limit is 1.00 KiB", limits);
}

TEST_F(FramesTest, AnEmptyFrameIsOfNoKnownKind) {
  expect_closed(framed(""), "a frame of no known kind");
}

TEST_F(FramesTest, ASecondHelloIsOutOfPlace) {
  wire::Frame frame;
  frame.mutable_hello()->set_protocol(1);
  expect_closed(framed(frame), "a frame of no known kind");
}

TEST_F(FramesTest, AReplyToNoCallIsRefused) {
  wire::Frame frame;
  frame.set_call(7);
  frame.mutable_reply();
  expect_closed(framed(frame), "a reply to a call that was never made");
}

TEST_F(FramesTest, AnItemOfNoCallIsRefused) {
  wire::Frame frame;
  frame.set_call(7);
  frame.mutable_item();
  expect_closed(framed(frame), "an item of a call that was never made");
}

TEST_F(FramesTest, CallNumbersMustRise) {
  wire::Frame frame;
  frame.set_call(5);
  frame.mutable_request()->set_method("umbra.rpc.test.Echo/WaitForCancel");
  expect_closed(framed(frame) + framed(frame), "received call number 5 after 5");
}

TEST_F(FramesTest, CreditThatNoReaderCouldOweIsRefused) {
  wire::Frame request;
  request.set_call(1);
  request.mutable_request()->set_method("umbra.rpc.test.Echo/Count");
  request.mutable_request()->set_window_bytes(1);
  CountRequest body;
  body.set_items(100);
  request.mutable_request()->set_body(body.SerializeAsString());
  wire::Frame credit;
  credit.set_call(1);
  credit.mutable_credit()->set_bytes(~std::uint64_t{0});
  const LogCapture log;
  listen();
  run([&]() -> asio::awaitable<void> {
    auto peer = co_await RawPeer::dial(address, host1);
    co_await peer.send(request);
    const auto item = co_await peer.receive();
    EXPECT_TRUE(item && item->has_item());
    co_await peer.send(credit);
    while (co_await peer.receive()) {
    }
  });
  EXPECT_THAT(log.text(), HasSubstr("received a credit of"));
  EXPECT_THAT(log.text(), HasSubstr(kRemedy));
}

TEST_F(FramesTest, ATruncatedFrameEndsItsConnectionAndIsLogged) {
  const LogCapture log;
  listen();
  run([this]() -> asio::awaitable<void> {
    EchoClient bystander(co_await get(dial(host1)));
    auto peer = co_await RawPeer::dial(address, fleet.node(v1::ROLE_AGENT, "host2"));
    co_await until([this] { return server->sessions().size() == 2; });
    co_await peer.send(framed("a frame that will not be complete").substr(0, 20));
    co_await get(bystander.say(text("the bytes have arrived"), 5s));
    peer.hang_up();
    co_await until([this] { return server->sessions().size() == 1; });
    co_await get(bystander.say(text("unharmed"), 5s));
  });
  EXPECT_THAT(log.text(), HasSubstr("host2 (agent, 127.0.0.1:"));
  EXPECT_THAT(log.text(), HasSubstr("hung up inside a frame"));
}

TEST_F(FramesTest, AFrameThatComesByteByByteIsUnderstood) {
  listen();
  run([this]() -> asio::awaitable<void> {
    auto peer = co_await RawPeer::dial(address, host1);
    wire::Frame request;
    request.set_call(1);
    request.mutable_request()->set_method("umbra.rpc.test.Echo/Say");
    request.mutable_request()->set_body(text("slowly").SerializeAsString());
    for (const char byte : framed(request)) co_await peer.send(std::string(1, byte));
    const auto reply = co_await peer.receive();
    EXPECT_TRUE(reply && reply->has_reply());
    EXPECT_EQ(reply.value_or(wire::Frame()).reply().body(), text("slowly").SerializeAsString());
  });
}

TEST_F(FramesTest, AnErrorTextThatIsNotUtf8DoesNotBreakTheConnection) {
  listen();
  run([this]() -> asio::awaitable<void> {
    const auto session = co_await get(dial(host1));
    const auto error = co_await get_error(session->call("\xff\xfe/Method", "", 5s));
    EXPECT_EQ(error.code, Errc::kUnsupported);
    EXPECT_TRUE(session->is_open());
  });
}

TEST_F(FramesTest, TheServerKeepsTheDeadlineOfACallerThatDoesNotCancel) {
  listen();
  run([this]() -> asio::awaitable<void> {
    auto peer = co_await RawPeer::dial(address, host1);
    wire::Frame request;
    request.set_call(1);
    request.mutable_request()->set_method("umbra.rpc.test.Echo/WaitForCancel");
    request.mutable_request()->set_deadline_ms(20);
    co_await peer.send(request);
    const auto reply = co_await peer.receive();
    EXPECT_EQ(echo->cancelled, 1);
    EXPECT_EQ(reply.value_or(wire::Frame()).reply().status().code(), static_cast<std::uint32_t>(Errc::kTimeout));
  });
}

TEST_F(FramesTest, APeerThatDoesNotReadItsAnswersIsClosedBeforeTheyFillTheMemory) {
  Limits limits;
  limits.max_frame = 64 * 1024;
  const LogCapture log;
  listen(limits);
  run([&]() -> asio::awaitable<void> {
    auto peer = co_await RawPeer::dial(address, host1);
    wire::Frame request;
    request.mutable_request()->set_method("umbra.rpc.test.Echo/Say");
    request.mutable_request()->set_body(text(std::string(60'000, 'x')).SerializeAsString());
    co_await until([&] { return server->sessions().size() == 1; });
    // More than the kernel's buffers between the two ends ever hold.
    for (std::uint64_t id = 1; id < 5000 && !server->sessions().empty(); ++id) {
      request.set_call(id);
      co_await peer.send(request);
    }
    EXPECT_TRUE(server->sessions().empty());
  });
  EXPECT_THAT(log.text(), HasSubstr("host1 (agent, 127.0.0.1:"));
  EXPECT_THAT(log.text(), HasSubstr("does not read its answers"));
}

TEST_F(FramesTest, ASilentPeerIsGivenUpAtTheSecondPing) {
  Limits limits;
  limits.keepalive = 50ms;
  const LogCapture log;
  std::optional<Error> why;
  hooks.on_session_closed = [&](std::shared_ptr<Session>, const Error& reason) { why = reason; };
  listen(limits);
  run([&]() -> asio::awaitable<void> {
    auto peer = co_await RawPeer::dial(address, host1);
    co_await until([&] { return why.has_value(); });
    const auto first = co_await peer.receive();
    EXPECT_TRUE(first && first->has_ping());
    EXPECT_FALSE(co_await peer.receive()) << "one ping unanswered is enough";
  });
  EXPECT_EQ(why->code, Errc::kUnavailable);
  EXPECT_THAT(why->message, HasSubstr("does not answer pings"));
  EXPECT_THAT(log.text(), HasSubstr("host1 (agent, 127.0.0.1:"));
}

}  // namespace
}  // namespace umbra::rpc::test
