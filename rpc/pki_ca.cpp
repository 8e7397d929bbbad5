#include "rpc/pki_ca.hpp"

#include <openssl/bn.h>
#include <openssl/err.h>

#include <boost/asio/ip/address.hpp>

namespace umbra::rpc::pki {
namespace {

using std::chrono::system_clock;
using Number = std::unique_ptr<BIGNUM, x509::Release<BN_free>>;
using Integer = std::unique_ptr<ASN1_INTEGER, x509::Release<ASN1_INTEGER_free>>;
using Extension = std::unique_ptr<X509_EXTENSION, x509::Release<X509_EXTENSION_free>>;
using AltNames = std::unique_ptr<GENERAL_NAMES, x509::Release<GENERAL_NAMES_free>>;

Result<void> add_alt_name(GENERAL_NAMES& names, int type, std::string_view bytes) {
  GENERAL_NAME* name = GENERAL_NAME_new();
  ASN1_STRING* text = type == GEN_IPADD ? ASN1_OCTET_STRING_new() : ASN1_IA5STRING_new();
  UMBRA_CHECK(must(name && text && ASN1_STRING_set(text, bytes.data(), static_cast<int>(bytes.size())) == 1));
  GENERAL_NAME_set0_value(name, type, text);
  return must(sk_GENERAL_NAME_push(&names, name) > 0);
}

/// Built from values, not from a configuration string, so that no name can smuggle in another.
Result<void> add_alt_names(X509& certificate, const Subject& subject) {
  const AltNames names(GENERAL_NAMES_new());
  UMBRA_CHECK(add_alt_name(*names, GEN_URI, identity_uri(subject.role, subject.name)));
  UMBRA_CHECK(add_alt_name(*names, GEN_DNS, subject.name));
  for (const auto& each : subject.alt_names) {
    boost::system::error_code not_an_address;
    const auto address = boost::asio::ip::make_address(each, not_an_address);
    if (not_an_address) {
      UMBRA_CHECK(add_alt_name(*names, GEN_DNS, each));
    } else if (address.is_v4()) {
      const auto bytes = address.to_v4().to_bytes();
      UMBRA_CHECK(add_alt_name(*names, GEN_IPADD, {reinterpret_cast<const char*>(bytes.data()), bytes.size()}));
    } else {
      const auto bytes = address.to_v6().to_bytes();
      UMBRA_CHECK(add_alt_name(*names, GEN_IPADD, {reinterpret_cast<const char*>(bytes.data()), bytes.size()}));
    }
  }
  return must(X509_add1_ext_i2d(&certificate, NID_subject_alt_name, names.get(), 0, X509V3_ADD_DEFAULT) == 1);
}

}  // namespace

Result<void> must(bool done) {
  if (done) return {};
  return fail(Errc::kInternal, "OpenSSL: {}", x509::openssl_error());
}

Result<Ca> load_ca(const std::filesystem::path& directory) {
  const auto files = ca_files(directory);
  UMBRA_TRY(auto certificate, x509::read_certificate(files.certificate));
  UMBRA_TRY(auto key, x509::read_key(files.key));
  if (X509_check_private_key(certificate.get(), key.get()) == 1) return Ca{std::move(certificate), std::move(key)};
  ERR_clear_error();
  return fail({Errc::kInvalid, fmt::format("{} does not belong to {}", files.key.string(), files.certificate.string()),
               "restore the CA's two files from the backup of one of them"});
}

Result<void> check_subject(const Subject& subject) {
  if (subject.role == v1::ROLE_UNSPECIFIED)
    return fail({Errc::kInvalid, "a certificate needs a role", "controller, agent, edge, admin or viewer"});
  UMBRA_CHECK(check_name(subject.name));
  for (const auto& each : subject.alt_names) {
    boost::system::error_code not_an_address;
    boost::asio::ip::make_address(each, not_an_address);
    if (not_an_address && !check_alt_name(each))
      return fail({Errc::kInvalid, fmt::format("\"{}\" is neither a DNS name nor an IP address", each), "correct it"});
  }
  return {};
}

Result<x509::Key> new_key() {
  x509::Key key(EVP_EC_gen("P-256"));
  UMBRA_CHECK(must(key != nullptr));
  return key;
}

Result<std::string> pem_of(const X509& certificate) {
  const x509::Bio bio(BIO_new(BIO_s_mem()));
  UMBRA_CHECK(must(bio && PEM_write_bio_X509(bio.get(), &certificate) == 1));
  char* text = nullptr;
  const auto length = BIO_get_mem_data(bio.get(), &text);
  return std::string(text, static_cast<std::size_t>(length));
}

Result<std::string> pem_of(const EVP_PKEY& key) {
  const x509::Bio bio(BIO_new(BIO_s_mem()));
  UMBRA_CHECK(must(bio && PEM_write_bio_PKCS8PrivateKey(bio.get(), &key, nullptr, nullptr, 0, nullptr, nullptr) == 1));
  char* text = nullptr;
  const auto length = BIO_get_mem_data(bio.get(), &text);
  return std::string(text, static_cast<std::size_t>(length));
}

Result<x509::Certificate> blank(EVP_PKEY& key, system_clock::time_point from, std::chrono::hours validity) {
  x509::Certificate certificate(X509_new());
  const Number random(BN_new());
  const bool drawn = certificate && random && BN_rand(random.get(), 127, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ANY) == 1;
  UMBRA_CHECK(must(drawn));
  const Integer serial(BN_to_ASN1_INTEGER(random.get(), nullptr));
  const auto start = system_clock::to_time_t(from - kClockSkew);
  const auto end = system_clock::to_time_t(from + validity);
  UMBRA_CHECK(must(serial && X509_set_version(certificate.get(), X509_VERSION_3) == 1 &&
                   X509_set_serialNumber(certificate.get(), serial.get()) == 1 &&
                   ASN1_TIME_set(X509_getm_notBefore(certificate.get()), start) != nullptr &&
                   ASN1_TIME_set(X509_getm_notAfter(certificate.get()), end) != nullptr &&
                   X509_set_pubkey(certificate.get(), &key) == 1));
  return certificate;
}

Result<void> add_name(X509_NAME& name, int field, std::string_view text) {
  return must(X509_NAME_add_entry_by_NID(&name, field, MBSTRING_UTF8,
                                         reinterpret_cast<const unsigned char*>(text.data()),
                                         static_cast<int>(text.size()), -1, 0) == 1);
}

Result<void> add_extension(X509& certificate, X509& issuer, int kind, const char* value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, &issuer, &certificate, nullptr, nullptr, 0);
  const Extension extension(X509V3_EXT_conf_nid(nullptr, &context, kind, value));
  return must(extension && X509_add_ext(&certificate, extension.get(), -1) == 1);
}

Result<std::string> certify(const Ca& ca, const Subject& subject, EVP_PKEY& key, system_clock::time_point from,
                            std::chrono::hours validity) {
  UMBRA_TRY(const auto certificate, blank(key, from, validity));
  const bool dials_only = subject.role == v1::ROLE_ADMIN || subject.role == v1::ROLE_VIEWER;
  UMBRA_CHECK(add_name(*X509_get_subject_name(certificate.get()), NID_commonName, subject.name));
  UMBRA_CHECK(must(X509_set_issuer_name(certificate.get(), X509_get_subject_name(ca.certificate.get())) == 1));
  UMBRA_CHECK(add_extension(*certificate, *ca.certificate, NID_basic_constraints, "critical,CA:FALSE"));
  // Not critical: QEMU's check of its TLS certificates also asks a critical one for keyEncipherment, which ECDSA has no
  // use for.
  UMBRA_CHECK(add_extension(*certificate, *ca.certificate, NID_key_usage, "digitalSignature"));
  UMBRA_CHECK(add_extension(*certificate, *ca.certificate, NID_ext_key_usage,
                            dials_only ? "clientAuth" : "serverAuth,clientAuth"));
  UMBRA_CHECK(add_extension(*certificate, *ca.certificate, NID_subject_key_identifier, "hash"));
  UMBRA_CHECK(add_extension(*certificate, *ca.certificate, NID_authority_key_identifier, "keyid:always"));
  UMBRA_CHECK(add_alt_names(*certificate, subject));
  UMBRA_CHECK(must(X509_sign(certificate.get(), ca.key.get(), EVP_sha256()) > 0));
  return pem_of(*certificate);
}

Result<void> check_not_revoked(const Register& issued, const std::string& what, X509& certificate) {
  UMBRA_TRY(const auto record, record_of(certificate));
  for (const auto& each : issued.records) {
    if (each.revoked == 0 || (each.serial != record.serial && each.key != record.key)) continue;
    return fail({Errc::kConflict,
                 fmt::format("{} is not renewed: {} of {}, serial {}, was revoked on {}", what,
                             each.serial == record.serial ? "this certificate" : "another certificate of its key",
                             each.name, each.serial, x509::time_text(each.revoked)),
                 "if the node is to be trusted again, make it a new key: umbractl pki issue"});
  }
  return {};
}

Result<void> note(Register& issued, const std::string& pem) {
  UMBRA_TRY(const auto certificates, x509::parse_certificates(pem, "the new certificate"));
  UMBRA_TRY(auto record, record_of(*certificates.front()));
  issued.records.push_back(std::move(record));
  return issued.save();
}

}  // namespace umbra::rpc::pki
