/// A peer that has shown a good certificate and said Hello, and then sends whatever bytes a test wants.
#pragma once

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/write.hpp>

#include "base/listening.hpp"
#include "rpc/opening.hpp"
#include "rpc/tests/echo_service.hpp"

namespace umbra::rpc::test {

class RawPeer {
 public:
  explicit RawPeer(std::unique_ptr<TlsStream> stream) : stream_(std::move(stream)) {}

  static asio::awaitable<RawPeer> dial(std::string address, Tls tls) {
    asio::ip::tcp::socket socket(co_await asio::this_coro::executor);
    co_await socket.async_connect(parse_endpoint(address).value(), asio::use_awaitable);
    auto opened = co_await get(open(std::move(socket), asio::ssl::stream_base::client, address, tls, Expect(), 5s));
    co_return RawPeer(std::move(opened.stream));
  }

  asio::awaitable<void> send(std::string bytes) {
    const auto buffer = asio::buffer(bytes);
    co_await asio::async_write(*stream_, buffer, asio::use_awaitable);
  }
  asio::awaitable<void> send(wire::Frame frame) {
    std::string bytes;
    EXPECT_TRUE(append_frame(bytes, frame, std::size_t{1} << 30));
    co_await send(std::move(bytes));
  }
  /// nullopt when the other end has hung up.
  asio::awaitable<std::optional<wire::Frame>> receive() {
    std::string bytes(kLengthBytes, '\0');
    const auto header = asio::buffer(bytes);
    auto [error, size] = co_await asio::async_read(*stream_, header, asio::as_tuple(asio::use_awaitable));
    if (error) co_return std::nullopt;
    bytes.resize(read_length(bytes.data()));
    const auto body = asio::buffer(bytes);
    co_await asio::async_read(*stream_, body, asio::use_awaitable);
    wire::Frame frame;
    if (!frame.ParseFromString(bytes)) throw std::runtime_error("the node sent a malformed frame");
    co_return frame;
  }
  void hang_up() { stream_->next_layer().close(); }

 private:
  std::unique_ptr<TlsStream> stream_;
};

}  // namespace umbra::rpc::test
