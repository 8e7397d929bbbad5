/// When the fleet's certificates expire: told in time, and shown by doctor.
#pragma once

#include <map>

#include "controller/inventory/inventory.hpp"
#include "rpc/tls_keeper.hpp"

namespace umbra::controller {

/// Knows the certificates of nodes, which report them, of the controller, and of people who called since its start.
/// Each that expires within 30 days is told once a day; within a week, or over, as an alert.
/// Controller's thread only.
class Certificates {
 public:
  Certificates(Inventory& inventory, EventLog& events, Clock& clock, asio::any_io_executor executor, rpc::Tls tls);

  /// A session of somebody was opened.
  void saw(const rpc::Identity& peer);
  /// Tells what is due. run() does it every ten minutes until cancelled.
  void tell();
  asio::awaitable<void> run();
  /// Reads the controller's own again, now or for as long as it runs.
  rpc::TlsKeeper& own() { return own_; }

  /// For doctor.
  std::vector<v1::Check> checks() const;

 private:
  struct Held {
    std::string owner;  ///< "controller", a node's or a person's name
    bool is_node = false;
    UnixMillis not_after = 0;
  };
  struct Told {
    UnixMillis at = 0;
    bool alert = false;
  };
  static constexpr std::size_t kMostPeople = 1'000;
  std::vector<Held> all() const;

  Inventory& inventory_;
  EventLog& events_;
  Clock& clock_;
  rpc::Tls tls_;
  rpc::TlsKeeper own_;
  Signal beat_;
  std::map<std::string, UnixMillis> people_;  ///< name → not after
  std::map<std::string, Told> told_;
};

}  // namespace umbra::controller
