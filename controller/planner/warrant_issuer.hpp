/// Writes the warrants that nodes act upon.
#pragma once

#include "controller/inventory/inventory.hpp"
#include "umbra/v1/warrant.pb.h"

namespace umbra::controller {

/// One for each shadow and each cutover, from what the inventory knows: who owns the VM, where it may go, which
/// addresses are its own. Controller's thread only.
class WarrantIssuer {
 public:
  /// Makes the warrant of a statement: rpc::warrant::sign with the controller's credentials.
  using Sign = std::function<Result<v1::Warrant>(v1::WarrantStatement)>;

  static constexpr Milliseconds kShadowValidity = std::chrono::hours(24);
  static constexpr Milliseconds kCutoverValidity = std::chrono::minutes(10);

  WarrantIssuer(Clock& clock, Sign sign) : clock_(clock), sign_(std::move(sign)) {}

  /// For a shadow of a VM by its owner. @error of signing
  Result<v1::Warrant> shadow(const VmRecord& record, const v1::Node& standby) const;
  /// For what `request` asks of the VM's owner. @error of signing
  Result<v1::Warrant> cutover(const VmRecord& record, const v1::CutoverRequest& request) const;
  /// Is it time to send a new one for a shadow whose warrant ends then? While half of its time is left there is room
  /// for a controller that is away.
  bool due(UnixMillis until) const { return until - clock_.unix_ms() < kShadowValidity.count() / 2; }

 private:
  v1::WarrantStatement statement(const VmRecord& record, const v1::Node& standby, Milliseconds validity) const;

  Clock& clock_;
  Sign sign_;
};

}  // namespace umbra::controller
