/// The session with the controller.
#pragma once

#include <functional>
#include <memory>

#include "base/signal.hpp"
#include "rpc/transport.hpp"
#include "umbra/v1/controller.rpc.hpp"

namespace umbra::agent {

/// Registers, reports at every heartbeat and whenever it is nudged, and dials again when the controller goes away.
/// Agent strand only.
class RegistryLink {
 public:
  struct Hooks {
    std::function<v1::RegisterRequest()> introduce;
    std::function<void(const v1::RegisterReply&)> introduced;
    std::function<v1::WhoseVmsRequest()> question;  ///< asked once registered, unless it is empty
    std::function<void(const v1::WhoseVmsReply&)> answered;
    std::function<v1::ReportRequest()> report;
    std::function<void(const v1::ReportRequest&, const v1::ReportReply&)> delivered;
  };

  /// @param services what the controller may call over the session
  RegistryLink(asio::any_io_executor executor, Clock& clock, rpc::Transport& transport, std::string endpoint,
               std::string controller, rpc::Services services, Hooks hooks);

  asio::awaitable<void> run();
  void stop();
  /// News: report soon.
  void nudge();
  /// @error kUnavailable there is none now
  Result<std::shared_ptr<rpc::Session>> session() const { return link_->session(); }
  bool registered() const { return registered_; }

 private:
  Task<void> serve(std::shared_ptr<rpc::Session> session);

  Clock& clock_;
  Signal changed_;
  Hooks hooks_;
  bool nudged_ = false;
  bool registered_ = false;
  bool stopping_ = false;
  std::unique_ptr<rpc::Link> link_;
};

}  // namespace umbra::agent
