#include <gmock/gmock.h>

#include "rpc/tests/echo_service.hpp"

namespace umbra::rpc::test {
namespace {

using testing::HasSubstr;
using StreamsTest = RpcTest;

CountRequest request(std::uint32_t items, std::uint32_t bytes) {
  CountRequest message;
  message.set_items(items);
  message.set_item_bytes(bytes);
  return message;
}

TEST_F(StreamsTest, ItemsArriveInOrderAndTheEndIsNullopt) {
  listen();
  run([this]() -> asio::awaitable<void> {
    EchoClient client(co_await get(dial(host1)));
    auto stream = co_await get(client.count(request(100, 5), 5s));
    for (int i = 0; i < 100; ++i) {
      const auto item = co_await get(stream.next());
      EXPECT_EQ(item.value_or(text("missing")).text(), std::string(5, static_cast<char>('a' + i % 26)));
    }
    EXPECT_FALSE(co_await get(stream.next()));
    EXPECT_FALSE(co_await get(stream.next())) << "the end stays the end";
  });
}

TEST_F(StreamsTest, TheMethodsErrorComesAfterTheLastItem) {
  listen();
  run([this]() -> asio::awaitable<void> {
    EchoClient client(co_await get(dial(host1)));
    auto two = request(2, 1);
    two.set_fail_at_end(true);
    auto stream = co_await get(client.count(two, 5s));
    co_await get(stream.next());
    co_await get(stream.next());
    const auto error = co_await get_error(stream.next());
    EXPECT_EQ(error.code, Errc::kConflict);
    EXPECT_EQ(error.remedy, "walk around it");
  });
}

TEST_F(StreamsTest, AWriterStopsOneWindowAheadOfItsReaderAndGoesOnAsItReads) {
  Limits limits;
  limits.window = 64 * 1024;
  listen();
  run([this, limits]() -> asio::awaitable<void> {
    EchoClient client(co_await get(dial(host1, {}, limits)));
    auto stream = co_await get(client.count(request(1000, 1024), kNoDeadline));
    co_await get(client.say(text("by now the writer has run as far as it can"), 5s));
    const auto ahead = echo->sent;
    EXPECT_GT(ahead, 32u);
    EXPECT_LE(ahead, 64u);
    co_await get(client.say(text("and it waits"), 5s));
    EXPECT_EQ(echo->sent, ahead);
    int items = 0;
    while (co_await get(stream.next())) {
      ++items;
      EXPECT_LE(echo->sent, static_cast<unsigned>(items) + 65u);
    }
    EXPECT_EQ(items, 1000);
  });
}

TEST_F(StreamsTest, AnItemLargerThanTheWindowStillPasses) {
  Limits limits;
  limits.window = 1024;
  listen();
  run([this, limits]() -> asio::awaitable<void> {
    EchoClient client(co_await get(dial(host1, {}, limits)));
    auto stream = co_await get(client.count(request(5, 100'000), 5s));
    int items = 0;
    while (co_await get(stream.next())) ++items;
    EXPECT_EQ(items, 5);
  });
}

TEST_F(StreamsTest, DroppingAStreamCancelsItsWriter) {
  listen();
  run([this]() -> asio::awaitable<void> {
    EchoClient client(co_await get(dial(host1)));
    {
      auto stream = co_await get(client.count(request(1'000'000, 1024), kNoDeadline));
      co_await get(stream.next());
    }
    co_await until([this] { return echo->sink_error.has_value(); });
    EXPECT_EQ(echo->sink_error->code, Errc::kCancelled);
    co_await get(client.say(text("the session goes on"), 5s));
  });
}

TEST_F(StreamsTest, TheDeadlineEndsAStreamAtBothEnds) {
  listen();
  run([this]() -> asio::awaitable<void> {
    EchoClient client(co_await get(dial(host1)));
    auto stream = co_await get(client.count(request(1'000'000, 1024), 100ms));
    co_await until([this] { return echo->sink_error.has_value(); });
    std::optional<Error> error;
    while (!error) {
      const auto item = co_await stream.next();
      if (!item) error = item.error();
    }
    EXPECT_EQ(error->code, Errc::kTimeout);
  });
}

TEST_F(StreamsTest, ADeniedStreamSaysSoAtTheFirstRead) {
  listen();
  run([this]() -> asio::awaitable<void> {
    EchoClient client(co_await get(dial(fleet.node(v1::ROLE_EDGE, "edge1"))));
    auto stream = co_await get(client.count(request(1, 1), 5s));
    EXPECT_EQ((co_await get_error(stream.next())).code, Errc::kDenied);
  });
}

TEST_F(StreamsTest, AStreamWhoseConnectionBreaksGivesWhatHadComeAndThenTheError) {
  listen();
  run([this]() -> asio::awaitable<void> {
    EchoClient client(co_await get(dial(host1)));
    auto stream = co_await get(client.count(request(1'000'000, 1024), kNoDeadline));
    co_await get(stream.next());
    server->stop();
    std::optional<Error> error;
    while (!error) {
      const auto item = co_await stream.next();
      if (!item) error = item.error();
    }
    EXPECT_EQ(error->code, Errc::kUnavailable);
    EXPECT_THAT(error->message, HasSubstr("the server is stopping"));
  });
}

}  // namespace
}  // namespace umbra::rpc::test
