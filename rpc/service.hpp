/// What a server offers: services made of methods, each with the roles that may call it.
#pragma once

#include <functional>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <variant>

#include "rpc/session.hpp"

namespace umbra::rpc {

/// Who calls. `session` leads back to the caller, whose services can be called over it; it is empty when the call came
/// by another way than a connection. (A constructor, because GCC 12 miscompiles a temporary aggregate among the
/// arguments of a co_await.)
struct Caller {
  Caller(std::string caller_name, v1::Role caller_role, std::weak_ptr<Session> caller_session = {})
      : name(std::move(caller_name)), role(caller_role), session(std::move(caller_session)) {}

  std::string name;
  v1::Role role;
  std::weak_ptr<Session> session;
  std::string address{};      ///< "address:port"; empty when there is no connection
  std::string_view method{};  ///< that is called, as Method::name
};

class Service;

/// One row of the table that protoc-gen-umbra writes for a service.
struct Method {
  using Unary = Task<std::string> (*)(Service&, Caller, std::string request);
  using Streaming = Task<void> (*)(Service&, Caller, std::string request, std::shared_ptr<Outflow>);

  std::string_view name;  ///< "umbra.v1.Standby/Stage"
  std::span<const v1::Role> allow;
  std::variant<Unary, Streaming> serve;
};

/// Base of the generated service interfaces. Handlers run on the session's executor. They are cancelled (asio
/// cancellation: the current wait ends with operation_aborted) when the caller cancels, its deadline passes, or its
/// connection goes; work that must outlive its caller is not done in the handler itself.
class Service {
 public:
  virtual ~Service() = default;
  virtual std::span<const Method> methods() const = 0;
};

/// A call of a peer that was not served, or whose handler failed. Not one that the peer gave up.
struct FailedCall {
  const Identity& peer;
  const std::string& address;
  std::string_view name;     ///< "umbra.v1.Standby/Stage"; what the peer said, if there is no such method
  const Method* method;      ///< null: there is none
  std::string_view request;  ///< serialised; empty when it is longer than 64 KiB
  const Error& error;
};

/// An immutable set of services, shared by all sessions that serve it; cheap to copy.
class Services {
 public:
  struct Found {
    std::shared_ptr<Service> service;
    const Method* method;
  };

  Services() = default;
  Services(std::initializer_list<std::shared_ptr<Service>> services);

  /// @error kUnsupported no service has that method
  Result<Found> find(std::string_view method) const;
  /// @error kDenied, naming the caller, its role, the method and the roles that may call it
  static Result<void> check_role(const Method& method, std::string_view caller, v1::Role role);

  using OnFailure = std::function<void(const FailedCall&)>;
  /// Has `tell` called, on the session's executor, for each call that fails over sessions that serve the result.
  Services watched(OnFailure tell) const;
  const OnFailure* on_failure() const { return on_failure_.get(); }

 private:
  std::shared_ptr<const std::unordered_map<std::string_view, Found>> methods_;
  std::shared_ptr<const OnFailure> on_failure_;
};

}  // namespace umbra::rpc
