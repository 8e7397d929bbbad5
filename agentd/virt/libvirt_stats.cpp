#include "agentd/virt/libvirt_stats.hpp"

#include <span>

#include "agentd/virt/libvirt_handles.hpp"

namespace umbra::virt {
namespace {

/// The typed parameters of one domain.
class Parameters {
 public:
  explicit Parameters(const virDomainStatsRecord& record)
      : list_(record.params, static_cast<std::size_t>(record.nparams)) {}

  std::optional<std::uint64_t> get(std::string_view name) const {
    for (const auto& parameter : list_) {
      if (parameter.field != name) continue;
      switch (parameter.type) {
        case VIR_TYPED_PARAM_INT:
          return parameter.value.i < 0 ? 0 : static_cast<std::uint64_t>(parameter.value.i);
        case VIR_TYPED_PARAM_UINT:
          return parameter.value.ui;
        case VIR_TYPED_PARAM_LLONG:
          return parameter.value.l < 0 ? 0 : static_cast<std::uint64_t>(parameter.value.l);
        case VIR_TYPED_PARAM_ULLONG:
          return parameter.value.ul;
        default:
          return std::nullopt;
      }
    }
    return std::nullopt;
  }

  /// The sum over "group.0.counter", "group.1.counter", … (group.count of them).
  Bytes sum(std::string_view group, std::string_view counter) const {
    Bytes total{};
    const auto count = get(fmt::format("{}.count", group)).value_or(0);
    for (std::uint64_t i = 0; i < count; ++i)
      total.count += get(fmt::format("{}.{}.{}", group, i, counter)).value_or(0);
    return total;
  }

 private:
  std::span<const virTypedParameter> list_;
};

/// What the guest itself uses when its balloon driver tells, else what its QEMU occupies. libvirt counts in KiB.
Bytes memory_used(const Parameters& parameters) {
  const auto available = parameters.get("balloon.available");
  const auto unused = parameters.get("balloon.unused");
  if (available && unused && *available > *unused) return kibibytes(*available - *unused);
  return kibibytes(parameters.get("balloon.rss").value_or(parameters.get("balloon.current").value_or(0)));
}

DomainStats read(const virDomainStatsRecord& record) {
  const Parameters parameters(record);
  DomainStats stats;
  char uuid[VIR_UUID_STRING_BUFLEN] = "";
  virDomainGetUUIDString(record.dom, uuid);
  stats.uuid = uuid;
  stats.cpu_time = std::chrono::nanoseconds(parameters.get("cpu.time").value_or(0));
  stats.vcpus = static_cast<unsigned>(parameters.get("vcpu.current").value_or(0));
  stats.memory_used = memory_used(parameters);
  stats.net_rx = parameters.sum("net", "rx.bytes");
  stats.net_tx = parameters.sum("net", "tx.bytes");
  stats.disk_read = parameters.sum("block", "rd.bytes");
  stats.disk_written = parameters.sum("block", "wr.bytes");
  if (parameters.get("dirtyrate.calc_status") == VIR_DOMAIN_DIRTYRATE_MEASURED)
    if (const auto rate = parameters.get("dirtyrate.megabytes_per_second"))
      stats.dirty_rate = BytesPerSecond{*rate << 20};
  return stats;
}

std::string version_text(unsigned long version) {
  return fmt::format("{}.{}.{}", version / 1'000'000, version / 1000 % 1000, version % 1000);
}

}  // namespace

Result<std::vector<DomainStats>> read_stats(virConnectPtr connection) {
  constexpr unsigned kGroups = VIR_DOMAIN_STATS_CPU_TOTAL | VIR_DOMAIN_STATS_BALLOON | VIR_DOMAIN_STATS_VCPU |
                               VIR_DOMAIN_STATS_INTERFACE | VIR_DOMAIN_STATS_BLOCK | VIR_DOMAIN_STATS_DIRTYRATE;
  constexpr unsigned kFlags = VIR_CONNECT_GET_ALL_DOMAINS_STATS_ACTIVE | VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT;
  virDomainStatsRecordPtr* records = nullptr;
  const int count = virConnectGetAllDomainStats(connection, kGroups, &records, kFlags);
  if (count < 0) return fail(last_error("reading the domains' statistics"));
  const std::unique_ptr<virDomainStatsRecordPtr, decltype(&virDomainStatsRecordListFree)> owner(
      records, virDomainStatsRecordListFree);
  std::vector<DomainStats> list;
  list.reserve(static_cast<std::size_t>(count));
  for (int i = 0; i < count; ++i) list.push_back(read(*records[i]));
  return list;
}

Result<HostInfo> read_host(virConnectPtr connection) {
  HostInfo info;
  unsigned long hypervisor = 0, library = 0;
  if (virConnectGetVersion(connection, &hypervisor) < 0 || virConnectGetLibVersion(connection, &library) < 0)
    return fail(last_error("asking for versions"));
  info.hypervisor_version = version_text(hypervisor);
  info.libvirt_version = version_text(library);
  virNodeInfo node{};
  if (virNodeGetInfo(connection, &node) < 0) return fail(last_error("asking for the host's size"));
  info.cpus = node.cpus;

  int count = 0;
  virNodeGetMemoryStats(connection, VIR_NODE_MEMORY_STATS_ALL_CELLS, nullptr, &count, 0);
  std::vector<virNodeMemoryStats> memory(static_cast<std::size_t>(std::max(count, 0)));
  if (memory.empty() ||
      virNodeGetMemoryStats(connection, VIR_NODE_MEMORY_STATS_ALL_CELLS, memory.data(), &count, 0) < 0)
    return fail(last_error("asking for the host's memory"));
  for (const auto& entry : memory) {
    const std::string_view field = entry.field;
    if (field == VIR_NODE_MEMORY_STATS_TOTAL) info.memory_total = kibibytes(entry.value);
    // Caches count as free: the kernel gives them up for guests.
    if (field == VIR_NODE_MEMORY_STATS_FREE || field == VIR_NODE_MEMORY_STATS_BUFFERS ||
        field == VIR_NODE_MEMORY_STATS_CACHED)
      info.memory_free = info.memory_free + kibibytes(entry.value);
  }
  return info;
}

}  // namespace umbra::virt
