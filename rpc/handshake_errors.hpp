/// Why a TLS handshake failed, in words that lead to the remedy.
#pragma once

#include <boost/asio/ssl/verify_context.hpp>
#include <boost/system/error_code.hpp>
#include <string>

#include "rpc/tls.hpp"

namespace umbra::rpc {

/// What our side of the handshake held against the peer's certificate; filled in while OpenSSL verifies it.
struct Objection {
  std::string subject;  ///< empty: none
  std::string reason;

  /// To be called from the stream's verify callback.
  void note(boost::asio::ssl::verify_context& context);
};

/// @param code what the handshake, or the first read after it, ended with. (In TLS 1.3 the client learns only then what
/// the
///   server thinks of its certificate.)
/// @error kDenied a certificate was refused; kUnavailable anything else
Error explain_handshake(const boost::system::error_code& code, const Objection& objection, const std::string& address,
                        const Tls& tls);

}  // namespace umbra::rpc
