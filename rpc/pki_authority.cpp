// Making CAs: a fleet's own, and those that sign in its name.
#include <openssl/err.h>

#include "rpc/pki_ca.hpp"
#include "rpc/pki_files.hpp"

namespace umbra::rpc::pki {
namespace {

using std::chrono::system_clock;

Result<void> check_empty(const std::filesystem::path& directory) {
  const auto files = ca_files(directory);
  for (const auto& file : {files.certificate, files.key, crl_file(directory), directory / "issued"}) {
    if (std::error_code ignored; std::filesystem::exists(file, ignored)) {
      return fail({Errc::kConflict, fmt::format("{} exists: this directory holds a CA already", file.string()),
                   "choose another directory"});
    }
  }
  return {};
}

struct Names {
  std::string organisation, common;
};

/// @param signer null: it signs itself
Result<Files> make_ca(const std::filesystem::path& directory, const Names& names, const Ca* signer, const char* limits,
                      std::chrono::hours validity) {
  UMBRA_CHECK(check_empty(directory));
  const auto files = ca_files(directory);
  UMBRA_TRY(const auto key, new_key());
  UMBRA_TRY(const auto certificate, blank(*key, system_clock::now(), validity));
  X509& issuer = signer != nullptr ? *signer->certificate : *certificate;
  UMBRA_CHECK(add_name(*X509_get_subject_name(certificate.get()), NID_organizationName, names.organisation));
  UMBRA_CHECK(add_name(*X509_get_subject_name(certificate.get()), NID_commonName, names.common));
  UMBRA_CHECK(must(X509_set_issuer_name(certificate.get(), X509_get_subject_name(&issuer)) == 1));
  UMBRA_CHECK(add_extension(*certificate, issuer, NID_basic_constraints, limits));
  UMBRA_CHECK(add_extension(*certificate, issuer, NID_key_usage, "critical,keyCertSign,cRLSign"));
  UMBRA_CHECK(add_extension(*certificate, issuer, NID_subject_key_identifier, "hash"));
  if (signer != nullptr) UMBRA_CHECK(add_extension(*certificate, issuer, NID_authority_key_identifier, "keyid:always"));
  EVP_PKEY* const signing = signer != nullptr ? signer->key.get() : key.get();
  UMBRA_CHECK(must(X509_sign(certificate.get(), signing, EVP_sha256()) > 0));
  UMBRA_TRY(const auto key_pem, pem_of(*key));
  UMBRA_TRY(const auto certificate_pem, pem_of(*certificate));
  UMBRA_CHECK(write_file(files.key, key_pem, 0600, Existing::kKeep));
  UMBRA_CHECK(write_file(files.certificate, certificate_pem, 0644, Existing::kKeep));
  UMBRA_CHECK(write_crl(directory));  // so that `tls.crl` can be set from the beginning
  return files;
}

std::string organisation_of(const X509& certificate) {
  char text[256] = {};
  X509_NAME_get_text_by_NID(X509_get_subject_name(&certificate), NID_organizationName, text, sizeof text);
  return text;
}

}  // namespace

Result<Files> create_ca(const std::filesystem::path& directory, std::string fleet, std::chrono::hours validity) {
  return make_ca(directory, {fleet, fleet + " Umbra CA"}, nullptr, "critical,CA:TRUE,pathlen:1", validity);
}

std::filesystem::path issuers_file(const std::filesystem::path& ca_directory) {
  return ca_directory / "issuers.crt";
}

Result<std::string> trusted_by(const std::filesystem::path& ca_directory) {
  UMBRA_TRY(auto all, x509::read_text(ca_files(ca_directory).certificate, "certificate"));
  if (std::error_code ignored; std::filesystem::exists(issuers_file(ca_directory), ignored)) {
    UMBRA_TRY(const auto issuers, x509::read_text(issuers_file(ca_directory), "certificate"));
    all += issuers;
  }
  return all;
}

Result<Files> create_issuer(const std::filesystem::path& ca_directory, const std::string& name,
                            const std::filesystem::path& directory, std::chrono::hours validity) {
  UMBRA_CHECK(check_name(name));
  UMBRA_TRY(const auto root, load_ca(ca_directory));
  if (X509_get_pathlen(root.certificate.get()) == 0)
    return fail({Errc::kUnsupported,
                 fmt::format("the CA in {} may sign nodes alone, no other CA: an older umbractl made it",
                             ca_directory.string()),
                 "make a new CA with `umbractl pki init`, and let both count for a while (docs/operations.md)"});
  UMBRA_TRY(auto issued, Register::open(ca_directory));  // held, so that two do not write the list of issuers at once
  const auto organisation = organisation_of(*root.certificate);
  UMBRA_TRY(const auto files, make_ca(directory, {organisation, fmt::format("{} Umbra issuer {}", organisation, name)},
                                      &root, "critical,CA:TRUE,pathlen:0", validity));
  std::string issuers;
  if (std::error_code ignored; std::filesystem::exists(issuers_file(ca_directory), ignored)) {
    UMBRA_TRY(issuers, x509::read_text(issuers_file(ca_directory), "certificate"));
  }
  UMBRA_TRY(const auto pem, x509::read_text(files.certificate, "certificate"));
  UMBRA_CHECK(write_file(issuers_file(ca_directory), issuers + pem, 0644, Existing::kReplace));
  return files;
}

}  // namespace umbra::rpc::pki
