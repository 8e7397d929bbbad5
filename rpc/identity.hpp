/// Who a peer is. The certificate says it: subject CN is the node's name, a SAN URI `umbra://<role>/<name>` gives the
/// role.
#pragma once

#include <ctime>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "umbra/v1/options.pb.h"

namespace umbra::rpc {

struct Identity {
  std::string name;  ///< subject CN
  v1::Role role = v1::ROLE_UNSPECIFIED;
  std::vector<std::string> alt_names{};  ///< further names and addresses (SAN DNS and IP), as text
  std::time_t not_after = 0;             ///< when its certificate expires

  /// True for the name and the further names; case does not matter.
  bool answers_to(std::string_view asked) const;
};

/// Whom a connection must lead to. An empty name means anyone with the role, ROLE_UNSPECIFIED means any role.
/// (A constructor, because GCC 12 miscompiles a temporary aggregate among the arguments of a co_await.)
struct Expect {
  explicit Expect(std::string expected_name = {}, v1::Role expected_role = v1::ROLE_UNSPECIFIED)
      : name(std::move(expected_name)), role(expected_role) {}

  std::string name;
  v1::Role role;
};

/// "controller", "agent", "edge", "admin", "viewer"; "unspecified" for anything else.
std::string_view role_name(v1::Role role);
/// @error kInvalid
Result<v1::Role> parse_role(std::string_view text);

/// Names become file names, metric labels and parts of URIs, hence: 1–63 of a–z A–Z 0–9 . _ -, not starting with . or
/// -.
/// @error kInvalid
Result<void> check_name(std::string_view name);

/// A DNS name: 1–253 of a–z A–Z 0–9 . _ - *. @error kInvalid
Result<void> check_alt_name(std::string_view name);

/// "umbra://agent/host1"
std::string identity_uri(v1::Role role, std::string_view name);
/// The reverse; the rest stays empty. @error kInvalid
Result<Identity> parse_identity_uri(std::string_view uri);

}  // namespace umbra::rpc
