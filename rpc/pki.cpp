#include "rpc/pki.hpp"

#include <openssl/err.h>

#include "base/digest.hpp"
#include "rpc/pki_ca.hpp"
#include "rpc/pki_files.hpp"
#include "rpc/pki_register.hpp"
#include "rpc/trust.hpp"
#include "rpc/x509.hpp"

namespace umbra::rpc::pki {

using std::chrono::system_clock;

Files ca_files(const std::filesystem::path& directory) {
  return {directory / "ca.crt", directory / "ca.key"};
}

Files node_files(const std::filesystem::path& directory, std::string_view name) {
  return {directory / fmt::format("{}.crt", name), directory / fmt::format("{}.key", name)};
}

Result<Files> issue(const std::filesystem::path& ca_directory, const Subject& subject,
                    const std::filesystem::path& directory, std::chrono::hours validity,
                    system_clock::time_point from) {
  UMBRA_CHECK(check_subject(subject));
  UMBRA_TRY(const auto ca, load_ca(ca_directory));
  const auto files = node_files(directory, subject.name);
  for (const auto& file : {files.certificate, files.key}) {
    if (std::error_code ignored; std::filesystem::exists(file, ignored)) {
      return fail({Errc::kConflict, fmt::format("{} exists", file.string()),
                   "renew it with `umbractl pki renew`, or remove it first if the node is a new one"});
    }
  }
  UMBRA_TRY(const auto key, new_key());
  UMBRA_TRY(const auto key_pem, pem_of(*key));
  UMBRA_TRY(const auto certificate_pem, certify(ca, subject, *key, from, validity));
  UMBRA_TRY(auto issued, Register::open(ca_directory));
  UMBRA_CHECK(note(issued, certificate_pem));
  UMBRA_CHECK(write_file(files.key, key_pem, 0600, Existing::kKeep));
  UMBRA_CHECK(write_file(files.certificate, certificate_pem, 0644, Existing::kKeep));
  return files;
}

Result<void> renew(const std::filesystem::path& ca_directory, const Files& files, std::chrono::hours validity) {
  UMBRA_TRY(const auto ca, load_ca(ca_directory));
  UMBRA_TRY(const auto old, x509::read_certificate(files.certificate));
  UMBRA_TRY(const auto key, x509::read_key(files.key));
  if (X509_check_private_key(old.get(), key.get()) != 1) {
    ERR_clear_error();
    return fail({Errc::kInvalid,
                 fmt::format("{} does not belong to {}", files.key.string(), files.certificate.string()),
                 "issue another with `umbractl pki issue`"});
  }
  // Another fleet's node must not become ours by renewal; that it expired is what renewal is for.
  if (X509_verify(old.get(), X509_get0_pubkey(ca.certificate.get())) != 1) {
    ERR_clear_error();
    return fail({Errc::kInvalid,
                 fmt::format("{} was not issued by the CA in {}", files.certificate.string(), ca_directory.string()),
                 "name the CA that issued it"});
  }
  UMBRA_TRY(const auto identity, x509::identity_of(*old));
  Subject subject{identity.role, identity.name};
  for (const auto& name : identity.alt_names) {
    if (name != identity.name) subject.alt_names.push_back(name);
  }
  UMBRA_TRY(auto issued, Register::open(ca_directory));  // held until it is noted: nobody revokes it meanwhile
  UMBRA_CHECK(check_not_revoked(issued, files.certificate.string(), *old));
  UMBRA_TRY(const auto pem, certify(ca, subject, *key, system_clock::now(), validity));
  UMBRA_CHECK(note(issued, pem));
  return write_file(files.certificate, pem, 0644, Existing::kReplace);
}

Result<std::string> show(const std::filesystem::path& file) {
  if (is_crl(file)) return show_crls(file);
  UMBRA_TRY(const auto certificate, x509::read_certificate(file));
  std::string text;
  if (const auto identity = x509::identity_of(*certificate)) {
    text += fmt::format("Name:        {}\nRole:        {}\n", identity->name, role_name(identity->role));
    for (const auto& name : identity->alt_names) text += fmt::format("Also:        {}\n", name);
  } else if (X509_check_ca(certificate.get()) > 0) {
    text += fmt::format("CA:          {}\n", x509::subject_of(*certificate));
  } else {
    text += fmt::format("Subject:     {} (no Umbra certificate)\n", x509::subject_of(*certificate));
  }
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  UMBRA_CHECK(must(X509_digest(certificate.get(), EVP_sha256(), digest, &size) == 1));
  text +=
      fmt::format("Valid from:  {}\nValid until: {}\nSHA-256:     ", x509::time_text(x509::not_before(*certificate)),
                  x509::time_text(x509::not_after(*certificate)));
  return text + hex({reinterpret_cast<const char*>(digest), size}) + '\n';
}

Result<Identity> verify(const std::filesystem::path& ca_certificate, const std::filesystem::path& file) {
  UMBRA_TRY(const auto trust, Trust::load(ca_certificate, {}));
  UMBRA_TRY(const auto certificate, x509::read_certificate(file));
  if (const auto issued = trust.check(*certificate); !issued) {
    return fail({Errc::kInvalid, fmt::format("{}: {}", file.string(), issued.error().message),
                 "renew it, or issue another with `umbractl pki issue`"});
  }
  return x509::identity_of(*certificate);
}

}  // namespace umbra::rpc::pki
