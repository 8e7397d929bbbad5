#include "rpc/pki_request.hpp"

#include <openssl/err.h>

#include "base/digest.hpp"
#include "rpc/pki_ca.hpp"

namespace umbra::rpc::pki {
namespace {

using Request = std::unique_ptr<X509_REQ, x509::Release<X509_REQ_free>>;
using Octets = std::unique_ptr<unsigned char, x509::Release<[](unsigned char* octets) { OPENSSL_free(octets); }>>;

/// Its signature shows that whoever asks has the key.
Result<Request> parse(std::string_view pem) {
  const auto refuse = [](std::string_view why) {
    return fail({Errc::kInvalid, fmt::format("the certificate request {}", why), "umbra-agentd enroll makes one"});
  };
  if (pem.size() > kMostRequest) return refuse("is too large");
  const x509::Bio bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  Request request(PEM_read_bio_X509_REQ(bio.get(), nullptr, nullptr, nullptr));
  EVP_PKEY* const key = request ? X509_REQ_get0_pubkey(request.get()) : nullptr;
  const bool is_signed = key != nullptr && X509_REQ_verify(request.get(), key) == 1;
  ERR_clear_error();
  if (key == nullptr) return refuse("cannot be read");
  if (!is_signed) return refuse("is not signed with its own key");
  if (EVP_PKEY_get_base_id(key) != EVP_PKEY_EC || EVP_PKEY_get_bits(key) != 256) return refuse("has no P-256 key");
  return request;
}

}  // namespace

Result<std::string> make_key() {
  UMBRA_TRY(const auto key, new_key());
  return pem_of(*key);
}

Result<std::string> make_request(std::string_view key_pem) {
  UMBRA_TRY(const auto key, x509::parse_key(key_pem, "the key"));
  const Request request(X509_REQ_new());
  UMBRA_CHECK(must(request && X509_REQ_set_version(request.get(), X509_REQ_VERSION_1) == 1 &&
                   X509_REQ_set_pubkey(request.get(), key.get()) == 1 &&
                   X509_REQ_sign(request.get(), key.get(), EVP_sha256()) > 0));
  const x509::Bio bio(BIO_new(BIO_s_mem()));
  UMBRA_CHECK(must(bio && PEM_write_bio_X509_REQ(bio.get(), request.get()) == 1));
  char* text = nullptr;
  const auto length = BIO_get_mem_data(bio.get(), &text);
  return std::string(text, static_cast<std::size_t>(length));
}

Result<std::string> key_of_request(std::string_view request_pem) {
  UMBRA_TRY(const auto request, parse(request_pem));
  unsigned char* raw = nullptr;
  const int length = i2d_PUBKEY(X509_REQ_get0_pubkey(request.get()), &raw);
  const Octets der(raw);
  if (length < 0) return fail(Errc::kInternal, "OpenSSL: {}", x509::openssl_error());
  return hex(sha256({reinterpret_cast<const char*>(raw), static_cast<std::size_t>(length)}));
}

Result<std::string> certify_request(const std::filesystem::path& ca_directory, std::string_view request_pem,
                                    const Subject& subject, std::chrono::hours validity) {
  UMBRA_CHECK(check_subject(subject));
  UMBRA_TRY(const auto ca, load_ca(ca_directory));
  UMBRA_TRY(const auto request, parse(request_pem));
  UMBRA_TRY(auto issued, Register::open(ca_directory));  // held until it is noted: nobody revokes it meanwhile
  UMBRA_TRY(const auto pem,
            certify(ca, subject, *X509_REQ_get0_pubkey(request.get()), std::chrono::system_clock::now(), validity));
  UMBRA_TRY(const auto made, x509::parse_certificates(pem, "the new certificate"));
  UMBRA_CHECK(check_not_revoked(issued, subject.name, *made.front()));
  UMBRA_CHECK(note(issued, pem));
  return pem;
}

}  // namespace umbra::rpc::pki
