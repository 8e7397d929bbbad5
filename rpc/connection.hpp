/// Frames over one TLS stream: reading, writing, keepalive and the end of the connection. Knows nothing of calls.
#pragma once

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/steady_timer.hpp>
#include <memory>
#include <string>
#include <vector>

#include "rpc/session.hpp"
#include "rpc/wire.pb.h"

namespace umbra::rpc {

using TlsStream = asio::ssl::stream<asio::ip::tcp::socket>;

/// Told of what arrives. Called on the connection's executor, never from inside one of Connection's own functions.
class FrameHandler {
 public:
  virtual ~FrameHandler() = default;
  /// @error anything: the frame breaks the protocol, and the connection is closed
  virtual Result<void> on_frame(wire::Frame frame) = 0;
  /// The last call, once.
  virtual void on_closed(const Error& why) = 0;
};

/// Threading: as Session.
/// Lifetime: a part of its handler, which the operations in progress keep alive. So a handler lives until its
/// connection has closed, or its io_context is destroyed.
class Connection {
 public:
  /// @param peer who is at the other end, for logs and errors
  Connection(std::unique_ptr<TlsStream> stream, std::string peer, Limits limits);

  void start(std::weak_ptr<FrameHandler> handler);

  bool is_open() const { return !closing_; }
  const std::string& peer() const { return peer_; }
  asio::any_io_executor executor() { return stream_->get_executor(); }

  /// @error kInvalid the frame is over the limit; nothing was sent
  Result<void> send(const wire::Frame& frame);
  /// Closes, after telling the peer the reason if it can still hear.
  void close(Error why);

 private:
  void read();
  void on_read(const boost::system::error_code& error, std::size_t size);
  Result<void> take_frames();
  void on_end(const boost::system::error_code& error);
  void write();
  void tick();
  void begin_closing(Error why);
  void close_socket();

  std::unique_ptr<TlsStream> stream_;
  const std::string peer_;
  const Limits limits_;
  std::weak_ptr<FrameHandler> handler_;
  asio::steady_timer timer_;  ///< keepalive; once closing, how long the peer may take to hang up

  std::vector<char> in_;  ///< received bytes are in_[begin_, end_)
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
  std::string queued_;   ///< frames waiting for the write in progress
  std::string writing_;  ///< empty when no write is in progress
  bool heard_ = true;    ///< anything arrived since the last ping
  bool closing_ = false;
};

/// What `error` looks like on the wire, and back. Success is code 0.
void set_status(wire::Status& status, const Error& error);
Error error_of(const wire::Status& status);
/// For what no Umbra of this version sends, and what ends the connection; the remedy says who may have sent it.
[[nodiscard]] Error bad_frame(Errc code, std::string what);

/// The frame with its length before it, appended to `out`. @error kInvalid over `max_frame`
Result<void> append_frame(std::string& out, const wire::Frame& frame, std::size_t max_frame);
inline constexpr std::size_t kLengthBytes = 4;
std::size_t read_length(const char* bytes);

}  // namespace umbra::rpc
