/// The way between two gates: one TCP connection, with TLS or, once both ends have shown who they are, without.
#pragma once

#include <openssl/ssl.h>

#include <memory>
#include <span>

#include "gate/sockets.hpp"
#include "rpc/tls.hpp"
#include "rpc/x509.hpp"

namespace umbra::gate {

/// What came of reading or writing some.
enum class Moved : std::uint8_t {
  kSome,
  kNone,  ///< nothing now: wait for events()
  kEnd,   ///< the other side has said that it sends no more
  kLost,  ///< it is gone, or sends what it should not; why() tells
};

/// One thread. Never blocks, but for the handshake.
class Line {
 public:
  enum class Role : std::uint8_t { kConnects, kAccepts };

  /// TLS 1.3, certificates on both sides, by the fleet's CAs. Waits until it is done.
  /// @error kDenied a certificate is refused; kTimeout; kUnavailable the other side hung up
  static Result<Line> open(Descriptor socket, Role role, const rpc::Tls& tls, std::chrono::milliseconds deadline);

  const rpc::Identity& peer() const { return peer_; }

  /// The stream begins. Plain: from here on nothing is encrypted; both ends do so at the same place, with nothing on
  /// its way.
  void begin_stream(bool plain);

  Moved read(std::span<std::byte> into, std::size_t& count);
  /// Takes as much as it can, and sends it. @return kSome: all of it, and it is with TCP; kNone: some of it waits, here
  /// or there, and the next call, even with nothing, goes on
  Moved write(std::span<const std::byte> from, std::size_t& count);
  /// Bytes that were taken, and are not with TCP yet.
  std::size_t unsent() const;
  /// Tells the other side that nothing more comes; it may go on to send.
  void finish();
  /// Both directions end; the other side takes it for lost.
  void abandon();

  /// Messages of at most 1 MiB, before the stream. Wait until they are through. @error kTimeout, kUnavailable, kInvalid
  Result<void> send(const google::protobuf::MessageLite& message, std::chrono::milliseconds deadline);
  Result<void> receive(google::protobuf::MessageLite& message, std::chrono::milliseconds deadline);

  int descriptor() const { return socket_.get(); }
  const Descriptor& socket() const { return socket_; }
  /// What the last kNone of reading, and of writing, waits for: POLLIN or POLLOUT.
  short read_waits_for() const { return read_waits_for_; }
  short write_waits_for() const { return write_waits_for_; }
  bool in_kernel() const;
  bool is_plain() const { return plain_; }
  const std::string& why() const { return why_; }

 private:
  using Ssl = std::unique_ptr<SSL, rpc::x509::Release<SSL_free>>;

  Line(Descriptor socket, Ssl ssl) : socket_(std::move(socket)), ssl_(std::move(ssl)) {}
  Moved classify(int returned, short& waits_for);
  Moved write_some(std::span<const std::byte> from, std::size_t& count);
  Moved plain(ssize_t returned, short waits, short& waits_for, std::size_t& count);
  Result<void> whole(std::span<std::byte> bytes, bool writes, std::chrono::steady_clock::time_point end);

  Descriptor socket_;
  Ssl ssl_;
  rpc::Identity peer_;
  bool plain_ = false;
  short read_waits_for_ = 0, write_waits_for_ = 0;
  std::string why_;
};

}  // namespace umbra::gate
