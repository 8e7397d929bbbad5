#include "rpc/tls.hpp"

#include <openssl/err.h>
#include <openssl/ssl.h>

#include <ctime>
#include <mutex>

namespace umbra::rpc {

namespace ssl = boost::asio::ssl;

namespace {

/// What the files hold.
struct Texts {
  std::string ca, certificate, key, crl;
  static Result<Texts> read(const TlsFiles& files);
  bool operator==(const Texts&) const = default;
};

Result<Texts> Texts::read(const TlsFiles& files) {
  Texts texts;
  UMBRA_TRY(texts.ca, x509::read_text(files.ca, "certificate"));
  UMBRA_TRY(texts.certificate, x509::read_text(files.certificate, "certificate"));
  UMBRA_TRY(texts.key, x509::read_text(files.key, "private key"));
  if (!files.crl.empty()) {
    UMBRA_TRY(texts.crl, x509::read_text(files.crl, "revocation list"));
  }
  return texts;
}

}  // namespace

/// What the files meant. Never changes: a reload makes another one.
struct Tls::Credentials {
  Texts texts;
  Trust trust;
  x509::Certificate certificate;
  x509::Key key;
  Identity self;
  std::shared_ptr<Signers> signers = std::make_shared<Signers>(trust);
  std::shared_ptr<ssl::context> context = std::make_shared<ssl::context>(ssl::context::tls);

  static Result<std::shared_ptr<const Credentials>> parse(Texts texts, const TlsFiles& files, v1::Role role);
};

struct Tls::State {
  TlsFiles files;
  v1::Role role = v1::ROLE_UNSPECIFIED;
  std::mutex mutex;  // of what follows
  std::shared_ptr<const Credentials> now;
  std::vector<std::weak_ptr<const std::function<void()>>> listeners;
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
Result<Identity> check(const Trust& trust, X509& certificate, EVP_PKEY& key, const TlsFiles& files, v1::Role role) {
  UMBRA_CHECK(check_time(certificate, files.certificate));
  if (X509_check_private_key(&certificate, &key) != 1) {
    x509::openssl_error();
    return fail({Errc::kInvalid,
                 fmt::format("the key {} does not belong to the certificate {}", files.key.string(),
                             files.certificate.string()),
                 "install the two files that one `umbractl pki issue` wrote"});
  }
  if (const auto issued = trust.check(certificate); !issued) {
    return fail({Errc::kInvalid,
                 fmt::format("{} was refused with the CA {}: {}", files.certificate.string(), files.ca.string(),
                             issued.error().message),
                 "install the CA certificate of the fleet that issued it, or another certificate"});
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

Result<std::shared_ptr<const Tls::Credentials>> Tls::Credentials::parse(Texts texts, const TlsFiles& files,
                                                                        v1::Role role) {
  UMBRA_TRY(auto trust, Trust::parse(texts.ca, files.ca, texts.crl, files.crl));
  UMBRA_TRY(auto certificates, x509::parse_certificates(texts.certificate, files.certificate));
  auto certificate = std::move(certificates.front());
  UMBRA_TRY(auto key, x509::parse_key(texts.key, files.key));
  UMBRA_TRY(auto self, check(trust, *certificate, *key, files, role));
  auto made = std::make_shared<Credentials>(
      Credentials{std::move(texts), std::move(trust), std::move(certificate), std::move(key), std::move(self)});
  SSL_CTX* context = made->context->native_handle();
  // Only the fleet's CAs are trusted, never the system's. There is no session resumption. Connections between nodes are
  // few and long. umbractl's are short, and resumed ones would spare it 1 ms of both ends' time in all: too little for
  // a secret in a file, which must not outlive a revocation.
  const bool ready = SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION) == 1 &&
                     SSL_CTX_use_certificate(context, made->certificate.get()) == 1 &&
                     SSL_CTX_use_PrivateKey(context, made->key.get()) == 1 && SSL_CTX_set_num_tickets(context, 0) == 1;
  if (!ready) return fail(Errc::kInvalid, "OpenSSL refuses {}: {}", files.certificate.string(), x509::openssl_error());
  SSL_CTX_set1_cert_store(context, made->trust.store());
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_mode(context, SSL_MODE_NO_AUTO_CHAIN);  // the peer has the CA, or would not believe it
  made->context->set_verify_mode(ssl::verify_peer | ssl::verify_fail_if_no_peer_cert);
  return std::shared_ptr<const Credentials>(std::move(made));
}

Result<Tls> Tls::load(TlsFiles files, v1::Role role) {
  UMBRA_TRY(auto texts, Texts::read(files));
  UMBRA_TRY(auto credentials, Credentials::parse(std::move(texts), files, role));
  auto state = std::make_shared<State>();
  state->files = std::move(files);
  state->role = role;
  state->now = std::move(credentials);
  return Tls(std::move(state));
}

Result<bool> Tls::reload() {
  UMBRA_TRY(auto texts, Texts::read(state_->files));
  const auto before = now();
  if (texts == before->texts) return false;
  UMBRA_TRY(auto next, Credentials::parse(std::move(texts), state_->files, state_->role));
  if (next->self.name != before->self.name || next->self.role != before->self.role)
    return fail({Errc::kConflict,
                 fmt::format("the certificate {} is {}'s of role {}; this process runs as {} of role {}",
                             state_->files.certificate.string(), next->self.name, role_name(next->self.role),
                             before->self.name, role_name(before->self.role)),
                 "install this node's own certificate, or restart the service under its new name"});
  UMBRA_CHECK(next->trust.check_not_older_than(before->trust));
  std::vector<std::shared_ptr<const std::function<void()>>> listeners;
  {
    const std::scoped_lock lock(state_->mutex);
    state_->now = std::move(next);
    std::erase_if(state_->listeners, [](const auto& each) { return each.expired(); });
    for (const auto& each : state_->listeners)
      if (auto listener = each.lock()) listeners.push_back(std::move(listener));
  }
  for (const auto& tell : listeners) (*tell)();
  return true;
}

std::shared_ptr<const void> Tls::on_reload(std::function<void()> tell) const {
  auto listener = std::make_shared<const std::function<void()>>(std::move(tell));
  const std::scoped_lock lock(state_->mutex);
  std::erase_if(state_->listeners, [](const auto& each) { return each.expired(); });
  state_->listeners.push_back(listener);
  return listener;
}

std::shared_ptr<const Tls::Credentials> Tls::now() const {
  const std::scoped_lock lock(state_->mutex);
  return state_->now;
}

Identity Tls::self() const {
  return now()->self;
}
const TlsFiles& Tls::files() const {
  return state_->files;
}
std::shared_ptr<Signers> Tls::signers() const {
  return now()->signers;
}
std::shared_ptr<ssl::context> Tls::context() const {
  return now()->context;
}

Result<void> Tls::check_peer(X509& certificate) const {
  const auto checked = now()->trust.check(certificate, Trust::Times::kAreIgnored);
  if (checked) return {};
  return fail(Errc::kDenied, "{}", checked.error().message);
}

std::vector<std::string> Tls::warnings() const {
  const auto credentials = now();
  const auto time = std::time(nullptr);
  auto found = credentials->trust.warnings(time);
  const auto ends = credentials->self.not_after;
  if (ends - time <= std::chrono::seconds(kExpiresSoon).count())
    found.insert(found.begin(), fmt::format("the certificate {} {} on {}; renew it with `umbractl pki renew`",
                                            state_->files.certificate.string(), ends < time ? "expired" : "expires",
                                            x509::time_text(ends)));
  return found;
}

std::optional<std::time_t> Tls::crl_next_update() const {
  return now()->trust.next_update();
}

}  // namespace umbra::rpc
