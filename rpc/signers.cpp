#include "rpc/signers.hpp"

#include <algorithm>

namespace umbra::rpc {
namespace {

using StoreContext = std::unique_ptr<X509_STORE_CTX, x509::Release<X509_STORE_CTX_free>>;

constexpr std::size_t kMostKnown = 16;  // a fleet has one controller, and for a while its successor

x509::Certificate read(const std::string& der) {
  const auto* at = reinterpret_cast<const unsigned char*>(der.data());
  const auto* const end = at + der.size();
  x509::Certificate certificate(d2i_X509(nullptr, &at, static_cast<long>(der.size())));
  if (!certificate) x509::openssl_error();  // empties the queue
  if (at != end) certificate.reset();
  return certificate;
}

/// Whether the fleet's CAs stand behind it, and which.
Result<void> verify(const Trust& trust, Signer& signer, std::optional<UnixMillis> now) {
  const StoreContext context(X509_STORE_CTX_new());
  if (!context || X509_STORE_CTX_init(context.get(), trust.store(), signer.certificate.get(), nullptr) != 1)
    return fail(Errc::kInternal, "OpenSSL: {}", x509::openssl_error());
  auto* rules = X509_STORE_CTX_get0_param(context.get());
  if (now)
    X509_VERIFY_PARAM_set_time(rules, static_cast<std::time_t>(*now / 1000));
  else
    X509_VERIFY_PARAM_set_flags(rules, X509_V_FLAG_NO_CHECK_TIME);
  if (X509_verify_cert(context.get()) != 1) {
    const auto why =
        x509::explain(X509_STORE_CTX_get_error(context.get()), X509_STORE_CTX_get_current_cert(context.get()));
    x509::openssl_error();
    return fail({Errc::kDenied, why, "umbractl doctor on the controller shows its certificate"});
  }
  const auto* chain = X509_STORE_CTX_get0_chain(context.get());
  const int length = sk_X509_num(chain);
  signer.from = x509::not_before(*signer.certificate);
  signer.until = x509::not_after(*signer.certificate);
  for (int i = 0; i < length; ++i) {
    signer.from = std::max(signer.from, x509::not_before(*sk_X509_value(chain, i)));
    signer.until = std::min(signer.until, x509::not_after(*sk_X509_value(chain, i)));
  }
  signer.fleet = x509::key_digest(*sk_X509_value(chain, length - 1));
  return {};
}

}  // namespace

Result<std::shared_ptr<const Signer>> Signers::find(const std::string& der, std::optional<UnixMillis> now) {
  const auto in_time = [now](const Signer& signer) {
    return !now || (*now / 1000 >= signer.from && *now / 1000 <= signer.until);
  };
  const std::scoped_lock lock(mutex_);
  if (const auto known = known_.find(der); known != known_.end() && in_time(*known->second)) return known->second;
  auto signer = std::make_shared<Signer>();
  signer->certificate = read(der);
  if (!signer->certificate) return fail(Errc::kDenied, "it carries no certificate");
  UMBRA_CHECK(verify(trust_, *signer, now));
  auto identity = x509::identity_of(*signer->certificate);
  if (!identity) return fail(Errc::kDenied, "{}", identity.error().message);
  signer->identity = std::move(*identity);
  if (known_.size() >= kMostKnown) known_.clear();
  known_[der] = signer;
  return signer;
}

}  // namespace umbra::rpc
