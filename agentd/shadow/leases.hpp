/// The source's word, every few seconds, that it still keeps what it has on other hosts.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "agentd/shadow/context.hpp"
#include "base/signal.hpp"

namespace umbra::shadow {

/// One shadow of this host's, on `standby`.
struct Kept {
  v1::Node standby;
  v1::KeptShadow shadow;
};

/// Names to each standby all that this host keeps there (Standby.Renew). A standby drops what is not named; so one that
/// missed a Discard learns of it, and is told until it has answered once after the last shadow there is gone. What a
/// standby does not hold, and what could not be renewed for a lease's time, is lost.
/// Agent strand only; one renewal to each standby at a time, none waits for another's.
class Leases {
 public:
  struct Hooks {
    std::function<std::vector<Kept>()> kept;  ///< all of them, whatever their phase
    /// The shadow of that id is not there any more, or cannot be reached.
    std::function<void(const std::string& vm_uuid, const v1::ShadowId& id, std::string why)> lost;
  };

  Leases(asio::any_io_executor executor, Clock& clock, Peers& peers, const Journal& journal, SourceConfig config,
         Hooks hooks);

  /// Renews until stop().
  asio::awaitable<void> run();
  void stop();

 private:
  struct Standby {
    v1::Node node;
    Signal::TimePoint renewed{};  ///< when it answered last, or was named first
    bool owed = false;            ///< it may hold something that it does not know to be given up
    bool asking = false;
  };

  asio::awaitable<void> renew(std::shared_ptr<Standby> standby, v1::RenewRequest request);
  void take(Standby& standby, const v1::RenewRequest& request, const Result<v1::RenewReply>& reply);

  asio::any_io_executor executor_;
  Clock& clock_;
  Peers& peers_;
  const Journal& journal_;
  SourceConfig config_;
  Hooks hooks_;
  Signal changed_;
  std::map<std::string, std::shared_ptr<Standby>> standbys_;
  bool stopping_ = false;
};

}  // namespace umbra::shadow
