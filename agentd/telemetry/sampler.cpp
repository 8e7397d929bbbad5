#include "agentd/telemetry/sampler.hpp"

namespace umbra::telemetry {
namespace {

double per_second(Bytes now, Bytes before, double seconds) {
  return static_cast<double>((now - before).count) / seconds;
}

bool forwards(const virt::DomainStats& now, const virt::DomainStats& before) {
  return now.cpu_time >= before.cpu_time && now.net_rx >= before.net_rx && now.net_tx >= before.net_tx &&
         now.disk_read >= before.disk_read && now.disk_written >= before.disk_written;
}

}  // namespace

std::vector<v1::VmSample> Sampler::sample(const std::vector<virt::DomainStats>& stats,
                                          std::chrono::steady_clock::time_point at, UnixMillis wall) {
  std::vector<v1::VmSample> samples;
  std::map<std::string, Seen> seen;
  for (const auto& now : stats) {
    const auto found = seen_.find(now.uuid);
    seen[now.uuid] = {now, at};
    if (found == seen_.end() || !forwards(now, found->second.stats)) continue;
    const auto& before = found->second.stats;
    const auto seconds = std::chrono::duration<double>(at - found->second.at).count();
    if (seconds <= 0) continue;
    v1::VmSample sample;
    sample.set_vm_uuid(now.uuid);
    sample.set_at_unix_ms(wall);
    sample.set_cpus_used(std::chrono::duration<double>(now.cpu_time - before.cpu_time).count() / seconds);
    sample.set_memory_used_bytes(now.memory_used.count);
    sample.set_net_rx_bytes_per_second(per_second(now.net_rx, before.net_rx, seconds));
    sample.set_net_tx_bytes_per_second(per_second(now.net_tx, before.net_tx, seconds));
    sample.set_disk_read_bytes_per_second(per_second(now.disk_read, before.disk_read, seconds));
    sample.set_disk_write_bytes_per_second(per_second(now.disk_written, before.disk_written, seconds));
    if (now.dirty_rate) sample.set_dirty_bytes_per_second(static_cast<double>(now.dirty_rate->count));
    samples.push_back(std::move(sample));
  }
  seen_ = std::move(seen);  // domains that are gone are forgotten
  return samples;
}

}  // namespace umbra::telemetry
