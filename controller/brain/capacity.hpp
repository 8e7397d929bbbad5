/// Which VMs should leave a host that will run short of CPU.
#pragma once

#include "controller/brain/picture.hpp"
#include "controller/brain/settings.hpp"

namespace umbra::controller {

/// Joint demand of VMs, path by path; unknown demands count as nothing.
forecast::Forecast joint_demand(std::span<const VmPicture* const> vms);

/// P(demand > cpus in at least one step of the window); 0 when the host's capacity or all demand is unknown.
double shortage(const forecast::Forecast& demand, double cpus, Milliseconds window);

/// The capacity causes on one host, by VM uuid.
///
/// The host's probability of a shortage is put on the VM whose leaving lowers it most; among those that lower it about
/// equally, on one that has a shadow already, then the one with the greater demand, then the one with less memory. What
/// is left without that VM is put on the next, until it falls below the lowest tier's threshold. VMs that cannot leave
/// are passed over.
std::map<std::string, v1::Cause> capacity_causes(const HostPicture& host, std::span<const VmPicture* const> vms,
                                                 const BrainSettings& settings);

}  // namespace umbra::controller
