/// Whose signatures a node believes.
#pragma once

#include <map>
#include <mutex>

#include "base/clock.hpp"
#include "rpc/trust.hpp"

namespace umbra::rpc {

/// A certificate that one of the fleet's CAs stands behind.
struct Signer {
  x509::Certificate certificate;
  Identity identity;
  std::string fleet;                ///< SHA-256 of the public key of that CA
  std::time_t from = 0, until = 0;  ///< when all certificates up to the CA's are valid
};

/// Certificates are checked against one set of CAs and revocation lists, each once: what they say does not change, and
/// other CAs or lists begin with other signers. Thread-safe.
class Signers {
 public:
  explicit Signers(Trust trust) : trust_(std::move(trust)) {}

  /// @param der of a certificate @param now it must be valid then; without, its time does not count
  /// @error kDenied it cannot be read, is of another fleet, revoked, or out of its time
  Result<std::shared_ptr<const Signer>> find(const std::string& der, std::optional<UnixMillis> now);

 private:
  const Trust trust_;
  std::mutex mutex_;
  std::map<std::string, std::shared_ptr<const Signer>> known_;  ///< by DER
};

}  // namespace umbra::rpc
