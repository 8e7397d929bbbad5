/// A machine's first certificate: what its token says, and the one question that is answered without a certificate.
/// The token holds a secret that the controller knows, and the controller's key: so neither end speaks to a stranger.
#pragma once

#include <functional>
#include <memory>

#include "rpc/tls.hpp"
#include "rpc/transport.hpp"
#include "umbra/v1/enrolment.pb.h"

namespace umbra::rpc {

/// What `umbractl invite` prints, 64 characters of base64url.
struct Token {
  static constexpr std::size_t kSecret = 16, kPin = 32;
  std::string secret;  ///< random
  std::string pin;     ///< SHA-256 of the controller's public key

  /// With a new secret. @error kInternal no randomness
  static Result<Token> make(const Tls& controller);
  /// @error kInvalid cut off, or no token
  static Result<Token> parse(std::string_view text);
  std::string text() const;
};

/// Answers newcomers at a port of its own. Its executor's thread only.
class EnrolmentDoor {
 public:
  /// An error is told to the newcomer.
  using Answer = std::function<Result<v1::EnrolReply>(const v1::EnrolRequest&, const std::string& address)>;
  static constexpr std::size_t kMostAtOnce = 16;

  /// @param endpoint "address:port" @error kInvalid, kUnavailable it cannot be listened on
  static Result<std::unique_ptr<EnrolmentDoor>> listen(asio::any_io_executor executor, const std::string& endpoint,
                                                       Tls tls, Answer answer);
  ~EnrolmentDoor();
  std::uint16_t port() const;

 private:
  struct State;
  explicit EnrolmentDoor(std::shared_ptr<State> state);
  std::shared_ptr<State> state_;
};

struct Enrolled {
  v1::EnrolReply reply;
  std::string address;  ///< this machine's own, as the controller is reached from it
};
/// Asks once.
/// @param address "host:port" of the controller's door
/// @error kDenied it is another controller than the token's, or it refuses; kUnavailable, kTimeout, kInvalid
Task<Enrolled> enrol(asio::any_io_executor executor, std::string address, Token token, std::string request,
                     Deadline deadline);

}  // namespace umbra::rpc
