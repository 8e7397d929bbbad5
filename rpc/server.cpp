#include "rpc/server.hpp"

#include <spdlog/spdlog.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <set>

#include "base/listening.hpp"
#include "rpc/tls_session.hpp"

namespace umbra::rpc {
namespace {

using asio::ip::tcp;
constexpr auto kNoThrow = asio::as_tuple(asio::use_awaitable);

}  // namespace

struct Server::State : std::enable_shared_from_this<State> {
  State(tcp::acceptor listening, Tls credentials, Services offered, ServerHooks callbacks, Limits limits_of_sessions)
      : acceptor(std::move(listening)),
        tls(std::move(credentials)),
        services(std::move(offered)),
        hooks(std::move(callbacks)),
        limits(limits_of_sessions) {}

  /// Spawns a coroutine of this object, which lives at least as long.
  void spawn(asio::awaitable<void> coroutine) {
    asio::co_spawn(acceptor.get_executor(), std::move(coroutine),
                   [self = shared_from_this()](const std::exception_ptr& bug) {
                     try {
                       if (bug) std::rethrow_exception(bug);
                     } catch (const std::exception& error) {
                       spdlog::error("rpc: while accepting connections: {}", error.what());
                     }
                   });
  }

  asio::awaitable<void> accept() {
    std::function<void(tcp::socket)> each = [this](tcp::socket socket) { spawn(welcome(std::move(socket))); };
    co_await accept_each(&acceptor, std::move(each));
  }

  asio::awaitable<void> welcome(tcp::socket socket) {
    boost::system::error_code error;
    const auto address = endpoint_text(socket.remote_endpoint(error));
    if (error) co_return;
    auto opened =
        co_await rpc::open(std::move(socket), asio::ssl::stream_base::server, address, tls, Expect{}, limits.handshake);
    if (!opened) {
      spdlog::warn("rpc: client {}", opened.error());
      co_return;
    }
    if (!acceptor.is_open()) co_return;
    const auto handle = std::make_shared<std::weak_ptr<Session>>();
    const auto session = TlsSession::start(std::move(*opened), address, services, limits,
                                           [weak = weak_from_this(), handle](const Error& why) {
                                             const auto self = weak.lock();
                                             if (!self) return;
                                             const auto closed = handle->lock();
                                             self->sessions.erase(closed);
                                             if (const auto tell = self->hooks.on_session_closed) tell(closed, why);
                                           });
    *handle = session;
    sessions.insert(session);
    // A copy, because the hook may destroy the server.
    if (const auto tell = hooks.on_session_open) tell(session);
  }

  void stop() {
    boost::system::error_code ignored;
    acceptor.close(ignored);
    for (const auto& session : sessions) session->close("the server is stopping");
  }

  /// Takes the state by value, because a coroutine starts only when it is awaited.
  static Task<void> drain(std::shared_ptr<State> state, Deadline grace) {
    boost::system::error_code ignored;
    state->acceptor.close(ignored);
    // Every session has to refuse new calls from now on, so they are drained side by side.
    const auto busy = std::make_shared<std::size_t>(state->sessions.size());
    const auto done =
        std::make_shared<asio::steady_timer>(state->acceptor.get_executor(), asio::steady_timer::time_point::max());
    for (const auto& session : state->sessions) {
      asio::co_spawn(state->acceptor.get_executor(), session->drain(grace),
                     [session, busy, done](const std::exception_ptr&, const Result<void>&) {
                       if (--*busy == 0) done->cancel();
                     });
    }
    if (*busy > 0) (void)co_await done->async_wait(kNoThrow);
    state->stop();
    co_return Result<void>{};
  }

  tcp::acceptor acceptor;
  Tls tls;
  Services services;
  ServerHooks hooks;
  Limits limits;
  std::set<std::shared_ptr<Session>> sessions;
};

Result<std::unique_ptr<Server>> Server::listen(asio::any_io_executor executor, tcp::endpoint endpoint, Tls tls,
                                               Services services, ServerHooks hooks, Limits limits) {
  UMBRA_TRY(auto acceptor,
            listen_on(executor, endpoint, "choose an address of this host and a port that no other program uses"));
  auto state =
      std::make_shared<State>(std::move(acceptor), std::move(tls), std::move(services), std::move(hooks), limits);
  state->spawn(state->accept());
  return std::unique_ptr<Server>(new Server(std::move(state)));
}

Server::Server(std::shared_ptr<State> state) : state_(std::move(state)) {}
Server::~Server() {
  state_->hooks = {};
  state_->stop();
}

tcp::endpoint Server::endpoint() const {
  boost::system::error_code ignored;
  return state_->acceptor.local_endpoint(ignored);
}

std::vector<std::shared_ptr<Session>> Server::sessions() const {
  return {state_->sessions.begin(), state_->sessions.end()};
}

void Server::stop() {
  state_->stop();
}

Task<void> Server::drain(Deadline grace) {
  return State::drain(state_, grace);
}

}  // namespace umbra::rpc
