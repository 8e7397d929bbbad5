/// The sockets that a gate has: QEMU's, the other host's, its own.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>

#include "base/descriptor.hpp"
#include "base/result.hpp"

namespace umbra::gate {

// All sockets are non-blocking and close-on-exec.

/// Whoever owns the directory – that is the user that libvirt runs this QEMU as – may connect, and root.
/// A socket that is there already is taken away first. @error kInvalid the path is too long; kNotFound no such
/// directory
Result<Descriptor> listen_unix(const std::filesystem::path& path, bool for_owner_of_directory);
/// @error kUnavailable nobody listens there
Result<Descriptor> connect_unix(const std::filesystem::path& path);
/// Whoever listened on this socket is gone, for certain.
bool is_left_behind(const std::filesystem::path& path);
/// @error kUnavailable
Result<Descriptor> accept(const Descriptor& listener);
/// The user at the other end of a unix socket. @error kInternal
Result<unsigned> user_of_peer(int socket);

/// Listens on the first port of the range that nobody has. @return the listener, and "address:port"
/// @error kInvalid the address; kExhausted all ports are in use
Result<std::pair<Descriptor, std::string>> listen_tcp(const std::string& address, std::uint16_t first,
                                                      std::uint16_t last);
/// @param endpoint "10.0.0.2:49300" or "[fd00::2]:49300"
/// @error kInvalid; kUnavailable refused, unreachable, or no answer in time
Result<Descriptor> connect_tcp(const std::string& endpoint, std::chrono::milliseconds deadline);

/// Small messages go at once; a peer from which nothing is heard is given up within five seconds.
void prepare_tcp(const Descriptor& socket);
/// What TCP knows: the round trip, and whether the peer has been silent for too long while it owed an answer.
struct TcpHealth {
  std::chrono::microseconds round_trip{};
  bool dead = false;
};
TcpHealth health_of(const Descriptor& socket);
/// Bytes of TCP's that its peer has not acknowledged.
std::uint64_t unacknowledged(const Descriptor& socket);

/// Waits until it can be read, or written. @return whether it can, in time
bool wait_for(int descriptor, short events, std::chrono::milliseconds deadline);

/// "while doing this: what errno says"
Error system_error(Errc code, std::string_view doing);

}  // namespace umbra::gate
