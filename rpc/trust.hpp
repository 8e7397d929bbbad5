/// Whom this node believes: who was certified by one of its CAs and is not on their revocation lists.
#pragma once

#include <chrono>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "rpc/x509.hpp"

namespace umbra::rpc {

/// Before a certificate or CA expires for so long it is told; a revocation list, once it is over its date.
inline constexpr std::chrono::days kExpiresSoon{30};
inline constexpr std::chrono::days kExpiresNow{7};

/// The CAs of a bundle, and the newest list of each of them. Immutable, cheap to copy, thread-safe.
///
/// A revocation list past its date goes on to revoke whom it names and lets in the others: a fleet whose list nobody
/// renewed must not fall apart on that day. It is told instead (`warnings`). A list that is missing or damaged is an
/// error: without it a node would believe whom it should not.
class Trust {
 public:
  /// @param ca PEM, one to 16 CAs: several while the fleet changes from one to another
  /// @param crl PEM, one list for each CA; empty: nothing is revoked
  /// @error kNotFound, kInvalid with file and remedy; a CA without its list; a list that no CA of these signed
  static Result<Trust> load(const std::filesystem::path& ca, const std::filesystem::path& crl);
  /// The same of what those files hold; the paths are for errors.
  static Result<Trust> parse(std::string_view ca_pem, const std::filesystem::path& ca, std::string_view crl_pem,
                             const std::filesystem::path& crl);

  enum class Times : std::uint8_t { kCount, kAreIgnored };
  /// Signature, basic constraints, revocation and, if they count, the dates of a leaf.
  /// @error kInvalid with the reason in words (`x509::explain`)
  Result<void> check(X509& certificate, Times times = Times::kCount) const;

  /// What to change soon, each with its remedy in words. Empty when all is well.
  std::vector<std::string> warnings(std::time_t now) const;
  /// When the first of the lists is over its date; nothing without lists, or if they have none.
  std::optional<std::time_t> next_update() const;
  /// Whether a list here is older than one of the same CA there. @error kConflict
  Result<void> check_not_older_than(const Trust& before) const;

  /// For OpenSSL's own handshakes, which have to accept what `tolerates` says.
  X509_STORE* store() const;
  static bool tolerates(int verify_error);

 private:
  struct State;
  explicit Trust(std::shared_ptr<const State> state) : state_(std::move(state)) {}
  std::shared_ptr<const State> state_;
};

}  // namespace umbra::rpc
