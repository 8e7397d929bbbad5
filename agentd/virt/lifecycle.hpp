/// libvirt's lifecycle events in words.
#pragma once

#include <string_view>
#include <utility>

#include "agentd/virt/hypervisor.hpp"

namespace umbra::virt {

/// virDomainEventType and its virDomainEvent…DetailType, as virsh names them.
std::pair<LifecycleChange, std::string_view> lifecycle_of(int event, int detail);
/// virDomainState.
DomainState domain_state_of(int state);
/// @param reason virDomainPausedReason: did somebody ask for it, or for what takes a pause?
bool on_somebodys_word(int reason);

}  // namespace umbra::virt
