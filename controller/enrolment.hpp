/// New nodes: one-time tokens, first certificates, and their renewal.
#pragma once

#include "controller/inventory/inventory.hpp"
#include "controller/store/store.hpp"
#include "rpc/enrolment.hpp"
#include "rpc/service.hpp"
#include "umbra/v1/controller.pb.h"

namespace umbra::controller {

struct EnrolmentSettings {
  std::filesystem::path
      issuer;          ///< directory of a CA that `umbractl pki issuer` made; empty: nodes are certified by hand
  std::string listen;  ///< "address:port" for machines without a certificate
};

/// Signs with the issuer's key, and only for nodes that were invited, or were certified by it before.
/// Controller's thread only; a certificate costs some milliseconds, for the register of what was issued is made
/// durable.
class Enrolment {
 public:
  static constexpr Milliseconds kShortest{60'000}, kLongest{std::chrono::hours(24 * 7)};

  Enrolment(EnrolmentSettings settings, Inventory& inventory, Store& store, EventLog& events, Clock& clock,
            rpc::Tls tls)
      : settings_(std::move(settings)),
        inventory_(inventory),
        store_(store),
        events_(events),
        clock_(clock),
        tls_(std::move(tls)) {}

  /// Opens the door, if there is an issuer. @param agents_port where the controller serves agents
  /// @error kInvalid the issuer cannot sign, or nobody would trust it; kUnavailable the port
  Result<void> open(asio::any_io_executor executor, std::uint16_t agents_port);

  /// @error kInvalid name, role, zone or validity; kConflict a node of that name is up; kUnsupported no issuer
  Result<v1::InviteReply> invite(const v1::InviteRequest& request);
  /// Answers a newcomer. @error kDenied no such token, over, or used with another key
  Result<v1::EnrolReply> enrol(const v1::EnrolRequest& request, const std::string& address);
  /// @error kInvalid no request; kUnsupported no issuer; kConflict its certificate was revoked
  Result<v1::RenewCertificateReply> renew(const rpc::Caller& caller, const v1::RenewCertificateRequest& request);

 private:
  Result<void> check_ready() const;
  Result<std::string> trusted() const;

  EnrolmentSettings settings_;
  Inventory& inventory_;
  Store& store_;
  EventLog& events_;
  Clock& clock_;
  rpc::Tls tls_;
  std::uint16_t agents_port_ = 0;
  std::unique_ptr<rpc::EnrolmentDoor> door_;
};

}  // namespace umbra::controller
