#include "agentd/renewal.hpp"

#include "rpc/pki_files.hpp"
#include "rpc/pki_request.hpp"
#include "umbra/v1/controller.rpc.hpp"

namespace umbra::agent {
namespace {

using namespace std::chrono_literals;
namespace pki = rpc::pki;

constexpr auto kFirst = 5s;  // the session with the controller is there by then
constexpr auto kPause = 10min;
constexpr Deadline kCall = 10s;
constexpr UnixMillis kTellAgain = 86'400'000;

/// What was received must be this node's before it replaces what works.
Result<void> check(const v1::RenewCertificateReply& reply, const rpc::TlsFiles& files, const rpc::Identity& self) {
  UMBRA_TRY(const auto trust, rpc::Trust::parse(reply.ca(), files.ca, {}, {}));
  UMBRA_TRY(const auto certificates, rpc::x509::parse_certificates(reply.certificate(), files.certificate));
  UMBRA_CHECK(trust.check(*certificates.front()));
  UMBRA_TRY(const auto identity, rpc::x509::identity_of(*certificates.front()));
  UMBRA_TRY(const auto key, rpc::x509::read_key(files.key));
  if (identity.name == self.name && identity.role == self.role &&
      X509_check_private_key(certificates.front().get(), key.get()) == 1)
    return {};
  rpc::x509::openssl_error();
  return fail(Errc::kInvalid, "the controller sent a certificate that is not this node's");
}

}  // namespace

bool Renewal::due() const {
  const auto left = static_cast<UnixMillis>(tls_.self().not_after) * 1000 - clock_.unix_ms();
  return left < std::chrono::duration_cast<Milliseconds>(pki::kEnrolledValidity / 2).count();
}

asio::awaitable<void> Renewal::run() {
  co_await beat_.wait_until(clock_.steady() + kFirst);
  while (!stopping_) {
    if (due()) {
      const auto renewed = co_await renew();
      const auto now = clock_.unix_ms();
      if (!renewed && (told_ != renewed.error().message || now - told_at_ >= kTellAgain)) {
        told_ = renewed.error().message;
        told_at_ = now;
        hooks_.failed(renewed.error());
      }
    }
    if (!stopping_) co_await beat_.wait_until(clock_.steady() + kPause);
  }
}

void Renewal::stop() {
  stopping_ = true;
  beat_.notify();
}

Task<void> Renewal::renew() {
  const auto& files = tls_.files();
  UMBRA_CO_TRY(const auto session, hooks_.controller());
  UMBRA_CO_TRY(const auto key, rpc::x509::read_text(files.key, "private key"));
  v1::RenewCertificateRequest request;
  UMBRA_CO_TRY(*request.mutable_request(), pki::make_request(key));
  v1::RegistryClient controller(session);
  UMBRA_CO_TRY(const auto reply, co_await controller.renew_certificate(std::move(request), kCall));
  UMBRA_CO_CHECK(check(reply, files, tls_.self()));
  // The CAs first: the new certificate may be of a new one. With the old certificate the old CAs, or these, are right.
  UMBRA_CO_CHECK(pki::write_file(files.ca, reply.ca(), 0644, pki::Existing::kReplace));
  UMBRA_CO_CHECK(pki::write_file(files.certificate, reply.certificate(), 0644, pki::Existing::kReplace));
  hooks_.renewed();
  co_return Result<void>{};
}

}  // namespace umbra::agent
