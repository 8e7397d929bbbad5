/// What other nodes may ask of this one: the one place where their requests are held against the controller's word.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>

#include "base/clock.hpp"
#include "base/epoch.hpp"
#include "rpc/service.hpp"
#include "rpc/tls.hpp"
#include "umbra/v1/agent.pb.h"

namespace umbra::agent {

/// Each allow() says whether that caller may ask just that of this node. The warrant must be genuine, name the VM, this
/// node in its part, the caller as the source, the act, and the epoch; and what the request says must be what it says.
/// Its end limits the beginning alone – KeepShadow, Stage, Cutover, Accept, and the first Point of an epoch –, so that
/// an epoch which was accepted or promised can be settled however long that takes.
///
/// Agent strand only. @error kDenied, with what does not fit and the remedy
class Warrants {
 public:
  /// Told of denied requests: at most one in `kQuiet`, with the number of those that went unsaid.
  using Denied = std::function<void(const std::string& what)>;
  static constexpr std::chrono::seconds kQuiet{10};

  /// @param node this node's name. `clock` outlives this.
  Warrants(rpc::Tls tls, std::string node, Clock& clock, Denied denied)
      : tls_(std::move(tls)), node_(std::move(node)), clock_(clock), denied_(std::move(denied)) {}

  // Of the controller, to the source.
  Result<void> allow(const rpc::Caller& caller, const v1::KeepShadowRequest& request);
  /// @param addresses the VM's now: what of them the warrant does not name could not be pointed
  Result<void> allow(const rpc::Caller& caller, const v1::CutoverRequest& request,
                     const google::protobuf::RepeatedPtrField<std::string>& addresses);
  // Of the source, to the standby.
  /// @param served the newest epoch in which the VM ran on this host: a warrant from before is of another owner
  Result<void> allow(const rpc::Caller& caller, const v1::StageRequest& request, std::uint64_t served);
  Result<void> allow(const rpc::Caller& caller, const v1::AcceptRequest& request);
  Result<void> allow(const rpc::Caller& caller, const v1::ReleasedRequest& request);
  Result<void> allow(const rpc::Caller& caller, const v1::RefuseRequest& request);
  Result<void> allow(const rpc::Caller& caller, const v1::AmendRequest& request);
  Result<void> allow(const rpc::Caller& caller, const v1::InspectRequest& request);
  Result<void> allow(const rpc::Caller& caller, const v1::DiscardRequest& request);
  // Of the source, to the standby and the routers. The controller speaks for itself.
  Result<void> allow(const rpc::Caller& caller, const v1::PointRequest& request);
  Result<void> allow(const rpc::Caller& caller, const v1::UnpointRequest& request);
  /// Epochs alone: the call is the controller's.
  Result<void> allow(const rpc::Caller& caller, const v1::ReconcileRequest& request);

  /// How many requests were denied since the start.
  std::uint64_t denied() const { return denials_; }

 private:
  struct Asked {
    v1::WarrantAct act;
    const std::string& vm_uuid;
    std::optional<std::uint64_t> epoch{};  ///< nothing: the act concerns none
    bool begins = false;
  };
  struct Known {
    v1::WarrantStatement statement;
    bool in_time = false;  ///< the certificate's time was looked at too
    std::chrono::steady_clock::time_point at{};
  };

  Result<v1::WarrantStatement> read(const v1::Warrant& warrant, bool begins);
  Result<v1::WarrantStatement> check(const v1::Warrant& warrant, const Asked& asked);
  Result<v1::WarrantStatement> check_source(const v1::Warrant& warrant, const Asked& asked);
  Result<v1::WarrantStatement> check_standby(const rpc::Caller& caller, const v1::Warrant& warrant, const Asked& asked);
  Result<v1::WarrantStatement> check_router(const rpc::Caller& caller, const v1::Warrant& warrant, const Asked& asked);
  Result<void> told(const rpc::Caller& caller, std::string_view method, Result<void> verdict);

  rpc::Tls tls_;
  std::string node_;
  Clock& clock_;
  Denied denied_;
  std::uint64_t denials_ = 0, unsaid_ = 0;
  std::chrono::steady_clock::time_point quiet_until_{};
  std::map<std::string, Known> known_;            ///< by fingerprint: no signature is verified while a guest waits
  std::map<std::string, std::uint64_t> pointed_;  ///< by VM: the epoch that was begun here in time
};

}  // namespace umbra::agent
