#include "rpc/service.hpp"

#include <algorithm>

#include "base/printable.hpp"

namespace umbra::rpc {

Services::Services(std::initializer_list<std::shared_ptr<Service>> services) {
  auto methods = std::make_shared<std::unordered_map<std::string_view, Found>>();
  for (const auto& service : services) {
    for (const auto& method : service->methods()) methods->emplace(method.name, Found{service, &method});
  }
  methods_ = std::move(methods);
}

Services Services::watched(OnFailure tell) const {
  auto watched = *this;
  watched.on_failure_ = std::make_shared<const OnFailure>(std::move(tell));
  return watched;
}

Result<Services::Found> Services::find(std::string_view method) const {
  if (methods_) {
    if (const auto found = methods_->find(method); found != methods_->end()) return found->second;
  }
  return fail({Errc::kUnsupported, fmt::format("there is no method {} here", printable(method, 100)),
               "call the node that serves it; if this is the one, its software is of another version"});
}

Result<void> Services::check_role(const Method& method, std::string_view caller, v1::Role role) {
  if (std::find(method.allow.begin(), method.allow.end(), role) != method.allow.end()) return {};
  std::string allowed;
  for (const auto each : method.allow) allowed += fmt::format("{}{}", allowed.empty() ? "" : ", ", role_name(each));
  return fail({Errc::kDenied,
               fmt::format("{} has the role {}, which may not call {}", caller, role_name(role), method.name),
               fmt::format("allowed to: {}; use a certificate with that role", allowed)});
}

}  // namespace umbra::rpc
