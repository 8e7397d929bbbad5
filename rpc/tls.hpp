/// This node's credentials, checked when they are loaded, and what goes wrong between two nodes' credentials in words.
#pragma once

#include <boost/asio/ssl/context.hpp>
#include <filesystem>
#include <memory>
#include <string>

#include "rpc/identity.hpp"

namespace umbra::rpc {

/// PEM files.
struct TlsFiles {
  std::filesystem::path ca;           ///< the fleet CA's certificate; whoever it signed belongs to the fleet
  std::filesystem::path certificate;  ///< this node's certificate
  std::filesystem::path key;          ///< its private key, unencrypted
};

/// TLS 1.3 with certificates required from both ends. Cheap to copy; the files are read once, by `load`.
/// Thread-safe once loaded.
class Tls {
 public:
  /// @param role the role this process acts in; ROLE_UNSPECIFIED accepts any
  /// @error kNotFound a file is missing; kInvalid unreadable, no PEM, expired, not signed by the CA, key and
  /// certificate do not
  ///   belong together, or of another role. Every error names the file and the remedy.
  static Result<Tls> load(TlsFiles files, v1::Role role = v1::ROLE_UNSPECIFIED);

  const Identity& self() const;
  const TlsFiles& files() const;
  boost::asio::ssl::context& context() const;

 private:
  struct State;
  explicit Tls(std::shared_ptr<State> state) : state_(std::move(state)) {}
  std::shared_ptr<State> state_;
};

}  // namespace umbra::rpc
