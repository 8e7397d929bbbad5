/// The CA of a directory, loaded to sign with, and what it signs. Private to the files of pki.
#pragma once

#include <chrono>
#include <filesystem>

#include "rpc/pki.hpp"
#include "rpc/pki_register.hpp"
#include "rpc/x509.hpp"

namespace umbra::rpc::pki {

/// Taken off the beginning of validity, for clocks that differ.
inline constexpr std::chrono::minutes kClockSkew{5};

struct Ca {
  x509::Certificate certificate;
  x509::Key key;
};

/// @error kNotFound, kInvalid
Result<Ca> load_ca(const std::filesystem::path& directory);

/// OpenSSL fails in here only for want of memory or entropy, so one test at the end is enough for callers.
Result<void> must(bool done);

Result<x509::Key> new_key();
Result<std::string> pem_of(const X509& certificate);
Result<std::string> pem_of(const EVP_PKEY& key);

/// A certificate without names and extensions.
Result<x509::Certificate> blank(EVP_PKEY& key, std::chrono::system_clock::time_point from, std::chrono::hours validity);
Result<void> add_name(X509_NAME& name, int field, std::string_view text);
Result<void> add_extension(X509& certificate, X509& issuer, int kind, const char* value);

/// @error kInvalid no role, or names that are none
Result<void> check_subject(const Subject& subject);
/// A node's certificate, as PEM.
Result<std::string> certify(const Ca& ca, const Subject& subject, EVP_PKEY& key,
                            std::chrono::system_clock::time_point from, std::chrono::hours validity);
/// Whoever was shut out stays so: what was revoked is not extended, nor any other certificate of its key.
/// @param what the certificate, in words @error kConflict it was revoked
Result<void> check_not_revoked(const Register& issued, const std::string& what, X509& certificate);
/// Notes in the CA's register what was certified, before anyone can hold it.
Result<void> note(Register& issued, const std::string& pem);

}  // namespace umbra::rpc::pki
