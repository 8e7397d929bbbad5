// Revocation lists for people.
#include <openssl/bn.h>

#include "rpc/pki.hpp"
#include "rpc/pki_register.hpp"
#include "rpc/x509.hpp"

namespace umbra::rpc::pki {
namespace {

using Integer = std::unique_ptr<ASN1_INTEGER, x509::Release<ASN1_INTEGER_free>>;
using Number = std::unique_ptr<BIGNUM, x509::Release<BN_free>>;
using OpenSslText = std::unique_ptr<char, x509::Release<[](char* text) { OPENSSL_free(text); }>>;

std::string number_of(const X509_CRL& list) {
  const Integer number(static_cast<ASN1_INTEGER*>(X509_CRL_get_ext_d2i(&list, NID_crl_number, nullptr, nullptr)));
  const Number value(number ? ASN1_INTEGER_to_BN(number.get(), nullptr) : nullptr);
  const OpenSslText text(value ? BN_bn2dec(value.get()) : nullptr);
  return text ? std::string(text.get()) : std::string{};
}

RevocationList describe(X509_CRL& list, const std::vector<IssuedRecord>& issued) {
  RevocationList described{x509::issuer_of(list), number_of(list), x509::last_update(list), x509::next_update(list)};
  auto* const entries = X509_CRL_get_REVOKED(&list);  // none: an empty list, which OpenSSL counts as -1
  for (int i = 0; i < sk_X509_REVOKED_num(entries); ++i) {
    const auto* each = sk_X509_REVOKED_value(entries, i);
    RevocationList::Entry entry{serial_text(*X509_REVOKED_get0_serialNumber(each)), x509::revoked_since(*each)};
    for (const auto& record : issued) {
      if (record.serial != entry.serial) continue;
      entry.name = record.name;
      entry.role = record.role;
    }
    described.revoked.push_back(std::move(entry));
  }
  return described;
}

/// A list that was copied elsewhere has no register beside it.
std::vector<IssuedRecord> register_beside(const std::filesystem::path& file) {
  const auto directory = file.has_parent_path() ? file.parent_path() : std::filesystem::path(".");
  const auto issued = Register::open(directory);
  return issued ? issued->records : std::vector<IssuedRecord>{};
}

}  // namespace

bool is_crl(const std::filesystem::path& file) {
  const auto text = x509::read_text(file, "certificate");
  return text && text->find("-----BEGIN X509 CRL-----") != std::string::npos &&
         text->find("-----BEGIN CERTIFICATE-----") == std::string::npos;
}

Result<std::vector<RevocationList>> read_crls(const std::filesystem::path& file) {
  UMBRA_TRY(const auto text, x509::read_text(file, "revocation list"));
  UMBRA_TRY(const auto lists, x509::parse_crls(text, file));
  const auto issued = register_beside(file);
  std::vector<RevocationList> described;
  described.reserve(lists.size());
  for (const auto& list : lists) described.push_back(describe(*list, issued));
  return described;
}

Result<std::string> show_crls(const std::filesystem::path& file) {
  UMBRA_TRY(const auto lists, read_crls(file));
  std::string text;
  for (const auto& list : lists) {
    text += fmt::format(
        "{}Revocation list of: {}\nNumber:      {}\nWritten:     {}\nNext update: {}\nRevoked:     {}\n",
        text.empty() ? "" : "\n", list.issuer, list.number.empty() ? "-" : list.number, x509::time_text(list.written),
        list.next_update ? x509::time_text(*list.next_update) : "-", list.revoked.size());
    for (const auto& entry : list.revoked)
      text += fmt::format("  {}  {}  {}\n", entry.serial, x509::time_text(entry.since),
                          entry.name.empty() ? "not in the register beside this file"
                                             : fmt::format("{} ({})", entry.name, role_name(entry.role)));
  }
  return text;
}

}  // namespace umbra::rpc::pki
