/// Certificates and keys: OpenSSL's handles as values that free themselves, and reading them with errors for people.
#pragma once

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <ctime>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "rpc/identity.hpp"

namespace umbra::rpc::x509 {

template <auto release>
struct Release {
  template <class T>
  void operator()(T* handle) const {
    release(handle);
  }
};
using Certificate = std::unique_ptr<X509, Release<X509_free>>;
using Crl = std::unique_ptr<X509_CRL, Release<X509_CRL_free>>;
using Key = std::unique_ptr<EVP_PKEY, Release<EVP_PKEY_free>>;
using Bio = std::unique_ptr<BIO, Release<BIO_free_all>>;

/// What a file holds, at most 1 MiB. @param what in words, for errors
/// @error kNotFound no such file; kInvalid cannot be read, or too large
Result<std::string> read_text(const std::filesystem::path& file, std::string_view what);

// The file is what errors name.
/// All certificates, at least one, of PEM text. @error kInvalid there is none, or one is damaged
Result<std::vector<Certificate>> parse_certificates(std::string_view pem, const std::filesystem::path& file);
/// All revocation lists, at least one, of PEM text. @error as above
Result<std::vector<Crl>> parse_crls(std::string_view pem, const std::filesystem::path& file);
/// @error kInvalid no key, or one that wants a passphrase
Result<Key> parse_key(std::string_view pem, const std::filesystem::path& file);

/// The first certificate of a PEM file. @error kNotFound no such file; kInvalid cannot be read or is no certificate
Result<Certificate> read_certificate(const std::filesystem::path& file);
/// An unencrypted private key. @error kNotFound no such file; kInvalid cannot be read, is no key, or wants a passphrase
Result<Key> read_key(const std::filesystem::path& file);

/// Name, role, further names and end of validity. @error kInvalid it has no umbra:// URI, one that contradicts its CN,
/// or further names that are no DNS names or addresses, or more than 64
Result<Identity> identity_of(X509& certificate);
/// Subject CN, or the whole subject if there is none; for messages, hence printable and cut.
std::string subject_of(const X509& certificate);
std::string issuer_of(const X509_CRL& list);
std::time_t revoked_since(const X509_REVOKED& entry);

/// SHA-256 of its public key, 32 octets: the same for all certificates of that key.
std::string key_digest(const X509& certificate);

std::time_t not_before(const X509& certificate);
std::time_t not_after(const X509& certificate);
std::time_t last_update(const X509_CRL& list);
std::optional<std::time_t> next_update(const X509_CRL& list);
/// "2026-01-31 12:00:00 UTC"
std::string time_text(std::time_t time);

/// One of OpenSSL's X509_V_ERR_ numbers in the words of this project: "certificate expired on …".
/// @param certificate the one complained of; may be null
std::string explain(int verify_error, const X509* certificate);

/// The oldest error of OpenSSL's queue, which is emptied.
std::string openssl_error();

}  // namespace umbra::rpc::x509
