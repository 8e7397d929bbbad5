#include "metrics/endpoint.hpp"

#include <prometheus/text_serializer.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>

#include "base/listening.hpp"

namespace umbra::metrics {
namespace {

namespace beast = boost::beast;
namespace http = beast::http;
using asio::ip::tcp;
constexpr auto kNoThrow = asio::as_tuple(asio::use_awaitable);
constexpr std::chrono::seconds kPatience{10};
constexpr std::uint32_t kMostHeader = 16 * 1024;

}  // namespace

struct Endpoint::State {
  State(tcp::acceptor listening, std::shared_ptr<prometheus::Registry> registry, Snapshot now)
      : acceptor(std::move(listening)), counted(std::move(registry)), snapshot(std::move(now)) {}

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
    std::function<void(tcp::socket)> each = [&self](tcp::socket socket) {
      if (self->busy < kMostAtOnce)
        asio::co_spawn(self->acceptor.get_executor(), serve(self, std::move(socket)), asio::detached);
    };
    co_await accept_each(&self->acceptor, std::move(each));
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
  UMBRA_TRY(const auto endpoint, parse_endpoint(address));
  UMBRA_TRY(auto acceptor,
            listen_on(executor, endpoint,
                      "give [metrics] listen an address of this host and a port that no other program uses"));
  auto state = std::make_shared<State>(std::move(acceptor), std::move(counted), std::move(snapshot));
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
