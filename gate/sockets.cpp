#include "gate/sockets.hpp"

#include <fcntl.h>
#include <linux/sockios.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <boost/asio/ip/address.hpp>
#include <cstring>
#include "base/listening.hpp"

namespace umbra::gate {
namespace {

using namespace std::chrono_literals;

constexpr int kBacklog = 64;
// A peer that is gone is known after five seconds: two of quiet, and three questions.
constexpr int kKeepaliveIdle = 2, kKeepaliveEvery = 1, kKeepaliveProbes = 3;
constexpr unsigned kSilentMs = 5'000;

Result<sockaddr_un> address_of(const std::filesystem::path& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.native().size() >= sizeof address.sun_path)
    return fail(
        {Errc::kInvalid, fmt::format("{}: too long for a socket's path", path.string()), "use a shorter directory"});
  std::memcpy(address.sun_path, path.c_str(), path.native().size());
  return address;
}

Descriptor make_socket(int family) {
  return Descriptor(::socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
}

void set_option(const Descriptor& socket, int level, int name, int value) {
  ::setsockopt(socket.get(), level, name, &value, sizeof value);
}

}  // namespace

Error system_error(Errc code, std::string_view doing) {
  return {code, fmt::format("{}: {}", doing, std::strerror(errno)), {}};
}

Result<Descriptor> listen_unix(const std::filesystem::path& path, bool for_owner_of_directory) {
  UMBRA_TRY(const auto address, address_of(path));
  struct stat directory {};
  if (::stat(path.parent_path().c_str(), &directory) != 0)
    return fail(system_error(Errc::kNotFound, path.parent_path().string()));
  auto socket = make_socket(AF_UNIX);
  if (!socket) return fail(system_error(Errc::kInternal, "a socket"));
  ::unlink(path.c_str());
  if (::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    return fail(system_error(Errc::kUnavailable, path.string()));
  if (::chmod(path.c_str(), 0600) != 0 ||
      (for_owner_of_directory && ::lchown(path.c_str(), directory.st_uid, directory.st_gid) != 0) ||
      ::listen(socket.get(), kBacklog) != 0)
    return fail(system_error(Errc::kUnavailable, path.string()));
  return socket;
}

Result<Descriptor> connect_unix(const std::filesystem::path& path) {
  UMBRA_TRY(const auto address, address_of(path));
  auto socket = make_socket(AF_UNIX);
  if (!socket) return fail(system_error(Errc::kInternal, "a socket"));
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    return fail(system_error(Errc::kUnavailable, path.string()));
  return socket;
}

bool is_left_behind(const std::filesystem::path& path) {
  const auto address = address_of(path);
  const auto socket = make_socket(AF_UNIX);
  return address && socket &&
         ::connect(socket.get(), reinterpret_cast<const sockaddr*>(&*address), sizeof *address) != 0 &&
         errno == ECONNREFUSED;
}

Result<Descriptor> accept(const Descriptor& listener) {
  Descriptor socket(::accept4(listener.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
  if (!socket) return fail(system_error(Errc::kUnavailable, "accepting a connection"));
  return socket;
}

Result<unsigned> user_of_peer(int socket) {
  ucred credentials{};
  socklen_t size = sizeof credentials;
  if (::getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0)
    return fail(system_error(Errc::kInternal, "SO_PEERCRED"));
  return credentials.uid;
}

Result<std::pair<Descriptor, std::string>> listen_tcp(const std::string& address, std::uint16_t first,
                                                      std::uint16_t last) {
  boost::system::error_code error;
  const auto ip = asio::ip::make_address(address, error);
  if (error) return fail(Errc::kInvalid, "'{}' is no address to listen on", address);
  for (unsigned port = first; port <= last; ++port) {
    const asio::ip::tcp::endpoint endpoint(ip, static_cast<std::uint16_t>(port));
    auto socket = make_socket(ip.is_v6() ? AF_INET6 : AF_INET);
    if (!socket) return fail(system_error(Errc::kInternal, "a socket"));
    set_option(socket, SOL_SOCKET, SO_REUSEADDR, 1);
    if (::bind(socket.get(), endpoint.data(), static_cast<socklen_t>(endpoint.size())) == 0 &&
        ::listen(socket.get(), kBacklog) == 0)
      return std::pair(std::move(socket), fmt::format(fmt::runtime(ip.is_v6() ? "[{}]:{}" : "{}:{}"), address, port));
    if (errno != EADDRINUSE)
      return fail(with_remedy(system_error(Errc::kInvalid, fmt::format("listening on {}:{}", address, port)),
                              "correct [migration] address"));
  }
  return fail({Errc::kExhausted, fmt::format("no free port for migrations between {} and {}", first, last),
               "widen [migration] port_first … port_last, or end what else listens there"});
}

Result<Descriptor> connect_tcp(const std::string& text, std::chrono::milliseconds deadline) {
  UMBRA_TRY(const auto endpoint, parse_endpoint(text));
  auto socket = make_socket(endpoint.address().is_v6() ? AF_INET6 : AF_INET);
  if (!socket) return fail(system_error(Errc::kInternal, "a socket"));
  if (::connect(socket.get(), endpoint.data(), static_cast<socklen_t>(endpoint.size())) == 0) return socket;
  if (errno != EINPROGRESS) return fail(system_error(Errc::kUnavailable, text));
  if (!wait_for(socket.get(), POLLOUT, deadline))
    return fail(Errc::kUnavailable, "{}: no answer within {} ms", text, deadline.count());
  int error = 0;
  socklen_t size = sizeof error;
  ::getsockopt(socket.get(), SOL_SOCKET, SO_ERROR, &error, &size);
  if (error == 0) return socket;
  return fail(Errc::kUnavailable, "{}: {}", text, std::strerror(error));
}

void prepare_tcp(const Descriptor& socket) {
  set_option(socket, IPPROTO_TCP, TCP_NODELAY, 1);
  set_option(socket, SOL_SOCKET, SO_KEEPALIVE, 1);
  set_option(socket, IPPROTO_TCP, TCP_KEEPIDLE, kKeepaliveIdle);
  set_option(socket, IPPROTO_TCP, TCP_KEEPINTVL, kKeepaliveEvery);
  set_option(socket, IPPROTO_TCP, TCP_KEEPCNT, kKeepaliveProbes);
}

/// TCP's own user timeout would also end the stream to a QEMU that does not read for a while, though its host answers.
TcpHealth health_of(const Descriptor& socket) {
  tcp_info info{};
  socklen_t size = sizeof info;
  if (::getsockopt(socket.get(), IPPROTO_TCP, TCP_INFO, &info, &size) != 0) return {};
  const bool owes = info.tcpi_unacked > 0 || info.tcpi_probes > 0;
  return {std::chrono::microseconds(info.tcpi_rtt), owes && info.tcpi_last_ack_recv >= kSilentMs};
}

std::uint64_t unacknowledged(const Descriptor& socket) {
  int bytes = 0;
  return ::ioctl(socket.get(), SIOCOUTQ, &bytes) == 0 && bytes > 0 ? static_cast<std::uint64_t>(bytes) : 0;
}

bool wait_for(int descriptor, short events, std::chrono::milliseconds deadline) {
  const auto end = std::chrono::steady_clock::now() + deadline;
  pollfd waited{descriptor, events, 0};
  for (;;) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(end - std::chrono::steady_clock::now());
    const int ready = ::poll(&waited, 1, static_cast<int>(std::max<std::int64_t>(left.count(), 0)));
    if (ready > 0) return true;
    if (ready == 0 || errno != EINTR) return false;
  }
}

}  // namespace umbra::gate
