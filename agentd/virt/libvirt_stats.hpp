/// libvirt's domain statistics (virConnectGetAllDomainStats) as ours.
#pragma once

#include <libvirt/libvirt.h>

#include "agentd/virt/hypervisor.hpp"

namespace umbra::virt {

/// Of all active domains. Does not wait for a domain that is busy with another job: its slow counters are missing then.
/// Blocks.
Result<std::vector<DomainStats>> read_stats(virConnectPtr connection);

/// Blocks.
Result<HostInfo> read_host(virConnectPtr connection);

}  // namespace umbra::virt
