#include "agentd/warrants.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>

#include "rpc/warrant.hpp"

namespace umbra::agent {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t kMostKnown = 256, kMostPointed = 65'536;
constexpr auto kTrust = 10min;  // in a signature that was verified; then the fleet's CAs are asked again

template <class... Args>
tl::unexpected<Error> deny(fmt::format_string<Args...> format, Args&&... args) {
  return fail(Errc::kDenied, format, std::forward<Args>(args)...);
}

/// "STAGE" → "stage"
std::string name_of(v1::WarrantAct act) {
  constexpr std::string_view kPrefix = "WARRANT_ACT_";
  std::string name = v1::WarrantAct_Name(act);
  if (name.starts_with(kPrefix)) name.erase(0, kPrefix.size());
  std::ranges::transform(name, name.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return name;
}

template <class Names, class One>
bool names(const Names& all, const One& one) {
  return std::find(all.begin(), all.end(), one) != all.end();
}

Result<void> check_epoch(const v1::WarrantStatement& warrant, std::uint64_t epoch) {
  if (epoch > kGreatestEpoch) return deny("epoch {} is beyond all that a VM can reach", epoch);
  if (warrant.kind() != v1::WARRANT_KIND_CUTOVER) return deny("its warrant is for a shadow, not for an epoch");
  if (epoch != warrant.epoch()) return deny("its warrant is for epoch {}, not for {}", warrant.epoch(), epoch);
  return {};
}

/// @param now of this node's clock
Result<void> check_time(const v1::WarrantStatement& warrant, UnixMillis now) {
  const auto skew = std::chrono::duration_cast<Milliseconds>(rpc::warrant::kClockSkew).count();
  const auto minutes = [](UnixMillis ms) { return ms / 60'000; };
  if (warrant.issued_at_unix_ms() > now + skew)
    return fail({Errc::kDenied,
                 fmt::format("its warrant was issued {} min from now", minutes(warrant.issued_at_unix_ms() - now)),
                 "the clocks of the controller and of this node differ: set them (NTP)"});
  if (now > warrant.not_after_unix_ms() + skew)
    return fail({Errc::kDenied,
                 fmt::format("its warrant expired {} min ago", minutes(now - warrant.not_after_unix_ms())),
                 "the controller sends a new one when it is reached; if it is, set the clocks (NTP)"});
  return {};
}

Result<void> check_addresses(const v1::WarrantStatement& warrant,
                             const google::protobuf::RepeatedPtrField<std::string>& addresses) {
  for (const auto& address : addresses)
    if (!names(warrant.addresses(), address)) return deny("its warrant does not name the address {}", address);
  return {};
}

Result<void> same(std::string_view what, const std::string& warranted, const std::string& asked) {
  if (warranted == asked) return {};
  return deny("its warrant says {} {}, the request {}", what, warranted, asked);
}

/// Each of a request's promises about itself, in one value.
Result<void> all_of(std::initializer_list<Result<void>> checks) {
  for (const auto& check : checks)
    if (!check) return check;
  return {};
}

}  // namespace

Result<v1::WarrantStatement> Warrants::read(const v1::Warrant& warrant, bool begins) {
  const auto now = clock_.steady();
  const auto fingerprint = rpc::warrant::fingerprint(warrant);
  if (const auto known = known_.find(fingerprint); known != known_.end()) {
    if ((known->second.in_time || !begins) && now - known->second.at < kTrust) return known->second.statement;
    known_.erase(known);
  }
  UMBRA_TRY(auto statement, rpc::warrant::open(tls_, warrant, begins ? std::optional(clock_.unix_ms()) : std::nullopt));
  if (known_.size() >= kMostKnown)
    known_.erase(std::ranges::min_element(known_, {}, [](const auto& entry) { return entry.second.at; }));
  known_[fingerprint] = {statement, begins, now};
  return statement;
}

Result<v1::WarrantStatement> Warrants::check(const v1::Warrant& warrant, const Asked& asked) {
  UMBRA_TRY(auto statement, read(warrant, asked.begins));
  UMBRA_CHECK(same("VM", statement.vm_uuid(), asked.vm_uuid));
  if (!names(statement.acts(), static_cast<int>(asked.act)))
    return deny("its warrant does not allow it to {}", name_of(asked.act));
  if (asked.epoch) UMBRA_CHECK(check_epoch(statement, *asked.epoch));
  if (asked.begins) UMBRA_CHECK(check_time(statement, clock_.unix_ms()));
  return statement;
}

/// The controller asks this node, which is the source.
Result<v1::WarrantStatement> Warrants::check_source(const v1::Warrant& warrant, const Asked& asked) {
  UMBRA_TRY(auto statement, check(warrant, asked));
  UMBRA_CHECK(same("source", statement.source(), node_));
  return statement;
}

Result<v1::WarrantStatement> Warrants::check_standby(const rpc::Caller& caller, const v1::Warrant& warrant,
                                                     const Asked& asked) {
  UMBRA_TRY(auto statement, check(warrant, asked));
  UMBRA_CHECK(same("source", statement.source(), caller.name));
  UMBRA_CHECK(same("standby", statement.standby(), node_));
  return statement;
}

Result<v1::WarrantStatement> Warrants::check_router(const rpc::Caller& caller, const v1::Warrant& warrant,
                                                    const Asked& asked) {
  UMBRA_TRY(auto statement, check(warrant, asked));
  UMBRA_CHECK(same("source", statement.source(), caller.name));
  if (statement.standby() != node_ && !names(statement.routers(), node_))
    return deny("its warrant does not name {}", node_);
  return statement;
}

Result<void> Warrants::told(const rpc::Caller& caller, std::string_view method, Result<void> verdict) {
  if (verdict) return verdict;
  ++denials_;
  const auto error = with_context(
      verdict.error(), fmt::format("{} denies {} to {} {}", node_, method, rpc::role_name(caller.role), caller.name));
  spdlog::warn("{}", error);
  if (clock_.steady() < quiet_until_) {
    ++unsaid_;
  } else {
    quiet_until_ = clock_.steady() + kQuiet;
    const auto more = std::exchange(unsaid_, 0);
    denied_(more == 0 ? error.text() : fmt::format("{}; and {} more requests before", error.text(), more));
  }
  return fail(error);
}

Result<void> Warrants::allow(const rpc::Caller& caller, const v1::KeepShadowRequest& request) {
  const auto verdict = [&]() -> Result<void> {
    UMBRA_TRY(const auto warrant,
              check_source(request.warrant(), {v1::WARRANT_ACT_STAGE, request.vm_uuid(), {}, true}));
    return same("standby", warrant.standby(), request.standby().name());
  };
  return told(caller, "KeepShadow", verdict());
}

Result<void> Warrants::allow(const rpc::Caller& caller, const v1::CutoverRequest& request,
                             const google::protobuf::RepeatedPtrField<std::string>& addresses) {
  const auto verdict = [&]() -> Result<void> {
    UMBRA_TRY(const auto warrant,
              check_source(request.warrant(), {v1::WARRANT_ACT_ACCEPT, request.vm_uuid(), request.epoch(), true}));
    for (const auto& router : request.routers())
      if (!names(warrant.routers(), router.name())) return deny("its warrant does not name {}", router.name());
    UMBRA_CHECK(check_addresses(warrant, addresses));
    return all_of(
        {same("standby", warrant.standby(), request.standby().name()),
         same("address of the standby", warrant.standby_underlay_address(), request.standby().underlay_address())});
  };
  return told(caller, "Cutover", verdict());
}

Result<void> Warrants::allow(const rpc::Caller& caller, const v1::StageRequest& request, std::uint64_t served) {
  const auto verdict = [&]() -> Result<void> {
    const auto& vm = request.vm();
    UMBRA_TRY(const auto warrant,
              check_standby(caller, request.warrant(), {v1::WARRANT_ACT_STAGE, vm.uuid(), {}, true}));
    if (warrant.epoch() < served)
      return deny("its warrant is for the owner of epoch {}, and the VM ran on {} in epoch {} since", warrant.epoch(),
                  node_, served);
    return all_of({same("VM", warrant.vm_name(), vm.name()), check_addresses(warrant, vm.addresses()),
                   same("source", warrant.source(), request.source())});
  };
  return told(caller, "Stage", verdict());
}

Result<void> Warrants::allow(const rpc::Caller& caller, const v1::AcceptRequest& request) {
  const auto verdict = [&]() -> Result<void> {
    UMBRA_TRY(const auto warrant, check_standby(caller, request.warrant(),
                                                {v1::WARRANT_ACT_ACCEPT, request.vm_uuid(), request.epoch(), true}));
    UMBRA_CHECK(same("source", warrant.source(), request.source()));
    if (request.has_vm() || request.has_kept()) {
      const auto& vm = request.vm();
      UMBRA_CHECK(all_of({same("VM", warrant.vm_uuid(), vm.uuid()), same("VM", warrant.vm_name(), vm.name()),
                          check_addresses(warrant, vm.addresses())}));
    }
    pointed_[request.vm_uuid()] = request.epoch();
    return {};
  };
  return told(caller, "Accept", verdict());
}

Result<void> Warrants::allow(const rpc::Caller& caller, const v1::ReleasedRequest& request) {
  const auto warrant =
      check_standby(caller, request.warrant(), {v1::WARRANT_ACT_RELEASE, request.vm_uuid(), request.epoch()});
  return told(caller, "Released", warrant ? Result<void>{} : fail(warrant.error()));
}

Result<void> Warrants::allow(const rpc::Caller& caller, const v1::AmendRequest& request) {
  const auto verdict = [&]() -> Result<void> {
    UMBRA_TRY(const auto warrant,
              check_standby(caller, request.warrant(), {v1::WARRANT_ACT_RELEASE, request.vm_uuid(), request.epoch()}));
    return all_of(
        {same("VM", warrant.vm_uuid(), request.vm().uuid()), same("VM", warrant.vm_name(), request.vm().name())});
  };
  return told(caller, "Amend", verdict());
}

Result<void> Warrants::allow(const rpc::Caller& caller, const v1::RefuseRequest& request) {
  const auto warrant =
      check_standby(caller, request.warrant(), {v1::WARRANT_ACT_REFUSE, request.vm_uuid(), request.epoch()});
  return told(caller, "Refuse", warrant ? Result<void>{} : fail(warrant.error()));
}

Result<void> Warrants::allow(const rpc::Caller& caller, const v1::InspectRequest& request) {
  const auto warrant = check_standby(caller, request.warrant(), {v1::WARRANT_ACT_INSPECT, request.vm_uuid()});
  return told(caller, "Inspect", warrant ? Result<void>{} : fail(warrant.error()));
}

Result<void> Warrants::allow(const rpc::Caller& caller, const v1::DiscardRequest& request) {
  const auto verdict = [&]() -> Result<void> {
    UMBRA_TRY(const auto warrant,
              check_standby(caller, request.warrant(), {v1::WARRANT_ACT_DISCARD, request.vm_uuid()}));
    return same("source", warrant.source(), request.source());
  };
  return told(caller, "Discard", verdict());
}

Result<void> Warrants::allow(const rpc::Caller& caller, const v1::PointRequest& request) {
  if (caller.role == v1::ROLE_CONTROLLER) return {};
  const auto verdict = [&]() -> Result<void> {
    const auto begun = pointed_.find(request.vm_uuid());
    const bool begins = begun == pointed_.end() || begun->second != request.epoch();
    UMBRA_TRY(const auto warrant, check_router(caller, request.warrant(),
                                               {v1::WARRANT_ACT_POINT, request.vm_uuid(), request.epoch(), begins}));
    UMBRA_CHECK(
        all_of({check_addresses(warrant, request.addresses()), same("standby", warrant.standby(), request.host()),
                same("address of the standby", warrant.standby_underlay_address(), request.underlay_address())}));
    if (pointed_.size() >= kMostPointed) pointed_.clear();  // a late Point would have to wait for the controller
    pointed_[request.vm_uuid()] = request.epoch();
    return {};
  };
  return told(caller, "Point", verdict());
}

Result<void> Warrants::allow(const rpc::Caller& caller, const v1::UnpointRequest& request) {
  if (caller.role == v1::ROLE_CONTROLLER) return {};
  const auto verdict = [&]() -> Result<void> {
    UMBRA_TRY(const auto warrant,
              check_router(caller, request.warrant(), {v1::WARRANT_ACT_UNPOINT, request.vm_uuid(), request.epoch()}));
    return check_addresses(warrant, request.addresses());
  };
  return told(caller, "Unpoint", verdict());
}

Result<void> Warrants::allow(const rpc::Caller& caller, const v1::ReconcileRequest& request) {
  const auto verdict = [&]() -> Result<void> {
    for (const auto& route : request.routes())
      if (route.epoch() > kGreatestEpoch)
        return deny("epoch {} of {} is beyond all that a VM can reach", route.epoch(), route.address());
    return {};
  };
  return told(caller, "Reconcile", verdict());
}

}  // namespace umbra::agent
