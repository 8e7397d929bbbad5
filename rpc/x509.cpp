#include "rpc/x509.hpp"

#include <openssl/err.h>
#include <openssl/sha.h>

#include <boost/asio/ip/address.hpp>
#include <cerrno>
#include <cstring>
#include <fstream>

#include "base/printable.hpp"

namespace umbra::rpc::x509 {
namespace {

namespace asio = boost::asio;
using OpenSslText = std::unique_ptr<unsigned char, Release<[](unsigned char* text) { OPENSSL_free(text); }>>;
using AltNames = std::unique_ptr<GENERAL_NAMES, Release<GENERAL_NAMES_free>>;

constexpr std::size_t kMostText = std::size_t{1} << 20;
constexpr std::size_t kMostNames = 64;
constexpr std::size_t kSubjectShown = 128;

/// Reads without ever asking for a passphrase on the terminal.
int no_passphrase(char*, int, int, void*) {
  return -1;
}

/// Reads from text, which must outlive it.
Bio reading(std::string_view text) {
  return Bio(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

/// Everything of one kind that PEM text holds.
template <class T, class Read>
Result<std::vector<T>> parse_all(std::string_view pem, const std::filesystem::path& file, std::string_view what,
                                 Read read) {
  const auto bio = reading(pem);
  std::vector<T> found;
  while (T next{read(bio.get())}) found.push_back(std::move(next));
  // The end of the text shows as an error too, another than a damaged block's.
  const bool at_end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
  const auto cause = openssl_error();
  if (at_end && !found.empty()) return found;
  return fail({Errc::kInvalid, fmt::format("{} holds no PEM {}: {}", file.string(), what, cause),
               "replace it by one made with `umbractl pki`"});
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

std::string shown(std::string_view name) {
  return printable(name, kSubjectShown);
}

std::time_t unix_time(const ASN1_TIME* time) {
  std::tm broken_down{};
  return ASN1_TIME_to_tm(time, &broken_down) == 1 ? timegm(&broken_down) : 0;
}

}  // namespace

Result<std::string> read_text(const std::filesystem::path& file, std::string_view what) {
  errno = 0;
  std::ifstream in(file, std::ios::binary);
  std::string text;
  constexpr std::size_t kPiece = 8 * 1024;
  while (in && text.size() <= kMostText) {
    const auto before = text.size();
    text.resize(before + kPiece);
    in.read(text.data() + before, kPiece);
    text.resize(before + static_cast<std::size_t>(in.gcount()));
  }
  const int cause = errno;
  if (!in.is_open() && cause == ENOENT) {
    return fail({Errc::kNotFound, fmt::format("the {} {} does not exist", what, file.string()),
                 "make one with `umbractl pki`, or correct the path in the configuration"});
  }
  if (!in.is_open() || in.bad()) {
    return fail({Errc::kInvalid, fmt::format("the {} {} cannot be read: {}", what, file.string(), std::strerror(cause)),
                 "give the service's user read access to it"});
  }
  if (text.size() <= kMostText) return text;
  return fail({Errc::kInvalid, fmt::format("the {} {} is larger than 1 MiB", what, file.string()),
               "replace it by one made with `umbractl pki`"});
}

Result<std::vector<Certificate>> parse_certificates(std::string_view pem, const std::filesystem::path& file) {
  return parse_all<Certificate>(pem, file, "certificate",
                                [](BIO* bio) { return PEM_read_bio_X509(bio, nullptr, no_passphrase, nullptr); });
}

Result<std::vector<Crl>> parse_crls(std::string_view pem, const std::filesystem::path& file) {
  return parse_all<Crl>(pem, file, "revocation list",
                        [](BIO* bio) { return PEM_read_bio_X509_CRL(bio, nullptr, no_passphrase, nullptr); });
}

Result<Key> parse_key(std::string_view pem, const std::filesystem::path& file) {
  const auto bio = reading(pem);
  if (Key key{PEM_read_bio_PrivateKey(bio.get(), nullptr, no_passphrase, nullptr)}) return key;
  return fail({Errc::kInvalid,
               fmt::format("{} holds no unencrypted PEM private key: {}", file.string(), openssl_error()),
               "replace it by one made with `umbractl pki`, or remove its passphrase"});
}

Result<Certificate> read_certificate(const std::filesystem::path& file) {
  UMBRA_TRY(const auto text, read_text(file, "certificate"));
  UMBRA_TRY(auto all, parse_certificates(text, file));
  return std::move(all.front());
}

Result<Key> read_key(const std::filesystem::path& file) {
  UMBRA_TRY(const auto text, read_text(file, "private key"));
  return parse_key(text, file);
}

Result<Identity> identity_of(X509& certificate) {
  const auto cn = common_name(certificate);
  const AltNames names(
      static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(&certificate, NID_subject_alt_name, nullptr, nullptr)));
  Identity identity;
  if (sk_GENERAL_NAME_num(names.get()) > static_cast<int>(kMostNames))
    return fail({Errc::kInvalid, fmt::format("the certificate of {} has more than {} names", shown(cn), kMostNames),
                 "issue it with `umbractl pki issue`"});
  for (int i = 0; i < sk_GENERAL_NAME_num(names.get()); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(names.get(), i);
    if (name->type == GEN_DNS) {
      identity.alt_names.push_back(text_of(name->d.dNSName));
      UMBRA_CHECK(check_alt_name(identity.alt_names.back()));
    }
    if (name->type == GEN_IPADD) identity.alt_names.push_back(address_text(name->d.iPAddress));
    if (name->type != GEN_URI) continue;
    UMBRA_TRY(const auto claimed, parse_identity_uri(text_of(name->d.uniformResourceIdentifier)));
    if (identity.role != v1::ROLE_UNSPECIFIED)
      return fail(Errc::kInvalid, "the certificate of {} has two umbra:// names", shown(cn));
    if (claimed.name != cn) {
      return fail(Errc::kInvalid, "the certificate's umbra:// name is {}, its subject CN {}", claimed.name, shown(cn));
    }
    identity.name = claimed.name;
    identity.role = claimed.role;
    identity.not_after = not_after(certificate);
  }
  if (identity.role != v1::ROLE_UNSPECIFIED) return identity;
  return fail({Errc::kInvalid,
               fmt::format("the certificate of {} has no name umbra://<role>/<name>", subject_of(certificate)),
               "issue it with `umbractl pki issue`"});
}

std::string subject_of(const X509& certificate) {
  if (auto cn = common_name(certificate); !cn.empty()) return shown(cn);
  const Bio bio{BIO_new(BIO_s_mem())};
  X509_NAME_print_ex(bio.get(), X509_get_subject_name(&certificate), 0, XN_FLAG_RFC2253);
  char* text = nullptr;
  const auto length = BIO_get_mem_data(bio.get(), &text);
  return length > 0 ? shown({text, static_cast<std::size_t>(length)}) : std::string("an unnamed subject");
}

std::string issuer_of(const X509_CRL& list) {
  const Bio bio{BIO_new(BIO_s_mem())};
  X509_NAME_print_ex(bio.get(), X509_CRL_get_issuer(&list), 0, XN_FLAG_RFC2253);
  char* text = nullptr;
  const auto length = BIO_get_mem_data(bio.get(), &text);
  return length > 0 ? shown({text, static_cast<std::size_t>(length)}) : std::string("an unnamed issuer");
}

std::string key_digest(const X509& certificate) {
  unsigned char* raw = nullptr;
  const int length = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(&certificate), &raw);
  const std::unique_ptr<unsigned char, Release<[](unsigned char* octets) { OPENSSL_free(octets); }>> der(raw);
  std::string digest(SHA256_DIGEST_LENGTH, '\0');
  if (length >= 0) SHA256(raw, static_cast<std::size_t>(length), reinterpret_cast<unsigned char*>(digest.data()));
  return digest;
}

std::time_t not_before(const X509& certificate) {
  return unix_time(X509_get0_notBefore(&certificate));
}
std::time_t not_after(const X509& certificate) {
  return unix_time(X509_get0_notAfter(&certificate));
}

std::time_t last_update(const X509_CRL& list) {
  return unix_time(X509_CRL_get0_lastUpdate(&list));
}
std::time_t revoked_since(const X509_REVOKED& entry) {
  return unix_time(X509_REVOKED_get0_revocationDate(&entry));
}

std::optional<std::time_t> next_update(const X509_CRL& list) {
  const auto* time = X509_CRL_get0_nextUpdate(&list);
  return time == nullptr ? std::nullopt : std::optional(unix_time(time));
}

std::string time_text(std::time_t time) {
  std::tm broken_down{};
  gmtime_r(&time, &broken_down);
  char text[40];
  return {text, std::strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S UTC", &broken_down)};
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
    case X509_V_ERR_CERT_REVOKED:
      return "the certificate is revoked";
    case X509_V_ERR_UNABLE_TO_GET_CRL:
      return "there is no revocation list of its CA";
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
