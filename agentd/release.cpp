// Letting go of everything, before the agent is removed from its host.
#include "agentd/host.hpp"

namespace umbra::agent {
namespace {

using namespace std::chrono_literals;

constexpr auto kLookAgain = 200ms;
constexpr std::string_view kWhy = "its host is given up by Umbra";

}  // namespace

/// A cutover that is under way is waited for: it says itself where the guest runs.
std::vector<std::string> Host::still_held() const {
  std::vector<std::string> held;
  for (const auto& [uuid, source] : sources_)
    if (source->cuts_over() || exists(source->phase()))
      held.push_back(fmt::format("{}: {} here", vm_name(uuid), to_string(source->phase())));
  for (const auto& shadow : standby_.held())
    held.push_back(fmt::format("{}: shadow of {}{}", shadow.vm_name(), shadow.source(),
                               shadow.detail().empty() ? "" : ", " + shadow.detail()));
  return held;
}

Task<void> Host::release(Deadline deadline) {
  releasing_ = true;
  const auto end = clock_.steady() + deadline;
  while (true) {
    for (const auto& [uuid, source] : sources_)
      if (source->wanted() || exists(source->phase())) source->unwant(std::string(kWhy));
    if (recovered_)
      for (const auto& shadow : standby_.held()) {
        const auto given_up = co_await standby_.give_up(shadow.vm_uuid(), std::string(kWhy));
        if (!given_up)
          outbox_.event(v1::EVENT_KIND_SHADOW, v1::SEVERITY_WARNING, shadow.vm_name(), given_up.error().text());
      }
    const auto held = still_held();
    if (recovered_ && held.empty()) co_return Result<void>{};
    if (clock_.steady() >= end) {
      if (!recovered_)
        co_return fail({Errc::kUnavailable, "libvirt is not reachable, so nothing can be let go of",
                        "start libvirtd, and try again"});
      co_return fail({Errc::kTimeout, fmt::format("not let go of: {}", fmt::join(held, "; ")),
                      "wait until the cutover is over, or look at the VM on both hosts; then try again"});
    }
    co_await changed_.wait_until(clock_.steady() + kLookAgain);
  }
}

}  // namespace umbra::agent
