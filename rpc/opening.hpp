/// The first moments of a connection: TLS handshake, who is it, and one Hello frame in each direction.
#pragma once

#include "rpc/connection.hpp"
#include "rpc/tls.hpp"
#include "rpc/x509.hpp"

namespace umbra::rpc {

struct Opened {
  std::unique_ptr<TlsStream> stream;
  Identity peer;
  x509::Certificate certificate;  ///< the peer's
  Tls tls;                        ///< ours
};

/// Runs on the socket's executor. On failure the peer has been told the reason, as far as it could be.
/// @param address the peer's "address:port" as the operator knows it, for errors
/// @error kDenied a certificate was refused, by us or by the peer, or it is not the expected node; kTimeout;
/// kUnavailable the
///   peer hung up or is no Umbra node; kUnsupported it speaks another version of the protocol
Task<Opened> open(asio::ip::tcp::socket socket, asio::ssl::stream_base::handshake_type side, std::string address,
                  Tls tls, Expect expect, Deadline deadline);

}  // namespace umbra::rpc
