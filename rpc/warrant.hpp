/// Statements that the controller signs and other nodes act upon (proto/umbra/v1/warrant.proto): how they are signed,
/// and how one tells that they are genuine. What they mean is for those to judge who act.
#pragma once

#include <optional>

#include "base/clock.hpp"
#include "rpc/tls.hpp"
#include "umbra/v1/warrant.pb.h"

namespace umbra::rpc::warrant {

/// Of each part, in bytes. A statement names every router of the fleet.
inline constexpr std::size_t kMostStatement = 512 * 1024, kMostSignature = 2 * 1024, kMostCertificate = 16 * 1024;
/// By how much the clocks of two nodes may differ without any harm.
inline constexpr std::chrono::minutes kClockSkew{5};

/// Signs with this node's key, whatever its role: who checks it believes a controller's certificate alone. Fills in
/// `serial` and `fleet`. A few tens of microseconds.
/// @error kInvalid too long, or the key cannot sign
Result<v1::Warrant> sign(const Tls& tls, v1::WarrantStatement statement);

/// The statement, when a controller of this fleet has signed just these bytes. Says nothing of the statement's own
/// times. A hundred microseconds, and some more for a controller that is not known yet.
/// @param now the certificate must be valid then; without, its time does not count, as for what was begun in time
/// @error kDenied no warrant, or not a genuine one, with the reason
Result<v1::WarrantStatement> open(const Tls& tls, const v1::Warrant& warrant, std::optional<UnixMillis> now);

/// SHA-256 over all three parts: two warrants of one fingerprint are the same.
std::string fingerprint(const v1::Warrant& warrant);

}  // namespace umbra::rpc::warrant
