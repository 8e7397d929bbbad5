/// Ports that a daemon listens on.
#pragma once

#include <boost/asio/ip/tcp.hpp>
#include <functional>
#include <string>
#include <string_view>

#include "base/task.hpp"

namespace umbra {

/// "10.0.0.1:7443", "[::]:7443" → address and port. @error kInvalid
Result<asio::ip::tcp::endpoint> parse_endpoint(std::string_view text);
/// The reverse.
std::string endpoint_text(const asio::ip::tcp::endpoint& endpoint);

/// @param remedy for an endpoint that is no address of this host, or that another program has
/// @error kUnavailable the endpoint cannot be listened on
Result<asio::ip::tcp::acceptor> listen_on(const asio::any_io_executor& executor,
                                          const asio::ip::tcp::endpoint& endpoint, std::string remedy);
/// Gives each connection to `welcome`, until the acceptor is closed; goes on, after a moment, where one could not be
/// accepted. The acceptor outlives it.
asio::awaitable<void> accept_each(asio::ip::tcp::acceptor* acceptor,
                                  std::function<void(asio::ip::tcp::socket)> welcome);

}  // namespace umbra
