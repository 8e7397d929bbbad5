/// A deadline on whatever waits for a socket.
#pragma once

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <memory>

#include "base/task.hpp"

namespace umbra::rpc {

/// Closes the socket when time is up, which ends every wait on it with an error; does nothing once destroyed.
/// The socket outlives the guard. Single thread.
class SocketGuard {
 public:
  SocketGuard(asio::ip::tcp::socket& socket, Deadline deadline) : state_(std::make_shared<State>(socket)) {
    state_->timer.expires_after(deadline);
    state_->timer.async_wait([state = state_](const boost::system::error_code& error) {
      if (error || !state->armed) return;
      state->expired = true;
      boost::system::error_code ignored;
      state->socket.close(ignored);
    });
  }
  ~SocketGuard() {
    state_->armed = false;
    state_->timer.cancel();
  }
  SocketGuard(const SocketGuard&) = delete;
  SocketGuard& operator=(const SocketGuard&) = delete;

  bool expired() const { return state_->expired; }

 private:
  struct State {
    explicit State(asio::ip::tcp::socket& watched) : socket(watched), timer(watched.get_executor()) {}
    asio::ip::tcp::socket& socket;
    asio::steady_timer timer;
    bool armed = true;
    bool expired = false;
  };
  std::shared_ptr<State> state_;
};

}  // namespace umbra::rpc
