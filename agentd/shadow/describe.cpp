#include "agentd/shadow/describe.hpp"

namespace umbra::shadow {
namespace {

v1::VmState state_of(virt::DomainState state) {
  switch (state) {
    case virt::DomainState::kRunning:
      return v1::VM_STATE_RUNNING;
    case virt::DomainState::kPaused:
      return v1::VM_STATE_PAUSED;
    case virt::DomainState::kShutOff:
      return v1::VM_STATE_SHUT_OFF;
    case virt::DomainState::kCrashed:
      return v1::VM_STATE_CRASHED;
    case virt::DomainState::kOther:
      return v1::VM_STATE_UNKNOWN;
  }
  return v1::VM_STATE_UNKNOWN;
}

}  // namespace

v1::Vm describe(const virt::Domain& domain) {
  v1::Vm vm;
  vm.set_uuid(domain.uuid);
  vm.set_name(domain.name);
  vm.set_state(state_of(domain.state));
  vm.set_persistent(domain.persistent);
  vm.set_memory_bytes(domain.memory.count);
  vm.set_vcpus(domain.vcpus);
  for (const auto& address : domain.addresses) vm.add_addresses(address);
  vm.set_mac(domain.mac);
  vm.set_tap(domain.tap);
  vm.set_refusal(domain.refusal);
  vm.set_account(domain.account);
  vm.set_profile(domain.profile);
  vm.set_on_host_loss(domain.restart_on_host_loss ? v1::ON_HOST_LOSS_RESTART : v1::ON_HOST_LOSS_LEAVE);
  return vm;
}

}  // namespace umbra::shadow
