#include "rpc/opening.hpp"

#include <openssl/ssl.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/write.hpp>

#include "rpc/handshake_errors.hpp"
#include "rpc/socket_guard.hpp"
#include "rpc/x509.hpp"

namespace umbra::rpc {
namespace {

constexpr auto kNoThrow = asio::as_tuple(asio::use_awaitable);
constexpr std::uint32_t kProtocol = 1;
/// A Hello is small, a Goaway in its place quotes an error.
constexpr std::size_t kMaxHello = std::size_t{64} << 10;
constexpr Deadline kLinger{1000};

/// What the coroutines below share; lives in the frame of `open`.
struct Opening {
  TlsStream& stream;
  const std::string& address;
  const Tls& tls;
  const Objection& objection;
};

/// Waits until the peer has hung up, so that our last words reach it: closing a socket with unread data resets it.
asio::awaitable<void> hang_up(TlsStream* stream) {
  auto& socket = stream->next_layer();
  const SocketGuard guard(socket, kLinger);
  boost::system::error_code ended;
  socket.shutdown(asio::ip::tcp::socket::shutdown_send, ended);
  std::string discarded(4096, 0);
  while (!ended) {
    const auto into = asio::buffer(discarded);
    std::tie(ended, std::ignore) = co_await socket.async_read_some(into, kNoThrow);
  }
}

x509::Certificate certificate_of_peer(TlsStream& stream) {
  return x509::Certificate(SSL_get1_peer_certificate(stream.native_handle()));
}

Result<Identity> check_peer(const Opening& opening, const Expect& expect) {
  const auto certificate = certificate_of_peer(opening.stream);
  if (!certificate) return fail(Errc::kDenied, "{} showed no certificate", opening.address);
  auto peer = x509::identity_of(*certificate);
  if (!peer)
    return fail(
        {Errc::kDenied, fmt::format("{} refused: {}", opening.address, peer.error().message), peer.error().remedy});
  if (expect.role != v1::ROLE_UNSPECIFIED && peer->role != expect.role) {
    return fail({Errc::kDenied,
                 fmt::format("{} is {} with the role {}, but the role {} is needed there", opening.address, peer->name,
                             role_name(peer->role), role_name(expect.role)),
                 "correct the address, or issue that node a certificate of the right role"});
  }
  if (!expect.name.empty() && !peer->answers_to(expect.name)) {
    return fail(
        {Errc::kDenied, fmt::format("{} is {}, which is not {}", opening.address, peer->name, expect.name),
         fmt::format("correct the address, or reissue that node's certificate with the further name {}", expect.name)});
  }
  return peer;
}

Task<void> write_first(const Opening* opening, wire::Frame frame) {
  std::string bytes;
  UMBRA_CO_CHECK(append_frame(bytes, frame, kMaxHello));
  const auto buffer = asio::buffer(bytes);
  const auto [error, size] = co_await asio::async_write(opening->stream, buffer, kNoThrow);
  if (error) co_return fail(explain_handshake(error, opening->objection, opening->address, opening->tls));
  co_return Result<void>{};
}

Task<wire::Frame> read_first(const Opening* opening) {
  std::string bytes(kLengthBytes, '\0');
  const auto length_buffer = asio::buffer(bytes);
  auto [error, size] = co_await asio::async_read(opening->stream, length_buffer, kNoThrow);
  if (error) co_return fail(explain_handshake(error, opening->objection, opening->address, opening->tls));
  const auto length = read_length(bytes.data());
  wire::Frame frame;
  if (length <= kMaxHello) {
    bytes.resize(length);
    const auto body_buffer = asio::buffer(bytes);
    std::tie(error, size) = co_await asio::async_read(opening->stream, body_buffer, kNoThrow);
    if (error) co_return fail(explain_handshake(error, opening->objection, opening->address, opening->tls));
    if (frame.ParseFromString(bytes)) co_return frame;
  }
  co_return fail({Errc::kInvalid, fmt::format("{} sent a malformed first frame", opening->address),
                  "check that the address and port are those of an Umbra node"});
}

/// Both ends speak at once, so that opening costs one round trip after the handshake.
Task<void> exchange_hello(const Opening* opening) {
  wire::Frame hello;
  hello.mutable_hello()->set_protocol(kProtocol);
  hello.mutable_hello()->set_software(UMBRA_VERSION);
  // If the peer refused us, writing may fail while its reason waits to be read: so the read decides.
  (void)co_await write_first(opening, std::move(hello));
  UMBRA_CO_TRY(const auto first, co_await read_first(opening));
  if (first.has_goaway()) {
    const auto why = error_of(first.goaway().status());
    co_return fail({why.code, fmt::format("{} turned us away: {}", opening->address, why.message), why.remedy});
  }
  if (first.hello().protocol() == kProtocol) co_return Result<void>{};
  co_return fail({Errc::kUnsupported,
                  fmt::format("{} runs Umbra {} with protocol {}, this node has protocol {}", opening->address,
                              first.hello().software(), first.hello().protocol(), kProtocol),
                  "install the same version on both"});
}

Task<Identity> shake_hands(const Opening* opening, asio::ssl::stream_base::handshake_type side, Expect expect) {
  const auto [error] = co_await opening->stream.async_handshake(side, kNoThrow);
  if (error) co_return fail(explain_handshake(error, opening->objection, opening->address, opening->tls));
  auto peer = check_peer(*opening, expect);
  if (!peer) {
    wire::Frame goaway;
    set_status(*goaway.mutable_goaway()->mutable_status(), peer.error());
    (void)co_await write_first(opening, std::move(goaway));
    co_return fail(peer.error());
  }
  UMBRA_CO_CHECK(co_await exchange_hello(opening));
  co_return peer;
}

}  // namespace

Task<Opened> open(asio::ip::tcp::socket socket, asio::ssl::stream_base::handshake_type side, std::string address,
                  Tls tls, Expect expect, Deadline deadline) {
  boost::system::error_code ignored;
  socket.set_option(asio::ip::tcp::no_delay(true), ignored);
  auto stream = std::make_unique<TlsStream>(std::move(socket), *tls.context());
  Objection objection;
  stream->set_verify_callback([&objection](bool accepted, asio::ssl::verify_context& context) {
    if (accepted || Trust::tolerates(X509_STORE_CTX_get_error(context.native_handle()))) return true;
    objection.note(context);
    return false;
  });
  const Opening opening{*stream, address, tls, objection};
  bool expired = false;
  Result<Identity> peer;
  {
    const SocketGuard guard(stream->next_layer(), deadline);
    peer = co_await shake_hands(&opening, side, std::move(expect));
    expired = guard.expired();
  }
  if (expired) {
    co_return fail({Errc::kTimeout,
                    fmt::format("{} did not complete the TLS handshake within {} ms", address, deadline.count()),
                    "check that the address and port are those of an Umbra node"});
  }
  if (!peer) {
    co_await hang_up(stream.get());
    co_return fail(peer.error());
  }
  // The objection dies with this frame; TLS 1.3 has no renegotiation that could call back later.
  stream->set_verify_callback([](bool accepted, asio::ssl::verify_context&) { return accepted; });
  auto certificate = certificate_of_peer(*stream);
  co_return Opened{std::move(stream), std::move(*peer), std::move(certificate), std::move(tls)};
}

}  // namespace umbra::rpc
