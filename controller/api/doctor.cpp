#include "controller/api/fleet_service.hpp"
#include "umbra/v1/agent.rpc.hpp"

namespace umbra::controller {
namespace {

using namespace std::chrono_literals;

constexpr Deadline kDiagnose = 10s;
constexpr Bytes kLittleDisk = mebibytes(512);

v1::Check check(const std::string& node, std::string name, bool ok, std::string detail, std::string remedy) {
  v1::Check check;
  check.set_node(node);
  check.set_name(std::move(name));
  check.set_ok(ok);
  check.set_detail(std::move(detail));
  if (!ok) check.set_remedy(std::move(remedy));
  return check;
}

v1::Check check_disk(const std::filesystem::path& directory) {
  std::error_code error;
  const auto space = std::filesystem::space(directory, error);
  const Bytes free{error ? 0 : space.available};
  return check("controller", "state directory", !error && free >= kLittleDisk,
               error ? fmt::format("{}: {}", directory.string(), error.message())
                     : fmt::format("{}: {} free", directory.string(), to_string(free)),
               "free space there, or move controller.state_dir");
}

}  // namespace

Task<v1::DoctorReply> FleetService::doctor(rpc::Caller, v1::DoctorRequest) {
  v1::DoctorReply reply;
  const auto add = [&](v1::Check what) { *reply.add_checks() = std::move(what); };
  add(check_disk(state_dir_));
  for (auto& found : core_.certificates.checks()) add(std::move(found));
  std::set<std::string> zones;
  std::vector<std::pair<std::string, std::shared_ptr<rpc::Session>>> hosts;
  for (const auto& [name, node] : core_.inventory.nodes()) {
    if (node.is_host()) zones.insert(node.node.zone());
    auto session = core_.inventory.session(name);
    add(check(name, "connection", session.has_value(),
              session ? fmt::format("up, version {}", node.version) : session.error().message,
              "start umbra-agentd there, and look at its log"));
    if (!session) continue;
    if (node.version != UMBRA_VERSION)
      add(check(name, "version", false, fmt::format("{}, the controller's is {}", node.version, UMBRA_VERSION),
                "install the same version everywhere"));
    for (const auto& held : core_.inventory.leaked(node))
      add(check(name, "shadow of " + held.vm_name(), false,
                fmt::format("{} are held for {}, which does not keep it", to_string(Bytes{held.memory_bytes()}),
                            held.source().empty() ? "nobody" : held.source()),
                held.detail().empty() ? "it goes when its lease ends; if it stays, look at umbra-agentd's log there"
                                      : held.detail()));
    if (node.is_host()) hosts.emplace_back(name, std::move(*session));
  }
  add(check("controller", "zones", zones.size() > 1, fmt::format("{} zones have hosts", zones.size()),
            "with fewer than two, nothing can leave a zone that fails"));
  for (const auto& move : core_.mover.moves())
    if (move->asking_since)
      add(check(move->from, "cutover", false,
                fmt::format("nobody can say how the cutover of {} to {} ended", move->vm, move->to),
                fmt::format("bring {} back, or see what each side knows: umbractl resolve {}", move->from, move->vm)));
  for (const auto& twice : core_.host_loss.run_twice())
    add(check(twice.from, "runs twice", false,
              fmt::format("{} {}: on {} and {}", twice.vm, twice.certain ? "runs twice" : "may run twice", twice.from,
                          twice.to),
              fmt::format("end the stale copy: virsh destroy {} on {}", twice.vm, twice.from)));
  for (const auto& fence : core_.host_loss.fences()) {
    const auto* node = core_.inventory.node(fence.host());
    const bool back = node != nullptr && node->up;
    add(check(fence.host(), "fence", false,
              fmt::format("fenced by {}{}; {} VMs are still its own, {} were taken over", fence.actor(),
                          back ? ", and back" : "", fence.vms(), fence.taken_over()),
              back ? "it is unfenced by itself once it has none of the VMs that were taken over: what runs twice is "
                     "listed here, the rest goes by itself"
                   : "umbractl restart starts its VMs elsewhere; it is unfenced by itself when it is back"));
  }
  for (const auto& [uuid, record] : core_.inventory.vms())
    if (record.alerted)
      add(check(record.host, "owner", false, fmt::format("more than one host may be running {}", record.vm.name()),
                "look at it with virsh on each host, and end the copy that is wrong"));
  for (const auto& fault : core_.addresses.faults())
    if (const auto* record = core_.inventory.vm(fault.vm_uuid))
      add(check(record->host, "address", false, fmt::format("{} {}", record->vm.name(), fault.text), fault.remedy));
  for (auto& [name, session] : hosts) {
    v1::AgentClient agent(session);
    v1::DiagnoseRequest question;
    auto diagnosed = co_await agent.diagnose(std::move(question), kDiagnose);
    if (!diagnosed)
      add(check(name, "diagnosis", false, diagnosed.error().text(), "look at umbra-agentd's log there"));
    else
      for (auto& found : *diagnosed->mutable_checks()) add(std::move(found));
  }
  co_return reply;
}

}  // namespace umbra::controller
