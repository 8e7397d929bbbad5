// vms, vm show: the virtual machines, and one of them.
#include <CLI/App.hpp>
#include "cli/listing.hpp"
#include "cli/output/cells.hpp"
#include "cli/output/details.hpp"

namespace umbra::cli {
namespace {

std::string addresses(const v1::Vm& vm) {
  return fmt::format("{}", fmt::join(vm.addresses(), ","));
}
std::string tier(const v1::VmView& view) {
  return word(view.tier()) + (view.pinned() ? " (pinned)" : "");
}
Cell cpus_used(const v1::VmView& view) {
  if (!is_measured(view)) return "";
  const auto used = view.last_sample().cpus_used();
  return {fmt::format("{:.2f}", used), used};
}

std::vector<Cell> vm_row(const v1::VmView& view) {
  const auto& vm = view.vm();
  const bool shadowed = view.has_shadow();
  return {
      vm.name(),
      vm_state(vm.state()),
      view.host(),
      view.zone(),
      addresses(vm),
      count_cell(vm.vcpus()),
      cpus_used(view),
      bytes_cell(vm.memory_bytes()),
      probability_cell(view.migration_probability()),
      tier(view),
      shadowed ? view.shadow().standby() : "",
      shadowed ? shadow_phase(view.shadow().phase()) : Cell(vm.refusal().empty() ? "" : "refused: " + vm.refusal())};
}

Listing<v1::VmView> vms() {
  return {{"NAME",
           "STATE",
           "HOST",
           {"ZONE", kLeft, 4},
           {"ADDRESS", kLeft, 6},
           {"VCPUS", kRight, 5},
           {"CPU", kRight},
           {"MEMORY", kRight, 1},
           {"MOVE", kRight},
           {"TIER", kLeft, 3},
           {"SHADOW ON", kLeft},
           {"SHADOW IS", kLeft, 2}},
          vm_row,
          {{"host", "HOST", "Only those on this host",
            [](const v1::VmView& view, const std::string& host) { return view.host() == host; }},
           {"zone", "ZONE", "Only those in this zone",
            [](const v1::VmView& view, const std::string& zone) { return view.zone() == zone; }},
           {"account", "ACCOUNT", "Only those of this account",
            [](const v1::VmView& view, const std::string& account) { return view.vm().account() == account; }},
           {"state", "running|paused|shut_off|crashed|unknown", "Only those in this state",
            [](const v1::VmView& view, const std::string& state) { return word(view.vm().state()) == state; }}},
          "no VM to show"};
}

std::string vm_text(const v1::VmView& view, bool colour) {
  const auto& vm = view.vm();
  Details details;
  details.add("name", {vm.name(), Style::kStrong});
  details.add("uuid", vm.uuid());
  details.add("state", vm_state(vm.state()));
  details.add("host", view.host());
  details.add("zone", view.zone());
  details.add("account", vm.account());
  details.add("profile", vm.profile());
  details.add("addresses", addresses(vm));
  details.add("mac", vm.mac());
  details.add("vcpus", count_cell(vm.vcpus()));
  details.add("cpu", cpus_used(view));
  details.add("memory", bytes_cell(vm.memory_bytes()));
  if (is_measured(view)) {
    const auto& sample = view.last_sample();
    details.add("memory used", sample.memory_used_bytes() > 0 ? bytes_cell(sample.memory_used_bytes()) : "");
    details.add("dirties", rate_cell(sample.dirty_bytes_per_second()));
    details.add("measured", age_cell(sample.at_unix_ms()));
  }
  details.add("epoch", count_cell(view.epoch()));
  details.add("on host loss", word(vm.on_host_loss()));
  details.add("move", probability_cell(view.migration_probability()));
  details.add("tier", tier(view));
  if (view.has_shadow()) {
    details.add("shadow on", view.shadow().standby());
    details.add("shadow is", shadow_phase(view.shadow().phase()));
  }
  details.add("no shadow", {vm.refusal(), Style::kWarn});
  return details.render(colour);
}

void add_show(CLI::App& parent, Action& action) {
  auto request = std::make_shared<v1::ListVmsRequest>();
  auto& verb = add_verb(parent, "show", "Show all that is known of one VM", "umbractl vm show web1");
  add_argument(verb, "VM", "Name or uuid", [request](const std::string& vm) { request->set_vm(vm); });
  when_given(verb, action, [request](const Context& context) {
    const auto show = [json = context.json(), colour = context.colour](const v1::ListVmsReply& reply) {
      for (const auto& view : reply.vms()) print(json ? serialize(to_json(view)) + "\n" : vm_text(view, colour));
      return ExitCode::kOk;
    };
    return ask<v1::ListVmsRequest, v1::ListVmsReply>(context, &v1::FleetClient::list_vms, *request, show);
  });
}

}  // namespace

void add_vm_verbs(CLI::App& app, Action& action) {
  auto request = std::make_shared<v1::ListVmsRequest>();
  auto& list = add_verb(app, "vms", "List virtual machines and how likely each is to move",
                        "umbractl vms --host host1 --sort move --reverse");
  list.alias("list");  // as virsh has it
  add_argument(list, "VM", "Only this one (name or uuid)", [request](const std::string& vm) {
    request->set_vm(vm);
  })->required(false);
  list.add_flag_callback(
      "--all", [] {}, "Also those that are shut off, which are listed anyway");
  make_list(list, action, &v1::FleetClient::list_vms, request, &v1::ListVmsReply::mutable_vms, vms());

  auto& vm = add_verb(app, "vm", "Look at one virtual machine", "umbractl vm show web1");
  vm.require_subcommand(1);
  add_show(vm, action);
}

}  // namespace umbra::cli
