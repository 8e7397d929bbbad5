#include "agentd/metrics.hpp"

#include <map>

#include "agentd/shadow/phase.hpp"
#include "metrics/families.hpp"

namespace umbra::agent {
namespace {

constexpr double kSecond = 1000;

std::string_view phase_of(v1::ShadowPhase phase) {
  return to_string(static_cast<shadow::Phase>(phase));
}

void add_shadows(metrics::Families& families, const v1::ReportRequest& report, std::int64_t now) {
  std::map<std::string_view, int> kept, held;
  for (const auto phase : {v1::SHADOW_PHASE_STAGED, v1::SHADOW_PHASE_WARM, v1::SHADOW_PHASE_HOT}) {
    kept[phase_of(phase)] = 0;
    held[phase_of(phase)] = 0;
  }
  for (const auto& shadow : report.shadows()) ++kept[phase_of(shadow.phase())];
  for (const auto& shadow : report.held()) ++held[phase_of(shadow.phase())];
  for (const auto& [phase, count] : kept)
    families.gauge("umbra_shadows", "Shadows of this host's VMs, elsewhere, by phase", count, {{"phase", phase}});
  for (const auto& [phase, count] : held)
    families.gauge("umbra_shadows_held", "Shadows that this host holds for others, by phase", count,
                   {{"phase", phase}});
  for (const auto& shadow : report.shadows()) {
    const auto& vm = shadow.vm_name();
    families.gauge("umbra_shadow_remaining_bytes", "Memory that the shadow does not have yet, or not any more",
                   static_cast<double>(shadow.remaining_bytes()), {{"vm", vm}});
    families.gauge("umbra_shadow_dirty_bytes_per_second", "How fast the guest writes to its memory",
                   shadow.dirty_bytes_per_second(), {{"vm", vm}});
    if (shadow.refreshed_at_unix_ms() == 0) continue;
    families.gauge("umbra_shadow_staleness_seconds", "Since the end of the shadow's last refresh",
                   static_cast<double>(now - shadow.refreshed_at_unix_ms()) / kSecond, {{"vm", vm}});
    families.gauge("umbra_shadow_refresh_seconds", "How long the shadow's last refresh took",
                   static_cast<double>(shadow.last_refresh_ms()) / kSecond, {{"vm", vm}});
    families.counter("umbra_shadow_refreshes_total", "Refreshes of the shadow", static_cast<double>(shadow.refreshes()),
                     {{"vm", vm}});
    if (shadow.has_stream())
      families.counter("umbra_shadow_stream_stalls_total", "Times that the standby did not take what was there",
                       static_cast<double>(shadow.stream().stalls()), {{"vm", vm}});
  }
}

}  // namespace

std::vector<prometheus::MetricFamily> describe(const v1::ReportRequest& report, const Standing& standing) {
  metrics::Families families;
  families.gauge("umbra_build_info", "The agent's version; always 1", 1, {{"version", UMBRA_VERSION}})
      .gauge("umbra_controller_connected", "1: registered with the controller", standing.connected ? 1 : 0)
      .gauge("umbra_certificate_expiry_timestamp_seconds", "When this node's certificate ends",
             static_cast<double>(standing.certificate_until_unix_ms) / kSecond)
      .counter("umbra_route_repairs_total", "Routes, addresses and taps that others had changed",
               standing.route_repairs);
  if (!standing.is_host) return families.take();
  int running = 0;
  for (const auto& vm : report.vms()) running += vm.state() == v1::VM_STATE_RUNNING ? 1 : 0;
  families.gauge("umbra_libvirt_up", "1: libvirt answers", report.hypervisor_up() ? 1 : 0)
      .gauge("umbra_hold_proven", "1: this host's QEMU can hold warm shadows", report.proof().proven() ? 1 : 0)
      .gauge("umbra_vms", "VMs of this host, shadows left out", report.vms_size())
      .gauge("umbra_vms_running", "Of these, those that run", running)
      .gauge("umbra_memory_free_bytes", "What a new shadow may take here",
             static_cast<double>(report.capacity().memory_free_bytes()));
  add_shadows(families, report, standing.now_unix_ms);
  return families.take();
}

}  // namespace umbra::agent
