/// Certificates and keys: OpenSSL's handles as values that free themselves, and reading them with errors for people.
#pragma once

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <ctime>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

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
using Key = std::unique_ptr<EVP_PKEY, Release<EVP_PKEY_free>>;
using Bio = std::unique_ptr<BIO, Release<BIO_free_all>>;

/// The first certificate of a PEM file. @error kNotFound no such file; kInvalid cannot be read or is no certificate
Result<Certificate> read_certificate(const std::filesystem::path& file);
/// An unencrypted private key. @error kNotFound no such file; kInvalid cannot be read, is no key, or wants a passphrase
Result<Key> read_key(const std::filesystem::path& file);

/// Name, role and further names. @error kInvalid it has no umbra:// URI, or one that contradicts its CN
Result<Identity> identity_of(X509& certificate);
/// Subject CN, or the whole subject if there is none; for messages.
std::string subject_of(const X509& certificate);

std::time_t not_before(const X509& certificate);
std::time_t not_after(const X509& certificate);
/// "2026-01-31 12:00:00 UTC"
std::string time_text(std::time_t time);

/// Checks signature, time and basic constraints of a leaf against the CA.
/// @error kInvalid with the reason in words (`explain`)
Result<void> check_issued_by(X509& certificate, X509& ca);
/// One of OpenSSL's X509_V_ERR_ numbers in the words of this project: "certificate expired on …".
/// @param certificate the one complained of; may be null
std::string explain(int verify_error, const X509* certificate);

/// The oldest error of OpenSSL's queue, which is emptied.
std::string openssl_error();

}  // namespace umbra::rpc::x509
