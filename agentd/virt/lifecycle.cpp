#include "agentd/virt/lifecycle.hpp"

#include <libvirt/libvirt.h>

#include <array>
#include <span>

namespace umbra::virt {
namespace {

// In the order of libvirt's enumerations, which only grow at the end.
constexpr std::array<std::string_view, 4> kDefined{"added", "updated", "renamed", "from-snapshot"};
constexpr std::array<std::string_view, 2> kUndefined{"removed", "renamed"};
constexpr std::array<std::string_view, 5> kStarted{"booted", "migrated", "restored", "from-snapshot", "wakeup"};
constexpr std::array<std::string_view, 9> kSuspended{"paused",    "migrated", "ioerror",
                                                     "watchdog",  "restored", "from-snapshot",
                                                     "api-error", "postcopy", "postcopy-failed"};
constexpr std::array<std::string_view, 5> kResumed{"unpaused", "migrated", "from-snapshot", "postcopy",
                                                   "postcopy-failed"};
constexpr std::array<std::string_view, 7> kStopped{"shutdown", "destroyed", "crashed",      "migrated",
                                                   "saved",    "failed",    "from-snapshot"};
constexpr std::array<std::string_view, 3> kShutdown{"finished", "guest", "host"};
constexpr std::array<std::string_view, 2> kCrashed{"panicked", "crashloaded"};

std::string_view word(std::span<const std::string_view> words, int detail) {
  const auto index = static_cast<std::size_t>(detail);
  return detail >= 0 && index < words.size() ? words[index] : "unknown";
}

}  // namespace

std::pair<LifecycleChange, std::string_view> lifecycle_of(int event, int detail) {
  switch (event) {
    case VIR_DOMAIN_EVENT_DEFINED:
      return {LifecycleChange::kDefined, word(kDefined, detail)};
    case VIR_DOMAIN_EVENT_UNDEFINED:
      return {LifecycleChange::kUndefined, word(kUndefined, detail)};
    case VIR_DOMAIN_EVENT_STARTED:
      return {LifecycleChange::kStarted, word(kStarted, detail)};
    case VIR_DOMAIN_EVENT_SUSPENDED:
      return {LifecycleChange::kSuspended, word(kSuspended, detail)};
    case VIR_DOMAIN_EVENT_RESUMED:
      return {LifecycleChange::kResumed, word(kResumed, detail)};
    case VIR_DOMAIN_EVENT_STOPPED:
      return {LifecycleChange::kStopped, word(kStopped, detail)};
    case VIR_DOMAIN_EVENT_SHUTDOWN:
      return {LifecycleChange::kShutdown, word(kShutdown, detail)};
    case VIR_DOMAIN_EVENT_CRASHED:
      return {LifecycleChange::kCrashed, word(kCrashed, detail)};
    default:
      return {LifecycleChange::kOther, "unknown"};
  }
}

DomainState domain_state_of(int state) {
  switch (state) {
    case VIR_DOMAIN_RUNNING:
    case VIR_DOMAIN_BLOCKED:
      return DomainState::kRunning;
    case VIR_DOMAIN_PAUSED:
    case VIR_DOMAIN_PMSUSPENDED:
      return DomainState::kPaused;
    case VIR_DOMAIN_SHUTOFF:
      return DomainState::kShutOff;
    case VIR_DOMAIN_CRASHED:
      return DomainState::kCrashed;
    default:
      return DomainState::kOther;
  }
}

bool on_somebodys_word(int reason) {
  return reason == VIR_DOMAIN_PAUSED_USER || reason == VIR_DOMAIN_PAUSED_SAVE || reason == VIR_DOMAIN_PAUSED_DUMP ||
         reason == VIR_DOMAIN_PAUSED_SNAPSHOT || reason == VIR_DOMAIN_PAUSED_FROM_SNAPSHOT;
}

}  // namespace umbra::virt
