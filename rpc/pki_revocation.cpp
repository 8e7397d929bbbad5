// Revoking certificates, and the list that says so.
#include <openssl/bn.h>
#include <openssl/err.h>

#include <algorithm>

#include "rpc/pki.hpp"
#include "rpc/pki_ca.hpp"
#include "rpc/pki_files.hpp"
#include "rpc/pki_register.hpp"

namespace umbra::rpc::pki {
namespace {

using std::chrono::system_clock;
using Integer = std::unique_ptr<ASN1_INTEGER, x509::Release<ASN1_INTEGER_free>>;
using Time = std::unique_ptr<ASN1_TIME, x509::Release<ASN1_TIME_free>>;
using Number = std::unique_ptr<BIGNUM, x509::Release<BN_free>>;
using Revoked = std::unique_ptr<X509_REVOKED, x509::Release<X509_REVOKED_free>>;
using Extension = std::unique_ptr<X509_EXTENSION, x509::Release<X509_EXTENSION_free>>;

Result<void> add_entry(X509_CRL& list, const IssuedRecord& record) {
  BIGNUM* raw = nullptr;
  BN_hex2bn(&raw, record.serial.c_str());
  const Number number(raw);
  UMBRA_CHECK(must(number != nullptr));
  const Integer serial(BN_to_ASN1_INTEGER(number.get(), nullptr));
  const Time since(ASN1_TIME_set(nullptr, record.revoked));
  Revoked entry(X509_REVOKED_new());
  UMBRA_CHECK(must(serial && since && entry && X509_REVOKED_set_serialNumber(entry.get(), serial.get()) == 1 &&
                   X509_REVOKED_set_revocationDate(entry.get(), since.get()) == 1 &&
                   X509_CRL_add0_revoked(&list, entry.get()) == 1));
  static_cast<void>(entry.release());  // the list's now
  return {};
}

Result<std::string> sign_list(const Ca& ca, const Register& issued, system_clock::time_point from,
                              std::chrono::hours validity) {
  const x509::Crl list(X509_CRL_new());
  const Time begins(ASN1_TIME_set(nullptr, system_clock::to_time_t(from - kClockSkew)));
  const Time ends(ASN1_TIME_set(nullptr, system_clock::to_time_t(from + validity)));
  const Integer number(ASN1_INTEGER_new());
  UMBRA_CHECK(must(list && begins && ends && number && ASN1_INTEGER_set_uint64(number.get(), issued.crl_number) == 1));
  UMBRA_CHECK(must(X509_CRL_set_version(list.get(), X509_CRL_VERSION_2) == 1 &&
                   X509_CRL_set_issuer_name(list.get(), X509_get_subject_name(ca.certificate.get())) == 1 &&
                   X509_CRL_set1_lastUpdate(list.get(), begins.get()) == 1 &&
                   X509_CRL_set1_nextUpdate(list.get(), ends.get()) == 1 &&
                   X509_CRL_add1_ext_i2d(list.get(), NID_crl_number, number.get(), 0, 0) == 1));
  // Two CAs of one name, old and new, are told apart by their keys.
  X509V3_CTX context;
  X509V3_set_ctx(&context, ca.certificate.get(), nullptr, nullptr, list.get(), 0);
  const Extension key_id(X509V3_EXT_conf_nid(nullptr, &context, NID_authority_key_identifier, "keyid:always"));
  UMBRA_CHECK(must(key_id && X509_CRL_add_ext(list.get(), key_id.get(), -1) == 1));
  const auto now = system_clock::to_time_t(from);
  for (const auto& record : issued.records)
    if (record.revoked != 0 && record.not_after + std::chrono::seconds(kClockSkew).count() >= now)
      UMBRA_CHECK(add_entry(*list, record));
  UMBRA_CHECK(must(X509_CRL_sort(list.get()) == 1 && X509_CRL_sign(list.get(), ca.key.get(), EVP_sha256()) > 0));
  const x509::Bio bio(BIO_new(BIO_s_mem()));
  UMBRA_CHECK(must(bio && PEM_write_bio_X509_CRL(bio.get(), list.get()) == 1));
  char* text = nullptr;
  const auto length = BIO_get_mem_data(bio.get(), &text);
  return std::string(text, static_cast<std::size_t>(length));
}

Result<std::vector<std::string>> mark(const std::filesystem::path& directory, Register& issued,
                                      const std::string& name_or_file) {
  const auto now = std::time(nullptr);
  std::error_code ignored;
  if (check_name(name_or_file) && !std::filesystem::is_regular_file(name_or_file, ignored)) {
    std::vector<std::string> serials;
    bool known = false;
    for (auto& record : issued.records) {
      if (record.name != name_or_file) continue;
      known = true;
      if (record.revoked != 0) continue;
      record.revoked = now;  // also one that is over: it shall not be renewed
      if (record.not_after >= now) serials.push_back(record.serial);
    }
    if (known) return serials;
    return fail({Errc::kNotFound,
                 fmt::format("the CA in {} has issued nothing to {}", directory.string(), name_or_file),
                 "give the certificate's file, if it was issued before there was a register"});
  }
  UMBRA_TRY(const auto certificate, x509::read_certificate(name_or_file));
  UMBRA_TRY(const auto ca, load_ca(directory));
  if (X509_verify(certificate.get(), X509_get0_pubkey(ca.certificate.get())) != 1) {
    ERR_clear_error();
    return fail({Errc::kInvalid, fmt::format("{} was not issued by the CA in {}", name_or_file, directory.string()),
                 "name the CA that issued it"});
  }
  UMBRA_TRY(auto record, record_of(*certificate));
  auto found = std::ranges::find(issued.records, record.serial, &IssuedRecord::serial);
  if (found == issued.records.end()) found = issued.records.insert(found, record);
  found->key = record.key;
  if (found->revoked != 0) return std::vector<std::string>{};
  found->revoked = now;
  return std::vector<std::string>{found->serial};
}

Result<std::filesystem::path> write_list(const std::filesystem::path& directory, Register& issued,
                                         std::chrono::hours validity, system_clock::time_point from) {
  UMBRA_TRY(const auto ca, load_ca(directory));
  ++issued.crl_number;
  UMBRA_TRY(const auto pem, sign_list(ca, issued, from, validity));
  UMBRA_CHECK(issued.save());
  UMBRA_CHECK(write_file(crl_file(directory), pem, 0644, Existing::kReplace));
  return crl_file(directory);
}

}  // namespace

std::filesystem::path crl_file(const std::filesystem::path& directory) {
  return directory / "ca.crl";
}

Result<std::vector<std::string>> revoke(const std::filesystem::path& ca_directory, const std::string& name_or_file,
                                        std::chrono::hours validity) {
  UMBRA_TRY(auto issued, Register::open(ca_directory));
  UMBRA_TRY(auto serials, mark(ca_directory, issued, name_or_file));
  UMBRA_CHECK(write_list(ca_directory, issued, validity, system_clock::now()));
  return serials;
}

Result<std::filesystem::path> write_crl(const std::filesystem::path& ca_directory, std::chrono::hours validity,
                                        system_clock::time_point from) {
  UMBRA_TRY(auto issued, Register::open(ca_directory));
  return write_list(ca_directory, issued, validity, from);
}

}  // namespace umbra::rpc::pki
