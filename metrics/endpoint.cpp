#include "metrics/endpoint.hpp"

#include <prometheus/text_serializer.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <charconv>

namespace umbra::metrics {
namespace {

namespace beast = boost::beast;
namespace http = beast::http;
using asio::ip::tcp;
constexpr auto kNoThrow = asio::as_tuple(asio::use_awaitable);
constexpr std::chrono::seconds kPatience{10};
constexpr std::uint32_t kMostHeader = 16 * 1024;

Result<tcp::endpoint> parse(const std::string& text) {
  const auto colon = text.rfind(':');
  auto host = text.substr(0, colon);
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
  boost::system::error_code error;
  const auto address = asio::ip::make_address(host, error);
  std::uint16_t port = 0;
  const auto* const end = text.data() + text.size();
  const auto read = colon == std::string::npos ? std::from_chars_result{end, std::errc::invalid_argument}
                                               : std::from_chars(text.data() + colon + 1, end, port);
  if (!error && read.ec == std::errc{} && read.ptr == end) return tcp::endpoint(address, port);
  return fail({Errc::kInvalid, fmt::format("\"{}\" is not an address and port", text),
               "write it as 127.0.0.1:9780 or [::1]:9780"});
}

}  // namespace

Result<void> check_endpoint(const std::string& address) {
  UMBRA_TRY(const auto parsed, parse(address));
  static_cast<void>(parsed);
  return {};
}

struct Endpoint::State {
  State(const asio::any_io_executor& executor, std::shared_ptr<prometheus::Registry> registry, Snapshot now)
      : acceptor(executor), counted(std::move(registry)), snapshot(std::move(now)) {}

  std::string text() const {
    auto families = counted->Collect();
    for (auto& family : snapshot()) families.push_back(std::move(family));
    return prometheus::TextSerializer().Serialize(families);
  }

  http::response<http::string_body> answer(const http::request<http::empty_body>& asked) const {
    http::response<http::string_body> reply{http::status::ok, asked.version()};
    reply.keep_alive(asked.keep_alive());
    reply.set(http::field::content_type, "text/plain; charset=utf-8");
    const bool reads = asked.method() == http::verb::get || asked.method() == http::verb::head;
    if (!reads) {
      reply.result(http::status::method_not_allowed);
      reply.set(http::field::allow, "GET, HEAD");
    } else if (asked.target() == "/metrics") {
      reply.set(http::field::content_type, "text/plain; version=0.0.4; charset=utf-8");
      reply.body() = text();
    } else {
      reply.result(http::status::not_found);
      reply.body() = "metrics are at /metrics\n";
    }
    reply.prepare_payload();
    if (asked.method() == http::verb::head) reply.body().clear();
    return reply;
  }

  static asio::awaitable<void> accept(std::shared_ptr<State> self) {
    while (self->acceptor.is_open()) {
      auto [error, socket] = co_await self->acceptor.async_accept(kNoThrow);
      if (error) {
        if (!self->acceptor.is_open()) co_return;
        asio::steady_timer pause(self->acceptor.get_executor(), std::chrono::milliseconds(100));
        (void)co_await pause.async_wait(kNoThrow);
      } else if (self->busy < kMostAtOnce) {
        asio::co_spawn(self->acceptor.get_executor(), serve(self, std::move(socket)), asio::detached);
      }
    }
  }

  static asio::awaitable<void> serve(std::shared_ptr<State> self, tcp::socket socket) {
    ++self->busy;
    beast::tcp_stream stream(std::move(socket));
    beast::flat_buffer buffer(kMostHeader);
    for (bool more = true; more && self->snapshot;) {
      http::request_parser<http::empty_body> parser;
      parser.header_limit(kMostHeader);
      parser.body_limit(0);
      stream.expires_after(kPatience);
      auto [unread, size] = co_await http::async_read(stream, buffer, parser, kNoThrow);
      if (unread || !self->snapshot) break;
      const auto reply = self->answer(parser.get());
      stream.expires_after(kPatience);
      auto [unwritten, written] = co_await http::async_write(stream, reply, kNoThrow);
      more = !unwritten && reply.keep_alive();
    }
    --self->busy;
  }

  tcp::acceptor acceptor;
  std::shared_ptr<prometheus::Registry> counted;
  Snapshot snapshot;
  std::size_t busy = 0;
};

Result<std::unique_ptr<Endpoint>> Endpoint::listen(asio::any_io_executor executor, const std::string& address,
                                                   std::shared_ptr<prometheus::Registry> counted, Snapshot snapshot) {
  UMBRA_TRY(const auto endpoint, parse(address));
  auto state = std::make_shared<State>(executor, std::move(counted), std::move(snapshot));
  boost::system::error_code error;
  state->acceptor.open(endpoint.protocol(), error);
  if (!error) state->acceptor.set_option(tcp::acceptor::reuse_address(true), error);
  if (!error) state->acceptor.bind(endpoint, error);
  if (!error) state->acceptor.listen(tcp::acceptor::max_listen_connections, error);
  if (error)
    return fail({Errc::kUnavailable, fmt::format("metrics cannot be served on {}: {}", address, error.message()),
                 "give [metrics] listen an address of this host and a port that no other program uses"});
  asio::co_spawn(executor, State::accept(state), asio::detached);
  return std::unique_ptr<Endpoint>(new Endpoint(std::move(state)));
}

Endpoint::Endpoint(std::shared_ptr<State> state) : state_(std::move(state)) {}
Endpoint::~Endpoint() {
  state_->snapshot = nullptr;
  boost::system::error_code ignored;
  state_->acceptor.close(ignored);
}
std::uint16_t Endpoint::port() const {
  boost::system::error_code ignored;
  return state_->acceptor.local_endpoint(ignored).port();
}

}  // namespace umbra::metrics
