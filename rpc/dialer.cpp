#include "rpc/dialer.hpp"

#include <spdlog/spdlog.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/connect.hpp>
#include <charconv>

#include "rpc/backoff.hpp"
#include "rpc/socket_guard.hpp"
#include "rpc/tls_session.hpp"

namespace umbra::rpc {
namespace {

using asio::ip::tcp;
constexpr auto kNoThrow = asio::as_tuple(asio::use_awaitable);
constexpr Deadline kDialDeadline{10000};

/// An address is what it is: no resolver, whose thread takes as long to start as the connection to be made.
std::optional<tcp::resolver::results_type> literal(const HostPort& parts) {
  boost::system::error_code is_name;
  const auto address = asio::ip::make_address(parts.host, is_name);
  if (is_name) return std::nullopt;
  std::uint16_t port = 0;
  std::from_chars(parts.port.data(), parts.port.data() + parts.port.size(), port);
  return tcp::resolver::results_type::create(tcp::endpoint(address, port), parts.host, parts.port);
}

/// getaddrinfo(3) cannot be interrupted, so a slow one is left behind rather than waited for.
Task<tcp::resolver::results_type> resolve(asio::any_io_executor executor, std::string address, Deadline deadline) {
  struct Lookup {
    explicit Lookup(const asio::any_io_executor& on) : resolver(on), done(on) {}
    tcp::resolver resolver;
    asio::steady_timer done;
    boost::system::error_code error = asio::error::timed_out;
    tcp::resolver::results_type found;
  };
  UMBRA_CO_TRY(const auto parts, parse_address(address));
  if (auto found = literal(parts)) co_return std::move(*found);
  const auto lookup = std::make_shared<Lookup>(executor);
  lookup->done.expires_after(deadline);
  lookup->resolver.async_resolve(parts.host, parts.port,
                                 [lookup](const boost::system::error_code& error, tcp::resolver::results_type found) {
                                   lookup->error = error;
                                   lookup->found = std::move(found);
                                   lookup->done.cancel();
                                 });
  (void)co_await lookup->done.async_wait(kNoThrow);
  if (!lookup->error) co_return lookup->found;
  co_return fail({Errc::kUnavailable,
                  fmt::format("cannot find the address of {}: {}", address, lookup->error.message()),
                  "correct the name, or see to name resolution on this host"});
}

/// `on_closed` is told the end of a session that was made.
Task<std::shared_ptr<Session>> dial(asio::any_io_executor executor, std::string address, Tls tls, Expect expect,
                                    Services services, Deadline deadline, Limits limits,
                                    TlsSession::OnClosed on_closed) {
  const auto until = std::chrono::steady_clock::now() + deadline;
  UMBRA_CO_TRY(auto socket, co_await reach(executor, address, deadline));
  const auto left =
      std::max(std::chrono::duration_cast<Deadline>(until - std::chrono::steady_clock::now()), Deadline(1));
  UMBRA_CO_TRY(auto opened, co_await open(std::move(socket), asio::ssl::stream_base::client, address, std::move(tls),
                                          std::move(expect), left));
  co_return TlsSession::start(std::move(opened), std::move(address), std::move(services), limits, std::move(on_closed));
}

}  // namespace

Task<tcp::socket> reach(asio::any_io_executor executor, std::string address, Deadline deadline) {
  UMBRA_CO_TRY(const auto endpoints, co_await resolve(executor, address, deadline));
  tcp::socket socket(executor);
  const SocketGuard guard(socket, deadline);
  // An endpoint's failure closes and reopens the socket, so expiry is looked for before each.
  boost::system::error_code error = asio::error::host_not_found;
  for (const auto& entry : endpoints) {
    if (guard.expired()) break;
    boost::system::error_code ignored;
    socket.close(ignored);
    std::tie(error) = co_await socket.async_connect(entry.endpoint(), kNoThrow);
    if (!error) co_return std::move(socket);
  }
  if (guard.expired())
    co_return fail({Errc::kTimeout, fmt::format("{} did not answer within {} ms", address, deadline.count()),
                    "see to the network"});
  co_return fail({Errc::kUnavailable, fmt::format("cannot connect to {}: {}", address, error.message()),
                  "check that the service runs there and that no firewall is in between"});
}

Result<HostPort> parse_address(std::string_view text) {
  const auto colon = std::min(text.rfind(':'), text.size());
  auto host = text.substr(0, colon);
  const auto port = text.substr(std::min(colon + 1, text.size()));
  const bool bracketed = host.size() > 2 && host.front() == '[' && host.back() == ']';
  if (bracketed) host = host.substr(1, host.size() - 2);
  const bool one_host = !host.empty() && (bracketed || host.find(':') == std::string_view::npos);
  std::uint16_t number = 0;
  const auto [rest, error] = std::from_chars(port.data(), port.data() + port.size(), number);
  if (one_host && error == std::errc{} && rest == port.data() + port.size() && number > 0)
    return HostPort{std::string(host), std::string(port)};
  return fail({Errc::kInvalid, fmt::format("\"{}\" is not a host and port", text),
               "write it as host1.example.net:7443, 10.0.0.1:7443 or [fd00::1]:7443"});
}

Task<std::shared_ptr<Session>> connect(asio::any_io_executor executor, std::string address, Tls tls, Expect expect,
                                       Services services, Deadline deadline, Limits limits) {
  return dial(std::move(executor), std::move(address), std::move(tls), std::move(expect), std::move(services), deadline,
              limits, nullptr);
}

struct Dialer::State : std::enable_shared_from_this<State> {
  State(const asio::any_io_executor& on, std::string to, Tls credentials, Expect whom, Services offered,
        DialerHooks callbacks, Limits limits_of_session)
      : executor(on),
        address(std::move(to)),
        tls(std::move(credentials)),
        expect(std::move(whom)),
        services(std::move(offered)),
        hooks(std::move(callbacks)),
        limits(limits_of_session),
        wake(on),
        backoff(std::random_device{}()) {}

  asio::awaitable<void> run() {
    while (!stopped) {
      const auto started = std::chrono::steady_clock::now();
      co_await one_session();
      const auto pause = backoff.next();
      if (std::chrono::steady_clock::now() - started > 2 * pause) backoff.reset();
      wake.expires_after(pause);
      if (!stopped) (void)co_await wake.async_wait(kNoThrow);
    }
  }

  /// From dialling to the end of the session that came of it, if one did.
  asio::awaitable<void> one_session() {
    TlsSession::OnClosed on_closed = [weak = weak_from_this()](const Error& why) {
      const auto self = weak.lock();
      if (!self) return;
      self->session = nullptr;
      self->note(why);
      self->wake.cancel();
      if (const auto tell = self->hooks.on_disconnected) tell(why);
    };
    auto made = co_await dial(executor, address, tls, expect, services, kDialDeadline, limits, std::move(on_closed));
    if (!made) {
      note(made.error());
      co_return;
    }
    if (stopped) co_return (*made)->close("no longer needed");
    session = *made;
    spdlog::info("rpc: connected to {} ({}, {})", session->peer().name, role_name(session->peer().role), address);
    // A copy, because the hook may destroy the dialer.
    if (const auto tell = hooks.on_connected) tell(session);
    wake.expires_at(asio::steady_timer::time_point::max());
    if (session) (void)co_await wake.async_wait(kNoThrow);
  }

  /// Logs a failure when it is another than the last one, not at each attempt.
  void note(const Error& why) {
    if (!stopped && why.text() != last_failure.text()) spdlog::warn("rpc: no connection to {}: {}", address, why);
    last_failure = why;
  }

  void stop() {
    stopped = true;
    hooks = {};
    if (session) session->close("no longer needed");
    session = nullptr;
    cancel.emit(asio::cancellation_type::terminal);
  }

  asio::any_io_executor executor;
  std::string address;
  Tls tls;
  Expect expect;
  Services services;
  DialerHooks hooks;
  Limits limits;
  asio::steady_timer wake;  ///< the pause between attempts, and the wait for a session's end
  asio::cancellation_signal cancel;
  Backoff backoff;
  std::shared_ptr<Session> session;
  Error last_failure{Errc::kUnavailable, "not connected yet", {}};
  bool stopped = false;
};

Dialer::Dialer(asio::any_io_executor executor, std::string address, Tls tls, Expect expect, Services services,
               DialerHooks hooks, Limits limits)
    : state_(std::make_shared<State>(executor, std::move(address), std::move(tls), std::move(expect),
                                     std::move(services), std::move(hooks), limits)) {
  // The completion keeps the state alive. A cancelled dial ends with operation_aborted, which is no news.
  asio::co_spawn(executor, state_->run(),
                 asio::bind_cancellation_slot(state_->cancel.slot(), [state = state_](const std::exception_ptr&) {}));
}

Dialer::~Dialer() {
  state_->stop();
}

Result<std::shared_ptr<Session>> Dialer::session() const {
  if (state_->session && state_->session->is_open()) return state_->session;
  return fail({Errc::kUnavailable,
               fmt::format("no connection to {}: {}", state_->address, state_->last_failure.message),
               state_->last_failure.remedy});
}

void Dialer::stop() {
  state_->stop();
}

}  // namespace umbra::rpc
