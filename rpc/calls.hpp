/// Calls in flight of a TlsSession. Private to it.
#pragma once

#include "rpc/tls_session.hpp"

namespace umbra::rpc {

/// What a stream item takes from the window: its bytes and what keeping it costs, so that tiny ones count too.
inline std::size_t cost(std::string_view item) {
  return item.size() + 64;
}

/// A call of ours. `wake` expires at its deadline and is cancelled when something arrived.
struct TlsSession::Outgoing {
  Outgoing(const asio::any_io_executor& executor, std::uint64_t number, std::string name)
      : id(number), method(std::move(name)), wake(executor) {}

  const std::uint64_t id;
  const std::string method;
  asio::steady_timer wake;
  std::deque<std::string> items;
  std::size_t unread = 0;    ///< cost of what is in `items`
  std::size_t to_grant = 0;  ///< cost of what was read since the last Credit
  std::optional<Result<std::string>> outcome;
};

/// A call of the peer's.
struct TlsSession::Incoming {
  Incoming(const asio::any_io_executor& executor, std::uint64_t number, Services::Found target, std::uint64_t window)
      : id(number),
        found(std::move(target)),
        deadline(executor),
        readable(executor),
        credit(static_cast<std::int64_t>(window)) {
    readable.expires_at(asio::steady_timer::time_point::max());
  }

  const std::uint64_t id;
  const Services::Found found;
  std::string request;  ///< kept for Services::on_failure, when there is one
  asio::cancellation_signal cancel;
  asio::steady_timer deadline;
  asio::steady_timer readable;  ///< never expires; cancelled when credit came or the call was stopped
  std::int64_t credit;          ///< may be overdrawn by one item
  std::optional<Errc> stopped;  ///< why the handler was told to stop
  bool finished = false;
};

/// Reads a call's items and returns credit for them.
class TlsSession::CallInflow final : public Inflow {
 public:
  CallInflow(std::shared_ptr<TlsSession> session, std::shared_ptr<Outgoing> call)
      : session_(std::move(session)), call_(std::move(call)) {}
  ~CallInflow() override;
  Task<std::optional<std::string>> next() override;

 private:
  std::string take();

  std::shared_ptr<TlsSession> session_;
  std::shared_ptr<Outgoing> call_;
};

/// Writes a call's items as far as its reader has given credit.
class TlsSession::CallOutflow final : public Outflow {
 public:
  CallOutflow(std::shared_ptr<TlsSession> session, std::shared_ptr<Incoming> call)
      : session_(std::move(session)), call_(std::move(call)) {}
  Task<void> send(std::string message) override;

 private:
  std::shared_ptr<TlsSession> session_;
  std::shared_ptr<Incoming> call_;
};

}  // namespace umbra::rpc
