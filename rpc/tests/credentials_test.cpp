// Every way in which credentials can be wrong, and what each end is told.
#include <gmock/gmock.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/read_until.hpp>
#include <fstream>

#include "rpc/tests/log_capture.hpp"
#include "rpc/tests/raw_peer.hpp"
#include "rpc/x509.hpp"

namespace umbra::rpc::test {
namespace {

using testing::HasSubstr;
constexpr std::chrono::hours kDay{24};

std::chrono::system_clock::time_point days_ago(int days) {
  return std::chrono::system_clock::now() - days * kDay;
}

class LoadTest : public testing::Test {
 protected:
  static void expect_refused(const TlsFiles& files, Errc code, const std::string& culprit, const std::string& reason,
                             const std::string& remedy, v1::Role role = v1::ROLE_UNSPECIFIED) {
    const auto loaded = Tls::load(files, role);
    ASSERT_FALSE(loaded);
    EXPECT_EQ(loaded.error().code, code);
    EXPECT_THAT(loaded.error().message, HasSubstr(culprit));
    EXPECT_THAT(loaded.error().message, HasSubstr(reason));
    EXPECT_THAT(loaded.error().remedy, HasSubstr(remedy));
  }

  TestFleet fleet;
  TlsFiles good = fleet.issue({v1::ROLE_AGENT, "host1"});
};

TEST_F(LoadTest, GoodCredentialsSayWhoWeAre) {
  const auto loaded = Tls::load(good, v1::ROLE_AGENT);
  ASSERT_TRUE(loaded) << loaded.error().text();
  EXPECT_EQ(loaded->self().name, "host1");
  EXPECT_EQ(loaded->self().role, v1::ROLE_AGENT);
}

TEST_F(LoadTest, AMissingFileIsNamed) {
  for (const auto part : {&TlsFiles::ca, &TlsFiles::certificate, &TlsFiles::key}) {
    auto files = good;
    files.*part = fleet.directory() / "nowhere.pem";
    expect_refused(files, Errc::kNotFound, "nowhere.pem", "does not exist", "umbractl pki");
  }
}

TEST_F(LoadTest, AFileThatIsNoPemIsNamed) {
  const auto junk = fleet.directory() / "junk.pem";
  std::ofstream(junk) << "-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n";
  for (const auto part : {&TlsFiles::ca, &TlsFiles::certificate, &TlsFiles::key}) {
    auto files = good;
    files.*part = junk;
    expect_refused(files, Errc::kInvalid, "junk.pem", "holds no", "umbractl pki");
  }
}

TEST_F(LoadTest, AnExpiredCertificateIsNamedWithItsDate) {
  const auto files = fleet.issue({v1::ROLE_AGENT, "old"}, kDay, days_ago(3));
  expect_refused(files, Errc::kInvalid, "old.crt", "expired on 20", "umbractl pki renew");
}

TEST_F(LoadTest, ACertificateOfTheFuturePointsAtTheClock) {
  const auto files = fleet.issue({v1::ROLE_AGENT, "early"}, kDay, days_ago(-3));
  expect_refused(files, Errc::kInvalid, "early.crt", "is not valid before 20", "clock");
}

TEST_F(LoadTest, AKeyOfAnotherCertificateIsNamed) {
  auto files = good;
  files.key = fleet.issue({v1::ROLE_AGENT, "host2"}).key;
  expect_refused(files, Errc::kInvalid, "host2.key", "does not belong to the certificate", "umbractl pki issue");
}

TEST_F(LoadTest, ACertificateOfAnotherFleetIsNamed) {
  const TestFleet other;
  auto files = good;
  files.ca = pki::ca_files(other.directory()).certificate;
  expect_refused(files, Errc::kInvalid, "host1.crt", "not signed by this fleet's CA",
                 "install the CA certificate of the fleet");
}

TEST_F(LoadTest, ACertificateOfAnotherRoleIsNamed) {
  expect_refused(good, Errc::kInvalid, "host1.crt", "has the role agent, this process needs controller",
                 "umbractl pki issue", v1::ROLE_CONTROLLER);
}

TEST_F(LoadTest, TheCaItselfIsNoIdentity) {
  const auto ca = pki::ca_files(fleet.directory());
  expect_refused({ca.certificate, ca.certificate, ca.key}, Errc::kInvalid, "ca.crt", "has no name umbra://",
                 "umbractl pki issue");
}

class HandshakeTest : public RpcTest {
 protected:
  /// Credentials that `Tls::load` would refuse: those of `trusted`, but showing another certificate. So a node behaves
  /// whose certificate went bad while it was running.
  static Tls showing(Tls trusted, const TlsFiles& shown) {
    trusted.context()->use_certificate_file(shown.certificate, asio::ssl::context::pem);
    trusted.context()->use_private_key_file(shown.key, asio::ssl::context::pem);
    return trusted;
  }

  /// A certificate that the fleet's CA signed for something else.
  void issue_without_names(const std::filesystem::path& certificate_file, const std::filesystem::path& key_file) {
    const auto ca_files = pki::ca_files(fleet.directory());
    const auto ca = x509::read_certificate(ca_files.certificate).value();
    const auto ca_key = x509::read_key(ca_files.key).value();
    const x509::Key key(EVP_EC_gen("P-256"));
    const x509::Certificate certificate(X509_new());
    X509_set_version(certificate.get(), X509_VERSION_3);
    X509_gmtime_adj(X509_getm_notBefore(certificate.get()), 0);
    X509_gmtime_adj(X509_getm_notAfter(certificate.get()), 3600);
    X509_set_pubkey(certificate.get(), key.get());
    const unsigned char name[] = "web";
    X509_NAME_add_entry_by_NID(X509_get_subject_name(certificate.get()), NID_commonName, MBSTRING_ASC, name, -1, -1, 0);
    X509_set_issuer_name(certificate.get(), X509_get_subject_name(ca.get()));
    EXPECT_GT(X509_sign(certificate.get(), ca_key.get(), EVP_sha256()), 0);
    const x509::Bio to(BIO_new_file(certificate_file.c_str(), "w"));
    EXPECT_EQ(PEM_write_bio_X509(to.get(), certificate.get()), 1);
    const x509::Bio key_to(BIO_new_file(key_file.c_str(), "w"));
    EXPECT_EQ(PEM_write_bio_PrivateKey(key_to.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr), 1);
  }

  /// A client with these credentials is refused; both ends say why.
  void expect_client_refused(Tls client, const std::string& client_is_told, const std::string& server_logs) {
    const LogCapture log;
    listen();
    run([&]() -> asio::awaitable<void> {
      const auto error = co_await get_error(dial(client));
      EXPECT_EQ(error.code, Errc::kDenied);
      EXPECT_THAT(error.message, HasSubstr(address));
      EXPECT_THAT(error.message, HasSubstr(client_is_told));
      EXPECT_FALSE(error.remedy.empty());
      co_await until([&] { return log.text().find("rpc: client") != std::string::npos; });
      co_await get(EchoClient(co_await get(dial(host1))).say(text("others are served"), 5s));
    });
    EXPECT_THAT(log.text(), HasSubstr(server_logs));
  }
};

TEST_F(HandshakeTest, AClientOfAnotherFleetIsRefusedAndBothEndsSayWhy) {
  const TestFleet other;
  const auto stranger = other.issue({v1::ROLE_AGENT, "stranger"});
  expect_client_refused(showing(fleet.node(v1::ROLE_AGENT, "base"), stranger), "refused our certificate",
                        "(stranger): the certificate is not signed by this fleet's CA");
}

TEST_F(HandshakeTest, AClientWhoseCertificateExpiredIsRefusedAndBothEndsSayWhy) {
  const auto old = fleet.issue({v1::ROLE_AGENT, "old"}, kDay, days_ago(3));
  expect_client_refused(showing(fleet.node(v1::ROLE_AGENT, "base"), old), "it has expired",
                        "(old): the certificate expired on 20");
}

TEST_F(HandshakeTest, ACertificateWithoutARoleIsRefusedAndBothEndsSayWhy) {
  const auto files = fleet.directory() / "web.crt";
  const auto keys = fleet.directory() / "web.key";
  issue_without_names(files, keys);
  expect_client_refused(showing(fleet.node(v1::ROLE_AGENT, "base"), {{}, files, keys}),
                        "the certificate of web has no name umbra://", "the certificate of web has no name umbra://");
}

TEST_F(HandshakeTest, AServerOfAnotherFleetIsRefusedAndBothEndsSayWhy) {
  const TestFleet other;
  const auto client = other.node(v1::ROLE_AGENT, "host1");
  expect_client_refused(client, "(controller1): the certificate is not signed by this fleet's CA",
                        "refused our certificate");
}

TEST_F(HandshakeTest, AServerWhoseCertificateExpiredIsRefused) {
  controller = showing(controller, fleet.issue({v1::ROLE_CONTROLLER, "late"}, kDay, days_ago(3)));
  listen();
  run([this]() -> asio::awaitable<void> {
    const auto error = co_await get_error(dial(host1));
    EXPECT_EQ(error.code, Errc::kDenied);
    EXPECT_THAT(error.message, HasSubstr("(late): the certificate expired on 20"));
    EXPECT_THAT(error.remedy, HasSubstr("umbractl pki renew"));
  });
}

TEST_F(HandshakeTest, AnAdminsCertificateCannotServe) {
  controller = fleet.node(v1::ROLE_ADMIN, "controller1");
  listen();
  run([this]() -> asio::awaitable<void> {
    const auto error = co_await get_error(dial(host1));
    EXPECT_THAT(error.message, HasSubstr("not meant for this end of a connection"));
  });
}

TEST_F(HandshakeTest, AServerOfTheWrongRoleIsRefusedAndItsLogSaysWhy) {
  const LogCapture log;
  controller = fleet.node(v1::ROLE_AGENT, "controller1");
  listen();
  run([&]() -> asio::awaitable<void> {
    const auto error = co_await get_error(dial(host1));
    EXPECT_EQ(error.code, Errc::kDenied);
    EXPECT_THAT(error.message, HasSubstr("controller1 with the role agent, but the role controller is needed"));
    co_await until([&] { return log.text().find("turned us away") != std::string::npos; });
  });
  EXPECT_THAT(log.text(), HasSubstr("but the role controller is needed"));
}

TEST_F(HandshakeTest, AServerOfAnotherNameIsRefusedAndItsLogSaysWhy) {
  const LogCapture log;
  listen();
  run([&]() -> asio::awaitable<void> {
    const Expect other("controller2", v1::ROLE_CONTROLLER);
    const auto error = co_await get_error(connect(io.get_executor(), address, host1, other, Services{}, 5s));
    EXPECT_EQ(error.code, Errc::kDenied);
    EXPECT_THAT(error.message, HasSubstr("is controller1, which is not controller2"));
    EXPECT_THAT(error.remedy, HasSubstr("further name controller2"));
    co_await until([&] { return log.text().find("turned us away") != std::string::npos; });
  });
}

TEST_F(HandshakeTest, AServerAnswersToItsFurtherNames) {
  listen();
  run([this]() -> asio::awaitable<void> {
    for (const std::string name : {"127.0.0.1", "::1", "CONTROLLER1", ""}) {
      const Expect by_name(name);
      co_await get(connect(io.get_executor(), address, host1, by_name, Services{}, 5s));
    }
  });
}

TEST_F(HandshakeTest, AClientWithoutACertificateIsRefused) {
  const LogCapture log;
  listen();
  run([&]() -> asio::awaitable<void> {
    asio::ssl::context anonymous(asio::ssl::context::tls);
    TlsStream stream(io, anonymous);
    co_await stream.next_layer().async_connect(server->endpoint(), asio::use_awaitable);
    co_await stream.async_handshake(asio::ssl::stream_base::client, asio::use_awaitable);
    std::string byte(1, '\0');
    const auto buffer = asio::buffer(byte);
    const auto [error, size] = co_await stream.async_read_some(buffer, asio::as_tuple(asio::use_awaitable));
    EXPECT_TRUE(error) << "TLS 1.3 clients learn of it with their first read";
    stream.next_layer().close();
    co_await until([&] { return log.text().find("rpc: client 127.0.0.1:") != std::string::npos; });
  });
  EXPECT_THAT(log.text(), HasSubstr("does not speak TLS 1.3 with certificates"));
}

TEST_F(HandshakeTest, AClientThatSpeaksNoTlsIsRefusedAndLogged) {
  const LogCapture log;
  listen();
  run([&]() -> asio::awaitable<void> {
    asio::ip::tcp::socket socket(io);
    co_await socket.async_connect(server->endpoint(), asio::use_awaitable);
    const std::string bytes = "GET / HTTP/1.1\r\n\r\n";
    const auto buffer = asio::buffer(bytes);
    co_await asio::async_write(socket, buffer, asio::use_awaitable);
    co_await until([&] { return log.text().find("rpc: client 127.0.0.1:") != std::string::npos; });
    co_await get(EchoClient(co_await get(dial(host1))).say(text("others are served"), 5s));
  });
  EXPECT_THAT(log.text(), HasSubstr("does not speak TLS 1.3"));
}

TEST_F(HandshakeTest, AClientThatSaysNothingIsGivenUp) {
  const LogCapture log;
  Limits limits;
  limits.handshake = 50ms;
  listen(limits);
  run([&]() -> asio::awaitable<void> {
    asio::ip::tcp::socket socket(io);
    co_await socket.async_connect(server->endpoint(), asio::use_awaitable);
    co_await until(
        [&] { return log.text().find("did not complete the TLS handshake within 50 ms") != std::string::npos; });
  });
}

TEST_F(HandshakeTest, AServerThatSpeaksNoTlsOrSaysNothingIsNamed) {
  asio::ip::tcp::acceptor acceptor(io, {asio::ip::make_address("127.0.0.1"), 0});
  address = fmt::format("127.0.0.1:{}", acceptor.local_endpoint().port());
  run([&]() -> asio::awaitable<void> {
    const auto silent = co_await get_error(connect(io.get_executor(), address, host1, Expect(), Services{}, 50ms));
    EXPECT_EQ(silent.code, Errc::kTimeout);
    EXPECT_THAT(silent.message, HasSubstr(address));

    asio::co_spawn(
        io,
        [](asio::ip::tcp::acceptor* accepting) -> asio::awaitable<void> {
          (void)co_await accepting->async_accept(asio::use_awaitable);  // the silent one's, gone by now
          auto socket = co_await accepting->async_accept(asio::use_awaitable);
          const std::string bytes = "220 mail.example ESMTP\r\n";
          const auto buffer = asio::buffer(bytes);
          co_await asio::async_write(socket, buffer, asio::use_awaitable);
        }(&acceptor),
        asio::detached);
    const auto mail = co_await get_error(connect(io.get_executor(), address, host1, Expect(), Services{}, 5s));
    EXPECT_EQ(mail.code, Errc::kUnavailable);
    EXPECT_THAT(mail.message, HasSubstr("does not speak TLS 1.3"));
  });
}

TEST_F(HandshakeTest, AnotherProtocolVersionIsNamed) {
  listen();
  run([this]() -> asio::awaitable<void> {
    TlsStream stream(io, *host1.context());
    co_await stream.next_layer().async_connect(server->endpoint(), asio::use_awaitable);
    co_await stream.async_handshake(asio::ssl::stream_base::client, asio::use_awaitable);
    wire::Frame hello;
    hello.mutable_hello()->set_protocol(99);
    hello.mutable_hello()->set_software("9.9");
    std::string bytes;
    EXPECT_TRUE(append_frame(bytes, hello, 1024));
    const LogCapture log;
    const auto buffer = asio::buffer(bytes);
    co_await asio::async_write(stream, buffer, asio::use_awaitable);
    co_await until([&] {
      return log.text().find("runs Umbra 9.9 with protocol 99, this node has protocol 1") != std::string::npos;
    });
  });
}

}  // namespace
}  // namespace umbra::rpc::test
