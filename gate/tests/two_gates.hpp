/// Two gates in one process, with real sockets and TLS between them, and this test as both QEMUs.
#pragma once

#include <poll.h>
#include <sys/socket.h>

#include <boost/asio/io_context.hpp>

#include "base/temporary_directory.hpp"
#include "gate/gate.hpp"
#include "rpc/fakes/test_fleet.hpp"
#include "rpc/warrant.hpp"

namespace umbra::gate::test {

using namespace std::chrono_literals;

template <class T>
T must(Result<T> result) {
  if (!result) throw std::runtime_error(result.error().text());
  return std::move(*result);
}
inline void must(const Result<void>& done) {
  if (!done) throw std::runtime_error(done.error().text());
}

inline const std::string kVm = "11111111-2222-3333-4444-555555555501";

class TwoGates {
 public:
  TwoGates() {
    listener = must(listen_unix(path("standby.sock"), false));
    statement.set_kind(v1::WARRANT_KIND_SHADOW);
    statement.set_vm_uuid(kVm);
    statement.set_source("host1");
    statement.set_standby("host2");
    statement.add_acts(v1::WARRANT_ACT_STAGE);
    statement.set_not_after_unix_ms(SystemClock().unix_ms() + 3'600'000);
  }

  std::string path(const std::string& name) const { return (directory.path() / name).string(); }

  v1::GateTask task(v1::GateSide side, const rpc::TlsFiles& files) const {
    v1::GateTask task;
    task.set_side(side);
    task.set_vm_uuid(kVm);
    task.mutable_id()->set_journal("j");
    task.mutable_id()->set_number(3);
    task.set_ca(files.ca);
    task.set_certificate(files.certificate);
    task.set_key(files.key);
    return task;
  }
  v1::GateTask standby_task() const {
    auto given = task(v1::GATE_SIDE_STANDBY, host2);
    given.set_socket(path("standby.sock"));
    given.set_address("127.0.0.1");
    given.set_port_first(49700);
    given.set_port_last(49799);
    given.set_source("host1");
    return given;
  }
  v1::GateTask source_task() const {
    auto given = task(v1::GATE_SIDE_SOURCE, host1);
    given.set_socket(path("source.sock"));
    given.set_endpoint(standby.status().endpoint());
    given.set_standby("host2");
    *given.mutable_warrant() = must(rpc::warrant::sign(controller, statement));
    return given;
  }
  void begin(bool plain = false) {
    must(standby.begin(standby_task()));
    auto given = source_task();
    given.set_plain(plain);
    must(source.begin(given));
  }

  /// The source's QEMU connects, and the standby's is connected to.
  struct Ends {
    Descriptor source, standby;
  };
  Ends connect() {
    Ends ends;
    ends.source = must(connect_unix(path("source.sock")));
    if (!until([&] { return wait_for(listener.get(), POLLIN, 0ms); })) throw std::runtime_error("nobody comes");
    ends.standby = must(accept(listener));
    return ends;
  }

  template <class Condition>
  bool until(Condition condition, std::chrono::milliseconds limit = 10s) {
    const auto end = std::chrono::steady_clock::now() + limit;
    while (!condition()) {
      if (std::chrono::steady_clock::now() >= end) return false;
      io.restart();
      io.run_for(5ms);
    }
    return true;
  }

  /// Sends all of it, and reads what comes out at the other end, until so much has come or the end.
  std::string carry(const Descriptor& from, const Descriptor& to, const std::string& bytes) {
    std::string came;
    std::size_t sent = 0;
    std::string chunk(1 << 16, '\0');
    until(
        [&] {
          while (sent < bytes.size()) {
            const auto put = ::send(from.get(), bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL);
            if (put <= 0) break;
            sent += static_cast<std::size_t>(put);
          }
          for (;;) {
            const auto got = ::recv(to.get(), chunk.data(), chunk.size(), 0);
            if (got <= 0) break;
            came.append(chunk, 0, static_cast<std::size_t>(got));
          }
          return came.size() >= bytes.size();
        },
        30s);
    return came;
  }
  /// Has the other side closed?
  bool ended(const Descriptor& socket, std::chrono::milliseconds limit = 10s) {
    char byte = 0;
    return until([&] { return ::recv(socket.get(), &byte, 1, MSG_DONTWAIT) == 0 || errno == ECONNRESET; }, limit);
  }

  rpc::TestFleet fleet;
  TemporaryDirectory directory = must(TemporaryDirectory::make("umbra-gate-"));
  rpc::TlsFiles host1 = fleet.issue({v1::ROLE_AGENT, "host1", {}}), host2 = fleet.issue({v1::ROLE_AGENT, "host2", {}});
  rpc::Tls controller = fleet.node(v1::ROLE_CONTROLLER, "controller");
  v1::WarrantStatement statement;
  Descriptor listener;
  SystemClock clock;
  asio::io_context io;
  int source_ends = 0, standby_ends = 0;
  Gate standby{io.get_executor(), clock, {[] {}, [this] { ++standby_ends; }}};
  Gate source{io.get_executor(), clock, {[] {}, [this] { ++source_ends; }}};
};

}  // namespace umbra::gate::test
