#include "gate/line.hpp"

#include <openssl/err.h>
#include <poll.h>
#include <sys/socket.h>

#include <boost/asio/ssl/context.hpp>
#include <cstring>

#include "gate/frame.hpp"
#include "rpc/trust.hpp"

namespace umbra::gate {
namespace {

using Clock = std::chrono::steady_clock;

/// Records go to TCP, and come from it, this many bytes at a time: a call for each record's 16 KiB wakes the other gate
/// as often, and OpenSSL's own read-ahead moves all that it has read on to the next record's place, record by record.
constexpr int kBuffer = 272 << 10;

int verify(int accepted, X509_STORE_CTX* context) {
  return accepted == 1 || rpc::Trust::tolerates(X509_STORE_CTX_get_error(context)) ? 1 : 0;
}

std::chrono::milliseconds left_until(Clock::time_point end) {
  return std::max(std::chrono::ceil<std::chrono::milliseconds>(end - Clock::now()), std::chrono::milliseconds(0));
}

bool receives_in_kernel([[maybe_unused]] BIO* socket) {
#ifndef OPENSSL_NO_KTLS
  return BIO_get_ktls_recv(socket) == 1;
#else
  return false;
#endif
}

/// What OpenSSL has against the peer, or the peer against us.
Error refusal_of(SSL* ssl) {
  const auto verdict = SSL_get_verify_result(ssl);
  const auto text = rpc::x509::openssl_error();
  if (verdict != X509_V_OK && !rpc::Trust::tolerates(static_cast<int>(verdict)))
    return {Errc::kDenied,
            fmt::format("its certificate is refused: {}", rpc::x509::explain(static_cast<int>(verdict), nullptr)),
            "umbractl pki show; issue or renew it"};
  if (!text.empty()) return {Errc::kDenied, fmt::format("no TLS connection: {}", text), "umbractl pki show on both"};
  return {Errc::kUnavailable, "it hung up", {}};
}

}  // namespace

Result<Line> Line::open(Descriptor socket, Role role, const rpc::Tls& tls, std::chrono::milliseconds deadline) {
  const auto end = Clock::now() + deadline;
  prepare_tcp(socket);
  const auto context = tls.context();
  Ssl ssl(SSL_new(context->native_handle()));
  if (!ssl || SSL_set_fd(ssl.get(), socket.get()) != 1)
    return fail(Errc::kInternal, "OpenSSL: {}", rpc::x509::openssl_error());
  SSL_set_verify(ssl.get(), SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, verify);
  SSL_set_mode(ssl.get(), SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  SSL_set_options(ssl.get(), SSL_OP_ENABLE_KTLS);
  // Halves the work of AES-256; both ends are ours.
  SSL_set_ciphersuites(ssl.get(), "TLS_AES_128_GCM_SHA256");
  role == Role::kConnects ? SSL_set_connect_state(ssl.get()) : SSL_set_accept_state(ssl.get());
  Line line(std::move(socket), std::move(ssl));
  for (;;) {
    ERR_clear_error();
    const int done = SSL_do_handshake(line.ssl_.get());
    if (done == 1) break;
    short waits = 0;
    if (line.classify(done, waits) != Moved::kNone) return fail(refusal_of(line.ssl_.get()));
    if (!wait_for(line.descriptor(), waits, left_until(end)))
      return fail(Errc::kTimeout, "no TLS handshake within {} ms", deadline.count());
  }
  const rpc::x509::Certificate certificate(SSL_get1_peer_certificate(line.ssl_.get()));
  if (!certificate) return fail(Errc::kDenied, "it showed no certificate");
  UMBRA_TRY(line.peer_, rpc::x509::identity_of(*certificate));
  return line;
}

/// Reading ahead is what would swallow the beginning of a plain stream, so it begins here. A direction that the kernel
/// encrypts has its records made there.
void Line::begin_stream(bool plain) {
  plain_ = plain;
  if (plain) return;
  auto* const socket = SSL_get_wbio(ssl_.get());
  const auto buffered = [&] {
    auto* const buffer = BIO_new(BIO_f_buffer());
    if (buffer == nullptr || BIO_set_read_buffer_size(buffer, kBuffer) != 1 ||
        BIO_set_write_buffer_size(buffer, kBuffer) != 1)
      throw std::bad_alloc();
    BIO_up_ref(socket);
    return BIO_push(buffer, socket);
  };
  const bool sends_itself = in_kernel();
  if (!receives_in_kernel(socket)) SSL_set0_rbio(ssl_.get(), buffered());
  if (!sends_itself) SSL_set0_wbio(ssl_.get(), buffered());
}

bool Line::in_kernel() const {
#ifndef OPENSSL_NO_KTLS
  return !plain_ && BIO_get_ktls_send(SSL_get_wbio(ssl_.get())) == 1;
#else
  return false;
#endif
}

Moved Line::classify(int returned, short& waits_for) {
  switch (SSL_get_error(ssl_.get(), returned)) {
    case SSL_ERROR_WANT_READ:
      waits_for = POLLIN;
      return Moved::kNone;
    case SSL_ERROR_WANT_WRITE:
      waits_for = POLLOUT;
      return Moved::kNone;
    case SSL_ERROR_ZERO_RETURN:
      return Moved::kEnd;
    case SSL_ERROR_SYSCALL:
      why_ = errno != 0 ? std::strerror(errno) : "the other gate is gone";
      return Moved::kLost;
    default:
      why_ = "TLS: " + std::string(ERR_reason_error_string(ERR_peek_last_error()) != nullptr
                                       ? ERR_reason_error_string(ERR_peek_last_error())
                                       : "the stream is damaged");
      return Moved::kLost;
  }
}

Moved Line::plain(ssize_t returned, short waits, short& waits_for, std::size_t& count) {
  count = returned > 0 ? static_cast<std::size_t>(returned) : 0;
  if (returned > 0) return Moved::kSome;
  if (returned == 0) return Moved::kEnd;
  if (errno == EAGAIN || errno == EINTR) {
    waits_for = waits;
    return Moved::kNone;
  }
  why_ = std::strerror(errno);
  return Moved::kLost;
}

Moved Line::read(std::span<std::byte> into, std::size_t& count) {
  if (plain_) return plain(::recv(socket_.get(), into.data(), into.size(), 0), POLLIN, read_waits_for_, count);
  ERR_clear_error();
  errno = 0;
  count = 0;
  const int got = SSL_read_ex(ssl_.get(), into.data(), into.size(), &count);
  return got == 1 ? Moved::kSome : classify(got, read_waits_for_);
}

Moved Line::write(std::span<const std::byte> from, std::size_t& count) {
  count = 0;
  auto moved = Moved::kSome;
  while (count < from.size() && moved == Moved::kSome) {
    std::size_t put = 0;
    moved = write_some(from.subspan(count), put);
    count += put;
  }
  if (moved == Moved::kLost || moved == Moved::kEnd || plain_) return moved;
  errno = 0;
  const int flushed = BIO_flush(SSL_get_wbio(ssl_.get()));
  if (flushed == 1) return moved;
  if (!BIO_should_retry(SSL_get_wbio(ssl_.get()))) {
    why_ = errno != 0 ? std::strerror(errno) : "the other gate is gone";
    return Moved::kLost;
  }
  write_waits_for_ = POLLOUT;
  return Moved::kNone;
}

Moved Line::write_some(std::span<const std::byte> from, std::size_t& count) {
  if (plain_)
    return plain(::send(socket_.get(), from.data(), from.size(), MSG_NOSIGNAL), POLLOUT, write_waits_for_, count);
  ERR_clear_error();
  errno = 0;
  const int put = SSL_write_ex(ssl_.get(), from.data(), from.size(), &count);
  return put == 1 ? Moved::kSome : classify(put, write_waits_for_);
}

std::size_t Line::unsent() const {
  return plain_ ? 0 : BIO_wpending(SSL_get_wbio(ssl_.get()));
}

void Line::finish() {
  if (!plain_) SSL_shutdown(ssl_.get());
  ::shutdown(socket_.get(), SHUT_WR);
}

void Line::abandon() {
  ::shutdown(socket_.get(), SHUT_RDWR);
}

Result<void> Line::whole(std::span<std::byte> bytes, bool writes, Clock::time_point end) {
  while (!bytes.empty()) {
    std::size_t count = 0;
    const auto moved = writes ? write(bytes, count) : read(bytes, count);
    if (moved == Moved::kSome) {
      bytes = bytes.subspan(count);
      continue;
    }
    if (moved != Moved::kNone)
      return fail(Errc::kUnavailable, "{}", moved == Moved::kEnd || why_.empty() ? "the other gate hung up" : why_);
    if (!wait_for(descriptor(), writes ? write_waits_for_ : read_waits_for_, left_until(end)))
      return fail(Errc::kTimeout, "nothing came in time");
  }
  return {};
}

Result<void> Line::send(const google::protobuf::MessageLite& message, std::chrono::milliseconds deadline) {
  auto bytes = frame_of(message);
  return whole(std::as_writable_bytes(std::span(bytes)), true, Clock::now() + deadline);
}

Result<void> Line::receive(google::protobuf::MessageLite& message, std::chrono::milliseconds deadline) {
  const auto end = Clock::now() + deadline;
  std::string bytes(rpc::kLengthBytes, '\0');
  UMBRA_CHECK(whole(std::as_writable_bytes(std::span(bytes)), false, end));
  const auto length = rpc::read_length(bytes.data());
  if (length > kLongestFrame) return fail(Errc::kInvalid, "a message of {} bytes", length);
  bytes.resize(rpc::kLengthBytes + length);
  UMBRA_CHECK(whole(std::as_writable_bytes(std::span(bytes)).subspan(rpc::kLengthBytes), false, end));
  UMBRA_CHECK(take_frame(bytes, message));
  return {};
}

}  // namespace umbra::gate
