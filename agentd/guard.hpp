/// Before libvirt starts anything at boot: what this host must not start, because another one may be running it; and
/// the taps of what it may.
#pragma once

#include <functional>
#include <optional>

#include "agentd/config.hpp"
#include "base/task.hpp"
#include "netswitch/kernel.hpp"
#include "umbra/v1/controller.pb.h"

namespace umbra::agent {

/// A VM that would be started at boot: by libvirt (`virsh autostart`), or by libvirt-guests, which ended it.
struct Autostarted {
  std::string uuid;
  std::string name;
  std::filesystem::path link{};  ///< libvirt's; empty without autostart
  std::filesystem::path once{};  ///< libvirt's for the next boot alone (`virsh autostart --once`)
  /// It has Umbra's metadata, or could run on another host: the policy restart or a person (`umbractl restart`) may
  /// have started it there while this host was off.
  bool may_run_elsewhere = false;
  v1::Vm described{};  ///< as the agent tells it: its tap and addresses
};

/// One that was kept from starting; kept in the state directory until the agent has put it right.
struct Withheld {
  std::string uuid;
  std::string name;
  std::string why;
};

/// Those of the directory's links, and of libvirt-guests' list. A definition that cannot be read is logged, and left
/// alone. @param rules what other hosts would take
std::vector<Autostarted> autostarted(const std::filesystem::path& links, const std::filesystem::path& guests_list,
                                     const virt::ForeignRules& rules);
/// Takes these VMs out of libvirt-guests' list. @error of the file system
Result<void> unlist(const std::filesystem::path& guests_list, const std::set<std::string>& uuids);

/// VMs that this host's journal knows to have moved away, or not to be decided. Nothing: it cannot be read.
std::optional<std::set<std::string>> moved_away(const std::filesystem::path& journal);

/// What must not start, and why.
/// @param owners the controller's answer about exactly these VMs; nothing: it could not be reached, and then what may
///        have been started elsewhere meanwhile does not start
std::vector<Withheld> to_withhold(const std::vector<Autostarted>& vms, const std::optional<v1::WhoseVmsReply>& owners,
                                  const std::optional<std::set<std::string>>& moved);

/// @error kCorrupt the file is damaged
Result<std::vector<Withheld>> read_withheld(const std::filesystem::path& file);
/// Durable before it returns. @error of the file system
Result<void> write_withheld(const std::filesystem::path& file, const std::vector<Withheld>& withheld);
std::filesystem::path withheld_file(const std::filesystem::path& state_dir);

/// The taps of those VMs that are not withheld and have an address of Umbra's: libvirt starts none without its tap
/// (`managed='no'`), and the agent, which makes taps, comes after libvirt. They are as the agent's; routes are its
/// work. A tap that is there already is made ready all the same.
/// @return for each VM whose tap could not be made an error that names both and the remedy
std::vector<Error> make_taps(const std::vector<Autostarted>& vms, const std::vector<Withheld>& withheld,
                             netswitch::Kernel& kernel, const netswitch::SwitchConfig& network);

/// The whole of it (`umbra-agentd --guard`): asks the controller for at most `config.guard.deadline`, writes down what
/// is withheld, removes its links, and makes the taps of the others. Fails only if a link that must go cannot be
/// removed.
Task<void> guard(asio::any_io_executor executor, AgentConfig config);

}  // namespace umbra::agent
