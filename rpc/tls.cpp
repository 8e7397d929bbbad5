#include "rpc/tls.hpp"

#include <openssl/ssl.h>

#include <ctime>

#include "rpc/x509.hpp"

namespace umbra::rpc {

namespace ssl = boost::asio::ssl;

struct Tls::State {
  TlsFiles files;
  Identity self;
  ssl::context context{ssl::context::tls};
};

namespace {

constexpr std::string_view kIssueAnother = "issue another with `umbractl pki issue`";

Result<void> check_time(const X509& certificate, const std::filesystem::path& file) {
  const auto now = std::time(nullptr);
  const auto from = x509::not_before(certificate);
  const auto until = x509::not_after(certificate);
  if (now > until) {
    return fail({Errc::kInvalid, fmt::format("the certificate {} expired on {}", file.string(), x509::time_text(until)),
                 "renew it with `umbractl pki renew`"});
  }
  if (now < from) {
    return fail({Errc::kInvalid,
                 fmt::format("the certificate {} is not valid before {}", file.string(), x509::time_text(from)),
                 "set this host's clock"});
  }
  return {};
}

/// Everything that a peer would hold against the credentials, found before any peer sees them.
Result<Identity> check(X509& ca, X509& certificate, EVP_PKEY& key, const TlsFiles& files, v1::Role role) {
  UMBRA_CHECK(check_time(ca, files.ca));
  UMBRA_CHECK(check_time(certificate, files.certificate));
  if (X509_check_private_key(&certificate, &key) != 1) {
    x509::openssl_error();
    return fail({Errc::kInvalid,
                 fmt::format("the key {} does not belong to the certificate {}", files.key.string(),
                             files.certificate.string()),
                 "install the two files that one `umbractl pki issue` wrote"});
  }
  if (const auto issued = x509::check_issued_by(certificate, ca); !issued) {
    return fail({Errc::kInvalid,
                 fmt::format("{} was refused with the CA {}: {}", files.certificate.string(), files.ca.string(),
                             issued.error().message),
                 "install the CA certificate of the fleet that issued it"});
  }
  auto identity = x509::identity_of(certificate);
  if (!identity) return fail(with_context(identity.error(), files.certificate.string()));
  if (role != v1::ROLE_UNSPECIFIED && identity->role != role) {
    return fail({Errc::kInvalid,
                 fmt::format("the certificate {} has the role {}, this process needs {}", files.certificate.string(),
                             role_name(identity->role), role_name(role)),
                 std::string(kIssueAnother)});
  }
  return identity;
}

}  // namespace

Result<Tls> Tls::load(TlsFiles files, v1::Role role) {
  UMBRA_TRY(const auto ca, x509::read_certificate(files.ca));
  UMBRA_TRY(const auto certificate, x509::read_certificate(files.certificate));
  UMBRA_TRY(const auto key, x509::read_key(files.key));
  UMBRA_TRY(auto self, check(*ca, *certificate, *key, files, role));

  auto state = std::make_shared<State>();
  SSL_CTX* context = state->context.native_handle();
  // Only the fleet's CA is trusted, never the system's. There is no session resumption: connections are few and long.
  const bool ready =
      SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION) == 1 &&
      SSL_CTX_use_certificate(context, certificate.get()) == 1 && SSL_CTX_use_PrivateKey(context, key.get()) == 1 &&
      X509_STORE_add_cert(SSL_CTX_get_cert_store(context), ca.get()) == 1 && SSL_CTX_set_num_tickets(context, 0) == 1;
  if (!ready) return fail(Errc::kInvalid, "OpenSSL refuses {}: {}", files.certificate.string(), x509::openssl_error());
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_mode(context, SSL_MODE_NO_AUTO_CHAIN);  // the peer has the CA, or would not believe it
  state->context.set_verify_mode(ssl::verify_peer | ssl::verify_fail_if_no_peer_cert);
  state->files = std::move(files);
  state->self = std::move(self);
  return Tls(std::move(state));
}

const Identity& Tls::self() const {
  return state_->self;
}
const TlsFiles& Tls::files() const {
  return state_->files;
}
ssl::context& Tls::context() const {
  return state_->context;
}

}  // namespace umbra::rpc
