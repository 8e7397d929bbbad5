#include "base/listening.hpp"

#include <spdlog/spdlog.h>

#include <boost/asio/as_tuple.hpp>

namespace umbra {
namespace {

using asio::ip::tcp;
constexpr auto kNoThrow = asio::as_tuple(asio::use_awaitable);
/// After accept(2) failed for want of descriptors or memory, which only time can cure.
constexpr std::chrono::milliseconds kAcceptPause{100};

}  // namespace

Result<tcp::endpoint> parse_endpoint(std::string_view text) {
  const auto colon = text.rfind(':');
  auto host = text.substr(0, colon);
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
  boost::system::error_code error;
  const auto address = asio::ip::make_address(host, error);
  unsigned port = 0;
  bool digits = colon != std::string_view::npos && colon + 1 < text.size();
  for (const char c : digits ? text.substr(colon + 1) : std::string_view{}) {
    digits = digits && c >= '0' && c <= '9' && port <= 65535;
    if (digits) port = port * 10 + static_cast<unsigned>(c - '0');
  }
  if (!error && digits && port <= 65535) return tcp::endpoint(address, static_cast<std::uint16_t>(port));
  return fail({Errc::kInvalid, fmt::format("\"{}\" is not an address and port", text),
               "write it as 10.0.0.1:7443 or [::]:7443"});
}

std::string endpoint_text(const tcp::endpoint& endpoint) {
  const auto address = endpoint.address().to_string();
  return endpoint.address().is_v6() ? fmt::format("[{}]:{}", address, endpoint.port())
                                    : fmt::format("{}:{}", address, endpoint.port());
}

Result<tcp::acceptor> listen_on(const asio::any_io_executor& executor, const tcp::endpoint& endpoint,
                                std::string remedy) {
  tcp::acceptor acceptor(executor);
  boost::system::error_code error;
  acceptor.open(endpoint.protocol(), error);
  if (!error) acceptor.set_option(tcp::acceptor::reuse_address(true), error);
  if (!error) acceptor.bind(endpoint, error);
  if (!error) acceptor.listen(tcp::acceptor::max_listen_connections, error);
  if (!error) return acceptor;
  return fail({Errc::kUnavailable, fmt::format("cannot listen on {}: {}", endpoint_text(endpoint), error.message()),
               std::move(remedy)});
}

asio::awaitable<void> accept_each(tcp::acceptor* acceptor, std::function<void(tcp::socket)> welcome) {
  while (acceptor->is_open()) {
    auto [error, socket] = co_await acceptor->async_accept(kNoThrow);
    if (!error) {
      welcome(std::move(socket));
      continue;
    }
    if (!acceptor->is_open()) co_return;
    spdlog::warn("cannot accept a connection: {}", error.message());
    asio::steady_timer pause(acceptor->get_executor(), kAcceptPause);
    (void)co_await pause.async_wait(kNoThrow);
  }
}

}  // namespace umbra
