/// Certificates for keys that stay where they were made (PKCS #10): a node asks, who has a CA's key answers.
/// Synchronous; any thread.
#pragma once

#include "rpc/pki.hpp"

namespace umbra::rpc::pki {

/// How long what a controller signs is valid; renewed when half of it is left.
inline constexpr std::chrono::hours kEnrolledValidity = std::chrono::days(90);
/// A request is a kilobyte.
inline constexpr std::size_t kMostRequest = 16 * 1024;

/// A new private key, unencrypted PEM.
Result<std::string> make_key();
/// Asks for a certificate of that key. @return PEM @error kInvalid no key
Result<std::string> make_request(std::string_view key_pem);
/// SHA-256 of the public key of a request that its owner signed, hexadecimal. @error kInvalid it is none
Result<std::string> key_of_request(std::string_view request_pem);

/// Certifies the key of a request. What the subject is, the signer says: names in the request do not count.
/// @return PEM
/// @error kInvalid no request, or not signed with its key, or no P-256 key; kConflict a certificate of this key was
/// revoked; the CA's files
Result<std::string> certify_request(const std::filesystem::path& ca_directory, std::string_view request_pem,
                                    const Subject& subject, std::chrono::hours validity = kEnrolledValidity);

}  // namespace umbra::rpc::pki
