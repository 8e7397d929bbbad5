/// One authenticated connection with a peer, over which either end calls the services that the other end serves.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "base/task.hpp"
#include "rpc/identity.hpp"

namespace umbra::rpc {

/// No deadline: for streams that are followed until the caller drops them.
inline constexpr Deadline kNoDeadline = Deadline::max();

/// Limits of one connection. Both ends of a fleet should agree on `max_frame`.
struct Limits {
  std::size_t max_frame = std::size_t{16} << 20;  ///< bytes, in either direction
  std::size_t max_calls = 1024;                   ///< calls of the peer being served at once
  std::size_t window = std::size_t{256} << 10;    ///< bytes of a stream sent ahead of its reader
  std::chrono::milliseconds keepalive{5000};      ///< a silent peer is given up after at most two of these
  std::chrono::milliseconds handshake{10000};     ///< from the TCP connection to both Hello frames
};

/// The reading end of a stream of serialised messages. Dropping it cancels the call.
class Inflow {
 public:
  virtual ~Inflow() = default;
  /// The next message, nullopt after the last.
  /// @error the method's own; kTimeout the call's deadline; kUnavailable the connection is gone; kCancelled
  virtual Task<std::optional<std::string>> next() = 0;
};

/// The writing end of a stream of serialised messages.
class Outflow {
 public:
  virtual ~Outflow() = default;
  /// Returns once the message is on its way, which waits for the reader when it is more than a window behind.
  /// @error kCancelled the reader has gone; kInvalid over the frame limit
  virtual Task<void> send(std::string message) = 0;
};

/// A session. Application code uses the generated clients; the calls below are what they are made of.
///
/// Threading: everything happens on the executor that the session was made with, which must be one thread's io_context
/// (or one strand). Members, streams and sinks may only be used there. Lifetime: shared; lives on while it is open or
/// has calls in flight, and is useless after it closed: get the next one from the Dialer, or from Server's
/// `on_session_open`.
class Session {
 public:
  virtual ~Session() = default;

  /// Who is at the other end, by its certificate.
  virtual const Identity& peer() const = 0;
  /// Peer's "address:port", for logs.
  virtual const std::string& address() const = 0;
  /// False once closed, closing, or told by the peer to make no further calls.
  virtual bool is_open() const = 0;

  /// Calls a unary method ("umbra.v1.Standby/Stage") with a serialised request. Cancelling the calling coroutine
  /// (asio cancellation) cancels the method on the peer too.
  /// @error kTimeout no answer in time, the outcome is unknown and the peer was told to cancel; kUnavailable the
  /// connection is
  ///   closed or broke during the call; kDenied the method is not open to our role; kUnsupported the peer has no such
  ///   method; kExhausted the peer serves too many calls of ours; kInvalid over the frame limit; otherwise the method's
  ///   own error
  virtual Task<std::string> call(std::string method, std::string request, Deadline deadline) = 0;
  /// Calls a streaming method; the deadline covers the whole stream. The method's errors appear at Inflow::next().
  /// @error kUnavailable, kInvalid
  virtual Result<std::shared_ptr<Inflow>> open_stream(std::string method, std::string request, Deadline deadline) = 0;

  /// Refuses new calls in both directions, waits at most `grace` for those in flight, closes.
  virtual Task<void> drain(Deadline grace) = 0;
  /// Tells the peer why and closes. Calls in flight end with kUnavailable here and are cancelled where they are served.
  virtual void close(std::string_view why) = 0;
};

}  // namespace umbra::rpc
