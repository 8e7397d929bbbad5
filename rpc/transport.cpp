#include "rpc/transport.hpp"

#include "base/listening.hpp"
#include "rpc/dialer.hpp"
#include "rpc/server.hpp"

namespace umbra::rpc {

std::unique_ptr<Link> TlsTransport::dial(std::string address, Expect expect, Services services, DialerHooks hooks) {
  return std::make_unique<Dialer>(executor_, std::move(address), tls_, std::move(expect), std::move(services),
                                  std::move(hooks));
}

Result<std::unique_ptr<Door>> TlsTransport::listen(std::string address, Services services, ServerHooks hooks) {
  UMBRA_TRY(const auto endpoint, parse_endpoint(address));
  UMBRA_TRY(auto server, Server::listen(executor_, endpoint, tls_, std::move(services), std::move(hooks)));
  return server;
}

}  // namespace umbra::rpc
