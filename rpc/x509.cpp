#include "rpc/x509.hpp"

#include <openssl/err.h>

#include <boost/asio/ip/address.hpp>
#include <cerrno>
#include <cstring>

namespace umbra::rpc::x509 {
namespace {

namespace asio = boost::asio;
using OpenSslText = std::unique_ptr<unsigned char, Release<[](unsigned char* text) { OPENSSL_free(text); }>>;
using AltNames = std::unique_ptr<GENERAL_NAMES, Release<GENERAL_NAMES_free>>;
using Store = std::unique_ptr<X509_STORE, Release<X509_STORE_free>>;
using StoreContext = std::unique_ptr<X509_STORE_CTX, Release<X509_STORE_CTX_free>>;

/// Reads without ever asking for a passphrase on the terminal.
int no_passphrase(char*, int, int, void*) {
  return -1;
}

Result<Bio> open(const std::filesystem::path& file, std::string_view what) {
  errno = 0;
  if (Bio bio{BIO_new_file(file.c_str(), "r")}) return bio;
  const int cause = errno;
  ERR_clear_error();
  if (cause == ENOENT) {
    return fail({Errc::kNotFound, fmt::format("the {} {} does not exist", what, file.string()),
                 "make one with `umbractl pki`, or correct the path in the configuration"});
  }
  return fail({Errc::kInvalid, fmt::format("the {} {} cannot be read: {}", what, file.string(), std::strerror(cause)),
               "give the service's user read access to it"});
}

std::string text_of(const ASN1_STRING* string) {
  unsigned char* raw = nullptr;
  const int length = ASN1_STRING_to_UTF8(&raw, string);
  const OpenSslText text(raw);
  return length < 0 ? std::string{} : std::string(reinterpret_cast<const char*>(raw), static_cast<std::size_t>(length));
}

std::string common_name(const X509& certificate) {
  const X509_NAME* subject = X509_get_subject_name(&certificate);
  const int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
  return at < 0 ? std::string{} : text_of(X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
}

std::string address_text(const ASN1_OCTET_STRING* octets) {
  const auto* bytes = ASN1_STRING_get0_data(octets);
  const int length = ASN1_STRING_length(octets);
  if (length == 4) {
    asio::ip::address_v4::bytes_type v4;
    std::copy_n(bytes, v4.size(), v4.begin());
    return asio::ip::make_address_v4(v4).to_string();
  }
  if (length == 16) {
    asio::ip::address_v6::bytes_type v6;
    std::copy_n(bytes, v6.size(), v6.begin());
    return asio::ip::make_address_v6(v6).to_string();
  }
  return {};
}

std::time_t unix_time(const ASN1_TIME* time) {
  std::tm broken_down{};
  return ASN1_TIME_to_tm(time, &broken_down) == 1 ? timegm(&broken_down) : 0;
}

}  // namespace

Result<Certificate> read_certificate(const std::filesystem::path& file) {
  UMBRA_TRY(const auto bio, open(file, "certificate"));
  if (Certificate certificate{PEM_read_bio_X509(bio.get(), nullptr, no_passphrase, nullptr)}) return certificate;
  return fail({Errc::kInvalid, fmt::format("{} holds no PEM certificate: {}", file.string(), openssl_error()),
               "replace it by one made with `umbractl pki`"});
}

Result<Key> read_key(const std::filesystem::path& file) {
  UMBRA_TRY(const auto bio, open(file, "private key"));
  if (Key key{PEM_read_bio_PrivateKey(bio.get(), nullptr, no_passphrase, nullptr)}) return key;
  return fail({Errc::kInvalid,
               fmt::format("{} holds no unencrypted PEM private key: {}", file.string(), openssl_error()),
               "replace it by one made with `umbractl pki`, or remove its passphrase"});
}

Result<Identity> identity_of(X509& certificate) {
  const auto cn = common_name(certificate);
  const AltNames names(
      static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(&certificate, NID_subject_alt_name, nullptr, nullptr)));
  Identity identity;
  for (int i = 0; i < sk_GENERAL_NAME_num(names.get()); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(names.get(), i);
    if (name->type == GEN_DNS) identity.alt_names.push_back(text_of(name->d.dNSName));
    if (name->type == GEN_IPADD) identity.alt_names.push_back(address_text(name->d.iPAddress));
    if (name->type != GEN_URI) continue;
    UMBRA_TRY(const auto claimed, parse_identity_uri(text_of(name->d.uniformResourceIdentifier)));
    if (identity.role != v1::ROLE_UNSPECIFIED)
      return fail(Errc::kInvalid, "the certificate of {} has two umbra:// names", cn);
    if (claimed.name != cn) {
      return fail(Errc::kInvalid, "the certificate's umbra:// name is {}, its subject CN {}", claimed.name, cn);
    }
    identity.name = claimed.name;
    identity.role = claimed.role;
  }
  if (identity.role != v1::ROLE_UNSPECIFIED) return identity;
  return fail({Errc::kInvalid,
               fmt::format("the certificate of {} has no name umbra://<role>/<name>", subject_of(certificate)),
               "issue it with `umbractl pki issue`"});
}

std::string subject_of(const X509& certificate) {
  if (auto cn = common_name(certificate); !cn.empty()) return cn;
  const Bio bio{BIO_new(BIO_s_mem())};
  X509_NAME_print_ex(bio.get(), X509_get_subject_name(&certificate), 0, XN_FLAG_RFC2253);
  char* text = nullptr;
  const auto length = BIO_get_mem_data(bio.get(), &text);
  return length > 0 ? std::string(text, static_cast<std::size_t>(length)) : std::string("an unnamed subject");
}

std::time_t not_before(const X509& certificate) {
  return unix_time(X509_get0_notBefore(&certificate));
}
std::time_t not_after(const X509& certificate) {
  return unix_time(X509_get0_notAfter(&certificate));
}

std::string time_text(std::time_t time) {
  std::tm broken_down{};
  gmtime_r(&time, &broken_down);
  char text[40];
  return {text, std::strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S UTC", &broken_down)};
}

Result<void> check_issued_by(X509& certificate, X509& ca) {
  const Store store(X509_STORE_new());
  const StoreContext context(X509_STORE_CTX_new());
  X509_STORE_add_cert(store.get(), &ca);
  if (X509_STORE_CTX_init(context.get(), store.get(), &certificate, nullptr) != 1)
    return fail(Errc::kInternal, "{}", openssl_error());
  if (X509_verify_cert(context.get()) == 1) return {};
  const int error = X509_STORE_CTX_get_error(context.get());
  ERR_clear_error();
  return fail(Errc::kInvalid, "{}", explain(error, X509_STORE_CTX_get_current_cert(context.get())));
}

std::string explain(int verify_error, const X509* certificate) {
  const auto at = [&](auto time) { return certificate ? " on " + time_text(time(*certificate)) : std::string{}; };
  switch (verify_error) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
      return "the certificate expired" + at(not_after);
    case X509_V_ERR_CERT_NOT_YET_VALID:
      return "the certificate is not valid yet, it becomes so" + at(not_before) + ", or a clock is wrong";
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_CERT_SIGNATURE_FAILURE:
      return "the certificate is not signed by this fleet's CA";
    case X509_V_ERR_INVALID_PURPOSE:
      return "the certificate is not meant for this end of a connection";
    default:
      return fmt::format("the certificate is not accepted: {}", X509_verify_cert_error_string(verify_error));
  }
}

std::string openssl_error() {
  const auto code = ERR_get_error();
  ERR_clear_error();
  if (code == 0) return "unknown cause";
  const char* reason = ERR_reason_error_string(code);
  return reason ? reason : fmt::format("OpenSSL error {:#x}", code);
}

}  // namespace umbra::rpc::x509
