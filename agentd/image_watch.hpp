/// Whether the VMs that run here may still open their disk images.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "agentd/virt/hypervisor.hpp"

namespace umbra::agent {

/// A host that a VM has left may take its images' owner away after the fact: its agent, its libvirtd or its QEMU died
/// in between, or somebody destroyed what was left there. The host that runs the VM knows better, and looks now and
/// then. Agent strand.
class ImageWatch {
 public:
  using Note = std::function<void(const std::string& vm, const std::string& text)>;
  ImageWatch(virt::Hypervisor& hypervisor, Note note) : hypervisor_(hypervisor), note_(std::move(note)) {}

  /// Tells once of each thing that it finds, and again when it comes back after it was gone.
  asio::awaitable<void> look(std::vector<virt::Domain> running);

 private:
  virt::Hypervisor& hypervisor_;
  Note note_;
  std::map<std::string, std::vector<std::string>> told_;  // by VM
};

}  // namespace umbra::agent
