/// This node's credentials, checked when they are loaded and read again when their files change.
#pragma once

#include <boost/asio/ssl/context.hpp>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "rpc/identity.hpp"
#include "rpc/signers.hpp"
#include "rpc/trust.hpp"

namespace umbra::rpc {

/// PEM files.
struct TlsFiles {
  std::filesystem::path ca;  ///< certificates of the fleet's CAs; whoever one of them signed belongs to the fleet
  std::filesystem::path certificate;  ///< this node's certificate
  std::filesystem::path key;          ///< its private key, unencrypted
  std::filesystem::path crl{};        ///< revocation lists, one for each CA; empty: nothing is revoked
};

/// TLS 1.3 with certificates required from both ends. Cheap to copy: all copies share what `reload` changes, so that
/// whoever holds one has the newest credentials. Thread-safe.
class Tls {
 public:
  /// @param role the role this process acts in; ROLE_UNSPECIFIED accepts any
  /// @error kNotFound a file is missing; kInvalid unreadable, no PEM, expired, not signed by one of the CAs, revoked,
  ///   key and certificate do not belong together, or of another role. Every error names the file and the remedy.
  static Result<Tls> load(TlsFiles files, v1::Role role = v1::ROLE_UNSPECIFIED);

  /// Reads the files again, and from now on uses what they hold: for connections that are opened, warrants that are
  /// signed or verified. Open connections stay, except those whose peer is not believed any more.
  /// @return false: the files hold what they did
  /// @error as load; kConflict another name or role than before, or an older revocation list. What was in force stays.
  Result<bool> reload();
  /// `tell` is called after each reload that changed something, in its thread, until the returned handle is gone.
  [[nodiscard]] std::shared_ptr<const void> on_reload(std::function<void()> tell) const;

  Identity self() const;
  const TlsFiles& files() const;
  /// Key, certificate and CAs in force, for new connections and warrants. Connections that were made with an older one
  /// go on with it. To be held while anything of it is used, and not for longer.
  std::shared_ptr<boost::asio::ssl::context> context() const;

  /// Whose signatures count now, by the CAs and lists in force.
  std::shared_ptr<Signers> signers() const;

  /// Whether an open connection's peer may stay: signed by one of the CAs and not revoked. That its certificate expired
  /// meanwhile does not end a connection, it only lets no other begin. @error kDenied with the reason in words
  Result<void> check_peer(X509& certificate) const;
  /// What to change soon: certificate, CAs and lists near or past their dates. Empty when all is well.
  std::vector<std::string> warnings() const;
  /// When the first revocation list is over its date.
  std::optional<std::time_t> crl_next_update() const;

 private:
  struct Credentials;
  struct State;
  explicit Tls(std::shared_ptr<State> state) : state_(std::move(state)) {}
  std::shared_ptr<const Credentials> now() const;
  std::shared_ptr<State> state_;
};

}  // namespace umbra::rpc
