/// Tokens that were given to machines which are to join the fleet.
#pragma once

#include <optional>
#include <string>

#include "base/clock.hpp"
#include "base/sqlite.hpp"
#include "umbra/v1/options.pb.h"

namespace umbra::controller {

struct Invitation {
  std::string name;  ///< of the node to be
  v1::Role role = v1::ROLE_UNSPECIFIED;
  std::string zone;
  std::string secret;  ///< SHA-256 of the token's, hexadecimal
  UnixMillis until = 0;
  std::string key{};  ///< that it was used for; empty: it was not
};

/// Errors are sqlite::Database's.
class InvitationStore {
 public:
  explicit InvitationStore(sqlite::Database& database) : database_(database) {}

  /// Instead of one of the same name; removes what ended before `now`.
  Result<void> save(const Invitation& invitation, UnixMillis now);
  Result<std::optional<Invitation>> find(const std::string& secret);

 private:
  sqlite::Database& database_;
};

}  // namespace umbra::controller
