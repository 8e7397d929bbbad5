#include "rpc/enrolment.hpp"

#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <spdlog/spdlog.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/write.hpp>
#include <boost/endian/conversion.hpp>

#include "base/listening.hpp"
#include "rpc/dialer.hpp"
#include "rpc/socket_guard.hpp"

namespace umbra::rpc {
namespace {

using asio::ip::tcp;
using Stream = asio::ssl::stream<tcp::socket>;
constexpr auto kNoThrow = asio::as_tuple(asio::use_awaitable);
constexpr Deadline kPatience{10'000};
/// A bundle of 16 CAs and a certificate.
constexpr std::uint32_t kMostMessage = 256 * 1024;

/// TLS 1.3 with our certificate, and none asked of the other end.
Result<std::shared_ptr<asio::ssl::context>> door_context(const Tls& tls) {
  const auto ours = tls.context();
  auto made = std::make_shared<asio::ssl::context>(asio::ssl::context::tls_server);
  SSL_CTX* context = made->native_handle();
  const bool ready = SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION) == 1 &&
                     SSL_CTX_set_num_tickets(context, 0) == 1 &&
                     SSL_CTX_use_certificate(context, SSL_CTX_get0_certificate(ours->native_handle())) == 1 &&
                     SSL_CTX_use_PrivateKey(context, SSL_CTX_get0_privatekey(ours->native_handle())) == 1;
  if (!ready) return fail(Errc::kInternal, "OpenSSL: {}", x509::openssl_error());
  SSL_CTX_set_mode(context, SSL_MODE_NO_AUTO_CHAIN);
  made->set_verify_mode(asio::ssl::verify_none);
  return made;
}

asio::awaitable<bool> send(Stream* stream, std::string body) {
  std::string bytes(4, '\0');
  boost::endian::store_big_u32(reinterpret_cast<unsigned char*>(bytes.data()), static_cast<std::uint32_t>(body.size()));
  bytes += body;
  const auto buffer = asio::buffer(bytes);
  const auto [error, size] = co_await asio::async_write(*stream, buffer, kNoThrow);
  co_return !error;
}

/// Nothing: the other end hung up, or says too much.
asio::awaitable<std::optional<std::string>> receive(Stream* stream) {
  std::string length(4, '\0');
  const auto into = asio::buffer(length);
  auto [error, size] = co_await asio::async_read(*stream, into, kNoThrow);
  if (error) co_return std::nullopt;
  const auto expected = boost::endian::load_big_u32(reinterpret_cast<const unsigned char*>(length.data()));
  if (expected > kMostMessage) co_return std::nullopt;
  std::string body(expected, '\0');
  const auto rest = asio::buffer(body);
  std::tie(error, size) = co_await asio::async_read(*stream, rest, kNoThrow);
  if (error) co_return std::nullopt;
  co_return std::move(body);
}

}  // namespace

Result<Token> Token::make(const Tls& controller) {
  Token token;
  token.secret.resize(kSecret);
  if (RAND_bytes(reinterpret_cast<unsigned char*>(token.secret.data()), kSecret) != 1)
    return fail(Errc::kInternal, "OpenSSL: {}", x509::openssl_error());
  const auto context = controller.context();
  token.pin = x509::key_digest(*SSL_CTX_get0_certificate(context->native_handle()));
  return token;
}

std::string Token::text() const {
  const auto bytes = secret + pin;  // 48 octets, so without padding
  std::string text((bytes.size() + 2) / 3 * 4 + 1, '\0');
  const int length =
      EVP_EncodeBlock(reinterpret_cast<unsigned char*>(text.data()),
                      reinterpret_cast<const unsigned char*>(bytes.data()), static_cast<int>(bytes.size()));
  text.resize(static_cast<std::size_t>(length));
  std::ranges::replace(text, '+', '-');
  std::ranges::replace(text, '/', '_');
  return text;
}

Result<Token> Token::parse(std::string_view text) {
  constexpr std::size_t kLength = (kSecret + kPin) / 3 * 4;
  std::string plain(text);
  std::ranges::replace(plain, '-', '+');
  std::ranges::replace(plain, '_', '/');
  std::string bytes(kSecret + kPin, '\0');
  if (plain.size() != kLength || plain.find('=') != plain.npos ||
      EVP_DecodeBlock(reinterpret_cast<unsigned char*>(bytes.data()),
                      reinterpret_cast<const unsigned char*>(plain.data()), kLength) != kSecret + kPin)
    return fail({Errc::kInvalid, "this is no token", "give the 64 characters that `umbractl invite` printed"});
  return Token{bytes.substr(0, kSecret), bytes.substr(kSecret)};
}

struct EnrolmentDoor::State : std::enable_shared_from_this<State> {
  State(tcp::acceptor listening, Tls credentials, Answer how)
      : acceptor(std::move(listening)), tls(std::move(credentials)), answer(std::move(how)) {}

  static asio::awaitable<void> accept(std::shared_ptr<State> self) {
    std::function<void(tcp::socket)> each = [&self](tcp::socket socket) {
      if (self->busy >= kMostAtOnce) return;  // hangs up
      asio::co_spawn(self->acceptor.get_executor(), serve(self, std::move(socket)), asio::detached);
    };
    co_await accept_each(&self->acceptor, std::move(each));
  }

  static asio::awaitable<void> serve(std::shared_ptr<State> self, tcp::socket socket) {
    boost::system::error_code ignored;
    const auto address = socket.remote_endpoint(ignored).address().to_string();
    const auto context = door_context(self->tls);
    if (!context) co_return;
    ++self->busy;
    Stream stream(std::move(socket), **context);
    {
      const SocketGuard guard(stream.next_layer(), kPatience);
      co_await converse(self, &stream, address);
    }
    --self->busy;
  }

  static asio::awaitable<void> converse(std::shared_ptr<State> self, Stream* stream, std::string address) {
    const auto [error] = co_await stream->async_handshake(asio::ssl::stream_base::server, kNoThrow);
    if (error) co_return;
    const auto body = co_await receive(stream);
    v1::EnrolRequest request;
    if (!body || !request.ParseFromString(*body) || !self->answer) co_return;
    auto reply = self->answer(request, address);
    if (!reply) {
      const auto why = std::move(reply).error();
      spdlog::warn("enrolment: {} is refused: {}", address, why);
      reply.emplace();
      reply->mutable_refusal()->set_code(static_cast<int>(why.code));
      reply->mutable_refusal()->set_message(why.message);
      reply->mutable_refusal()->set_remedy(why.remedy);
    }
    auto bytes = reply->SerializeAsString();
    (void)co_await send(stream, std::move(bytes));
    // Until the other end has read it and hangs up: closing at once could take it away again.
    char rest = 0;
    const auto into = asio::buffer(&rest, 1);
    (void)co_await stream->async_read_some(into, kNoThrow);
  }

  tcp::acceptor acceptor;
  Tls tls;
  Answer answer;
  std::size_t busy = 0;
};

Result<std::unique_ptr<EnrolmentDoor>> EnrolmentDoor::listen(asio::any_io_executor executor,
                                                             const std::string& endpoint, Tls tls, Answer answer) {
  UMBRA_TRY(const auto at, parse_endpoint(endpoint));
  UMBRA_TRY(
      auto acceptor,
      listen_on(executor, at, "give [enrolment] listen an address of this host and a port that no other program uses"));
  auto state = std::make_shared<State>(std::move(acceptor), std::move(tls), std::move(answer));
  asio::co_spawn(executor, State::accept(state), asio::detached);
  return std::unique_ptr<EnrolmentDoor>(new EnrolmentDoor(std::move(state)));
}

EnrolmentDoor::EnrolmentDoor(std::shared_ptr<State> state) : state_(std::move(state)) {}
EnrolmentDoor::~EnrolmentDoor() {
  state_->answer = nullptr;
  boost::system::error_code ignored;
  state_->acceptor.close(ignored);
}
std::uint16_t EnrolmentDoor::port() const {
  boost::system::error_code ignored;
  return state_->acceptor.local_endpoint(ignored).port();
}

namespace {

Task<Enrolled> question(Stream* stream, const std::string* address, const Token* token, std::string request) {
  const auto [error] = co_await stream->async_handshake(asio::ssl::stream_base::client, kNoThrow);
  if (error)
    co_return fail({Errc::kUnavailable, fmt::format("{}: no TLS: {}", *address, error.message()),
                    "give the address and the port that `umbractl invite` printed"});
  const x509::Certificate shown(SSL_get1_peer_certificate(stream->native_handle()));
  if (!shown || x509::key_digest(*shown) != token->pin)
    co_return fail({Errc::kDenied, fmt::format("{} is not the controller that gave out this token", *address),
                    "check the address, and that the token is of this fleet; nothing was told to it"});
  v1::EnrolRequest message;
  message.set_secret(token->secret);
  message.set_request(std::move(request));
  auto bytes = message.SerializeAsString();
  const bool sent = co_await send(stream, std::move(bytes));
  std::optional<std::string> body;
  if (sent) body = co_await receive(stream);
  Enrolled enrolled;
  if (!body || !enrolled.reply.ParseFromString(*body))
    co_return fail({Errc::kUnavailable, fmt::format("{} hung up without an answer", *address),
                    "try again with the same token; the controller's log has the reason"});
  if (enrolled.reply.has_refusal()) {
    const auto& refusal = enrolled.reply.refusal();
    co_return fail({static_cast<Errc>(refusal.code()), fmt::format("{} refuses: {}", *address, refusal.message()),
                    refusal.remedy()});
  }
  boost::system::error_code ignored;
  enrolled.address = stream->next_layer().local_endpoint(ignored).address().to_string();
  co_return std::move(enrolled);
}

}  // namespace

Task<Enrolled> enrol(asio::any_io_executor executor, std::string address, Token token, std::string request,
                     Deadline deadline) {
  UMBRA_CO_TRY(auto socket, co_await reach(executor, address, deadline));
  asio::ssl::context context(asio::ssl::context::tls_client);
  SSL_CTX_set_min_proto_version(context.native_handle(), TLS1_3_VERSION);
  context.set_verify_mode(asio::ssl::verify_none);  // by its key, below
  Stream stream(std::move(socket), context);
  const SocketGuard guard(stream.next_layer(), deadline);
  auto enrolled = co_await question(&stream, &address, &token, std::move(request));
  if (guard.expired())
    co_return fail({Errc::kTimeout, fmt::format("{} did not answer within {} ms", address, deadline.count()),
                    "check that the address and port are those of the controller's [enrolment] listen"});
  co_return std::move(enrolled);
}

}  // namespace umbra::rpc
