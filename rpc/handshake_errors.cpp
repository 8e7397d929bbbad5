#include "rpc/handshake_errors.hpp"

#include <openssl/err.h>
#include <openssl/ssl.h>

#include <boost/asio/ssl/error.hpp>
#include <optional>

#include "rpc/x509.hpp"

namespace umbra::rpc {
namespace {

/// What a TLS alert about our certificate means, seen from our side.
std::optional<std::string_view> refusal_of_ours(int reason) {
  switch (reason) {
    case SSL_R_TLSV1_ALERT_UNKNOWN_CA:
      return "it is not signed by the CA of the peer's fleet";
    case SSL_R_SSLV3_ALERT_CERTIFICATE_REVOKED:
      return "it is revoked";
    case SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED:
      return "it has expired, by the peer's clock";
    case SSL_R_SSLV3_ALERT_BAD_CERTIFICATE:
      return "it is not valid yet by the peer's clock, or damaged";
    case SSL_R_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE:
      return "it is not meant for this end of a connection";
    case SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN:
    case SSL_R_TLSV1_ALERT_DECRYPT_ERROR:
    case SSL_R_TLSV1_ALERT_ACCESS_DENIED:
      return "the peer does not accept it";
    case SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED:
      return "the peer did not get one";
    default:
      return std::nullopt;
  }
}

bool is_tls_mismatch(int reason) {
  return reason == SSL_R_WRONG_VERSION_NUMBER || reason == SSL_R_HTTP_REQUEST || reason == SSL_R_UNSUPPORTED_PROTOCOL ||
         reason == SSL_R_TLSV1_ALERT_PROTOCOL_VERSION || reason == SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE ||
         reason == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE;
}

}  // namespace

void Objection::note(boost::asio::ssl::verify_context& context) {
  X509_STORE_CTX* store = context.native_handle();
  const X509* shown = X509_STORE_CTX_get0_cert(store);
  subject = shown ? x509::subject_of(*shown) : "the peer";
  reason = x509::explain(X509_STORE_CTX_get_error(store), X509_STORE_CTX_get_current_cert(store));
}

Error explain_handshake(const boost::system::error_code& code, const Objection& objection, const std::string& address,
                        const Tls& tls) {
  if (!objection.subject.empty()) {
    const auto ca = tls.files().ca.string();
    return {
        Errc::kDenied,
        fmt::format("the CA in {} does not vouch for {} ({}): {}", ca, address, objection.subject, objection.reason),
        "name the CA of that node's fleet here, or give that node a certificate of this CA: `umbractl pki issue` or "
        "`umbractl pki renew`"};
  }
  const int reason = code.category() == boost::asio::error::get_ssl_category()
                         ? ERR_GET_REASON(static_cast<unsigned long>(code.value()))
                         : 0;
  if (const auto refusal = refusal_of_ours(reason)) {
    return {
        Errc::kDenied,
        fmt::format("{} refused our certificate {} ({}): {}", address, tls.files().certificate.string(),
                    tls.self().name, *refusal),
        "give this node a certificate from the CA of that node's fleet: `umbractl pki issue` or `umbractl pki renew`"};
  }
  if (is_tls_mismatch(reason)) {
    return {Errc::kUnavailable,
            fmt::format("{} does not speak TLS 1.3 with certificates ({})", address, code.message()),
            "check that the address and port are those of an Umbra node"};
  }
  return {Errc::kUnavailable, fmt::format("{} ended the TLS handshake: {}", address, code.message()),
          "check that the address and port are those of an Umbra node; its log may say more"};
}

}  // namespace umbra::rpc
