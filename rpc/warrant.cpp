#include "rpc/warrant.hpp"

#include <openssl/rand.h>
#include <openssl/ssl.h>

#include "base/digest.hpp"
#include "rpc/x509.hpp"

namespace umbra::rpc::warrant {
namespace {

using DigestContext = std::unique_ptr<EVP_MD_CTX, x509::Release<EVP_MD_CTX_free>>;
using Octets = std::unique_ptr<unsigned char, x509::Release<[](unsigned char* octets) { OPENSSL_free(octets); }>>;

/// Before what is signed, so that nothing else that this key ever signs can be taken for a warrant.
constexpr std::string_view kPurpose{"umbra.v1.Warrant\0", 17};
constexpr std::size_t kSerial = 16;

const unsigned char* octets(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}

/// Ed25519 and Ed448 hash for themselves.
const EVP_MD* digest_of(const EVP_PKEY* key) {
  return EVP_PKEY_is_a(key, "ED25519") == 1 || EVP_PKEY_is_a(key, "ED448") == 1 ? nullptr : EVP_sha256();
}

std::string der_of(X509& certificate) {
  unsigned char* raw = nullptr;
  const int length = i2d_X509(&certificate, &raw);
  const Octets der(raw);
  return length < 0 ? std::string{} : std::string(reinterpret_cast<const char*>(raw), static_cast<std::size_t>(length));
}

Result<void> check_sizes(const v1::Warrant& warrant) {
  if (warrant.statement().empty())
    return fail({Errc::kDenied, "it carries no warrant of the controller",
                 "install the same version of Umbra on controller and agents"});
  if (warrant.statement().size() <= kMostStatement && warrant.signature().size() <= kMostSignature &&
      warrant.certificate().size() <= kMostCertificate)
    return {};
  return fail(Errc::kDenied, "its warrant is longer than any of the controller's");
}

Result<void> check_signature(const v1::Warrant& warrant, X509& certificate) {
  auto* key = X509_get0_pubkey(&certificate);
  const DigestContext context(EVP_MD_CTX_new());
  const auto signed_text = std::string(kPurpose) + warrant.statement();
  const bool good = key != nullptr && context &&
                    EVP_DigestVerifyInit(context.get(), nullptr, digest_of(key), nullptr, key) == 1 &&
                    EVP_DigestVerify(context.get(), octets(warrant.signature()), warrant.signature().size(),
                                     octets(signed_text), signed_text.size()) == 1;
  x509::openssl_error();  // empties the queue
  if (good) return {};
  return fail(Errc::kDenied, "its warrant was not signed by the key of {}", x509::subject_of(certificate));
}

}  // namespace

Result<v1::Warrant> sign(const Tls& tls, v1::WarrantStatement statement) {
  const auto held = tls.context();
  auto* context = held->native_handle();
  auto* certificate = SSL_CTX_get0_certificate(context);
  auto* key = SSL_CTX_get0_privatekey(context);
  if (certificate == nullptr || key == nullptr) return fail(Errc::kInvalid, "there is no key to sign a warrant with");
  std::string serial(kSerial, '\0');
  RAND_bytes(reinterpret_cast<unsigned char*>(serial.data()), static_cast<int>(serial.size()));
  statement.set_serial(std::move(serial));
  v1::Warrant warrant;
  warrant.set_certificate(der_of(*certificate));
  UMBRA_TRY(const auto self, tls.signers()->find(warrant.certificate(), std::nullopt));
  statement.set_fleet(self->fleet);
  warrant.set_statement(statement.SerializeAsString());
  const auto text = std::string(kPurpose) + warrant.statement();
  const DigestContext digest(EVP_MD_CTX_new());
  std::size_t length = 0;
  bool done = digest && EVP_DigestSignInit(digest.get(), nullptr, digest_of(key), nullptr, key) == 1 &&
              EVP_DigestSign(digest.get(), nullptr, &length, octets(text), text.size()) == 1;
  std::string signature(length, '\0');
  done = done && EVP_DigestSign(digest.get(), reinterpret_cast<unsigned char*>(signature.data()), &length, octets(text),
                                text.size()) == 1;
  if (!done) return fail(Errc::kInvalid, "a warrant cannot be signed: {}", x509::openssl_error());
  signature.resize(length);
  warrant.set_signature(std::move(signature));
  if (auto fits = check_sizes(warrant); !fits)
    return fail({Errc::kInvalid, fmt::format("a warrant of {} bytes cannot be used", warrant.statement().size()),
                 fmt::format("one cutover may name routers up to {} KiB", kMostStatement / 1024)});
  return warrant;
}

Result<v1::WarrantStatement> open(const Tls& tls, const v1::Warrant& warrant, std::optional<UnixMillis> now) {
  UMBRA_CHECK(check_sizes(warrant));
  const auto signer = tls.signers()->find(warrant.certificate(), now);
  if (!signer) return fail(with_context(signer.error(), "its warrant"));
  const auto& identity = (*signer)->identity;
  UMBRA_CHECK(check_signature(warrant, *(*signer)->certificate));
  if (identity.role != v1::ROLE_CONTROLLER)
    return fail(Errc::kDenied, "its warrant was signed by {}, which is no controller but has the role {}",
                identity.name, role_name(identity.role));
  v1::WarrantStatement statement;
  if (!statement.ParseFromString(warrant.statement())) return fail(Errc::kDenied, "its warrant cannot be read");
  if (statement.fleet() != (*signer)->fleet) return fail(Errc::kDenied, "its warrant is of another fleet");
  return statement;
}

std::string fingerprint(const v1::Warrant& warrant) {
  // The parts' lengths are part of it, or bytes could move from one to the next.
  return sha256(fmt::format("{} {} ", warrant.statement().size(), warrant.signature().size()) + warrant.statement() +
                warrant.signature() + warrant.certificate());
}

}  // namespace umbra::rpc::warrant
