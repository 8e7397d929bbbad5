#include "controller/inventory/report_check.hpp"

#include <algorithm>
#include <boost/asio/ip/address.hpp>
#include <cmath>
#include <set>

#include "base/epoch.hpp"

namespace umbra::controller {
namespace {

using Limits = ReportLimits;

constexpr double kMostCores = 1e6, kMostRate = 1e15, kMostMilliseconds = 1e12;
constexpr std::uint64_t kMostBytes = 1ULL << 60;
constexpr unsigned kMostVcpus = 100'000;
constexpr auto kQuiet = std::chrono::minutes(1);

/// Sent by honest agents too: after a move the old host still has samples to tell.
constexpr std::string_view kElsewhere = "samples of VMs that are elsewhere";

bool is_figure(double value, double most) {
  return std::isfinite(value) && value >= 0 && value <= most;
}

bool is_address(const std::string& text) {
  boost::system::error_code error;
  boost::asio::ip::make_address(text, error);
  return !error;
}

/// Of these an agent may tell; decisions, zones and the audit are the controller's.
bool may_tell(v1::EventKind kind) {
  return kind == v1::EVENT_KIND_HOST || kind == v1::EVENT_KIND_VM || kind == v1::EVENT_KIND_SHADOW ||
         kind == v1::EVENT_KIND_CUTOVER || kind == v1::EVENT_KIND_ROUTE;
}

}  // namespace

bool is_uuid(std::string_view text) {
  if (text.size() != 36) return false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    const bool dash = i == 8 || i == 13 || i == 18 || i == 23;
    if (dash ? c != '-' : !((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'))) return false;
  }
  return true;
}

/// One report's way through.
class ReportCheck::Sieve {
 public:
  Sieve(ReportCheck& check, const std::string& name) : check_(check), name_(name), now_(check.clock_.unix_ms()) {}
  ~Sieve() { tell(); }
  Sieve(const Sieve&) = delete;
  Sieve& operator=(const Sieve&) = delete;

  /// Leaves out the entries for which `fault` names one.
  template <class Field, class Fault>
  void keep(Field& field, Fault fault) {
    field.erase(std::remove_if(field.begin(), field.end(),
                               [&](const auto& entry) {
                                 const std::string_view found = fault(entry);
                                 if (!found.empty()) note(found);
                                 return !found.empty();
                               }),
                field.end());
  }
  template <class Field>
  void at_most(Field& field, int most, std::string_view what) {
    if (field.size() <= most) return;
    note(what, static_cast<std::uint64_t>(field.size() - most));
    field.erase(field.begin() + most, field.end());
  }
  /// Leaves out all of them.
  template <class Field>
  void none(Field& field, std::string_view what) {
    at_most(field, 0, what);
  }
  double figure(double value, double most, std::string_view what) {
    if (is_figure(value, most)) return value;
    note(what);
    return 0;
  }
  void cut(std::string& text, std::size_t most) {
    if (text.size() <= most) return;
    note("texts that are too long");
    auto end = most;
    while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) --end;  // not inside a character
    text.resize(end);
  }

  void vms(v1::ReportRequest& report);
  void capacity(v1::ReportRequest& report);
  void samples(v1::ReportRequest& report);
  void shadows(v1::ReportRequest& report);
  void events(v1::ReportRequest& report);
  void cutovers(v1::ReportRequest& report);
  void served(v1::ReportRequest& report);
  void known_epochs(v1::RegisterRequest& request);
  void proof(v1::HoldProof& proof) { cut(*proof.mutable_detail(), Limits::kText); }

 private:
  std::string_view sample_fault(const v1::VmSample& sample, const std::set<std::string>& listed) const;
  void note(std::string_view what, std::uint64_t count = 1) { seen_[std::string(what)] += count; }
  void tell();

  ReportCheck& check_;
  const std::string& name_;
  UnixMillis now_;
  std::map<std::string, std::uint64_t> seen_;
};

void ReportCheck::Sieve::tell() {
  auto& node = check_.nodes_[name_];
  for (const auto& [what, count] : seen_) {
    node.counts[what] += count;
    if (what == kElsewhere || check_.clock_.steady() < node.quiet_until[what]) continue;
    node.quiet_until[what] = check_.clock_.steady() + kQuiet;
    check_.events_.add(v1::EVENT_KIND_HOST, v1::SEVERITY_WARNING,
                       fmt::format("reports what is not believed: {} ({} so far); see its agent's log, and whether its "
                                   "version is the controller's",
                                   what, node.counts[what]),
                       {name_});
  }
}

void ReportCheck::Sieve::vms(v1::ReportRequest& report) {
  auto& all = *report.mutable_vms();
  if (all.size() > Limits::kVms) {  // whoever is left out would be taken for gone
    note("more VMs than a host can have", static_cast<std::uint64_t>(all.size()));
    all.Clear();
    report.set_vms_known(false);
  }
  std::set<std::string> known;
  keep(all, [&](const v1::Vm& vm) -> std::string_view {
    if (!is_uuid(vm.uuid())) return "VMs whose uuid is none";
    if (!known.insert(vm.uuid()).second) return "VMs that are listed twice";
    if (vm.name().empty() || vm.name().size() > Limits::kName) return "VMs without a name, or with an endless one";
    return {};
  });
  for (auto& vm : all) {
    keep(*vm.mutable_addresses(), [](const std::string& address) -> std::string_view {
      return is_address(address) ? std::string_view() : "addresses that are none";
    });
    at_most(*vm.mutable_addresses(), Limits::kAddresses, "more addresses than a VM may have");
    if (!v1::VmState_IsValid(vm.state())) vm.set_state(v1::VM_STATE_UNKNOWN);
    if (vm.memory_bytes() > kMostBytes || vm.vcpus() > kMostVcpus) {
      note("sizes that no VM has");
      vm.set_memory_bytes(std::min<std::uint64_t>(vm.memory_bytes(), kMostBytes));
      vm.set_vcpus(std::min(vm.vcpus(), kMostVcpus));
    }
    for (auto* name : {vm.mutable_mac(), vm.mutable_tap(), vm.mutable_account(), vm.mutable_profile()})
      cut(*name, Limits::kName);
    cut(*vm.mutable_refusal(), Limits::kText);
  }
}

void ReportCheck::Sieve::capacity(v1::ReportRequest& report) {
  const auto& told = report.capacity();
  const bool sound = is_figure(told.cpus(), kMostCores) && is_figure(told.cpus_used(), kMostCores) &&
                     told.memory_total_bytes() <= kMostBytes && told.memory_free_bytes() <= told.memory_total_bytes();
  if (sound) return;
  note("capacities that no host has");
  report.clear_capacity();  // the last one that was believed stands
}

std::string_view ReportCheck::Sieve::sample_fault(const v1::VmSample& sample,
                                                  const std::set<std::string>& listed) const {
  if (!is_uuid(sample.vm_uuid())) return "samples of VMs whose uuid is none";
  if (sample.at_unix_ms() <= 0 || sample.at_unix_ms() > now_ + Limits::kClockSkew) return "samples of another time";
  for (const auto rate :
       {sample.net_rx_bytes_per_second(), sample.net_tx_bytes_per_second(), sample.disk_read_bytes_per_second(),
        sample.disk_write_bytes_per_second(), sample.dirty_bytes_per_second()})
    if (!is_figure(rate, kMostRate)) return "samples whose figures are none";
  if (!is_figure(sample.cpus_used(), kMostCores) || sample.memory_used_bytes() > kMostBytes)
    return "samples whose figures are none";
  const auto* record = check_.inventory_.vm(sample.vm_uuid());
  const bool own = record == nullptr ? listed.contains(sample.vm_uuid())
                                     : record->host == name_ || (record->moving() && record->moving_to == name_);
  return own ? std::string_view() : kElsewhere;
}

void ReportCheck::Sieve::samples(v1::ReportRequest& report) {
  std::set<std::string> listed;
  for (const auto& vm : report.vms()) listed.insert(vm.uuid());
  at_most(*report.mutable_samples(), Limits::kSamples, "more samples than one report may have");
  keep(*report.mutable_samples(), [&](const v1::VmSample& sample) { return sample_fault(sample, listed); });
}

void ReportCheck::Sieve::shadows(v1::ReportRequest& report) {
  at_most(*report.mutable_shadows(), Limits::kVms, "more shadows than VMs");
  keep(*report.mutable_shadows(), [&](const v1::Shadow& shadow) -> std::string_view {
    if (!is_uuid(shadow.vm_uuid())) return "shadows of VMs whose uuid is none";
    if (shadow.source() != name_) return "shadows that another host keeps";
    if (!v1::ShadowPhase_IsValid(shadow.phase()) || !v1::Tier_IsValid(shadow.tier()))
      return "shadows of no known phase";
    return {};
  });
  constexpr std::string_view kNone = "figures of shadows that are none";
  for (auto& shadow : *report.mutable_shadows()) {
    shadow.set_rate_bytes_per_second(figure(shadow.rate_bytes_per_second(), kMostRate, kNone));
    shadow.set_dirty_bytes_per_second(figure(shadow.dirty_bytes_per_second(), kMostRate, kNone));
    for (auto* name : {shadow.mutable_vm_name(), shadow.mutable_standby()}) cut(*name, Limits::kName);
    cut(*shadow.mutable_detail(), Limits::kText);
  }
}

void ReportCheck::Sieve::events(v1::ReportRequest& report) {
  const auto actor = "agent " + name_;
  at_most(*report.mutable_events(), Limits::kEvents, "more events than one report may have");
  keep(*report.mutable_events(), [](const v1::Event& event) -> std::string_view {
    if (event.kind() == v1::EVENT_KIND_AUDIT) return "entries for the audit, which is the controller's";
    return may_tell(event.kind()) ? std::string_view() : "events that are not an agent's to tell";
  });
  for (auto& event : *report.mutable_events()) {
    if (!event.actor().empty() && event.actor() != actor) note("events in another's name");
    event.set_actor(actor);
    if (event.at_unix_ms() <= 0 || event.at_unix_ms() > now_ + Limits::kClockSkew) event.set_at_unix_ms(now_);
    if (!v1::Severity_IsValid(event.severity())) event.set_severity(v1::SEVERITY_WARNING);
    cut(*event.mutable_vm(), Limits::kName);
    cut(*event.mutable_text(), Limits::kText);
  }
}

void ReportCheck::Sieve::cutovers(v1::ReportRequest& report) {
  at_most(*report.mutable_cutovers(), Limits::kCutovers, "more cutovers than one report may have");
  keep(*report.mutable_cutovers(), [&](const v1::CutoverResult& result) -> std::string_view {
    if (!is_uuid(result.vm_uuid())) return "cutovers of VMs whose uuid is none";
    if (result.from() != name_) return "cutovers from another host";
    if (result.epoch() == 0 || result.epoch() > kGreatestEpoch) return "cutovers in an epoch that no VM reaches";
    return {};
  });
  constexpr std::string_view kNone = "times of cutovers that are none";
  for (auto& result : *report.mutable_cutovers()) {
    result.set_blackout_ms(figure(result.blackout_ms(), kMostMilliseconds, kNone));
    result.set_blackout_error_ms(figure(result.blackout_error_ms(), kMostMilliseconds, kNone));
    result.set_reach_ms(figure(result.reach_ms(), kMostMilliseconds, kNone));
    at_most(*result.mutable_phases(), Limits::kPhases, "more phases than a cutover has");
    for (auto& phase : *result.mutable_phases()) {
      phase.set_at_ms(figure(phase.at_ms(), kMostMilliseconds, kNone));
      phase.set_took_ms(figure(phase.took_ms(), kMostMilliseconds, kNone));
      cut(*phase.mutable_name(), Limits::kName);
    }
    cut(*result.mutable_vm(), Limits::kName);
    cut(*result.mutable_to(), Limits::kName);
    cut(*result.mutable_detail(), Limits::kText);
    cut(*result.mutable_reason(), Limits::kText);
  }
}

void ReportCheck::Sieve::served(v1::ReportRequest& report) {
  at_most(*report.mutable_served(), Limits::kVms, "more VMs than a host can have");
  keep(*report.mutable_served(), [](const v1::ServedVm& vm) -> std::string_view {
    if (!is_uuid(vm.vm_uuid())) return "VMs whose uuid is none";
    return vm.epoch() > kGreatestEpoch ? "epochs that no VM reaches" : std::string_view();
  });
  at_most(*report.mutable_definitions(), Limits::kVms, "more definitions than VMs");
  keep(*report.mutable_definitions(), [](const v1::Definition& definition) -> std::string_view {
    if (!is_uuid(definition.vm_uuid())) return "definitions of VMs whose uuid is none";
    return definition.xml().size() > Limits::kDefinition ? "definitions that are too long" : std::string_view();
  });
  for (auto& definition : *report.mutable_definitions()) cut(*definition.mutable_refusal(), Limits::kText);
}

void ReportCheck::Sieve::known_epochs(v1::RegisterRequest& request) {
  at_most(*request.mutable_known_epochs(), Limits::kKnownEpochs, "more epochs than VMs");
  keep(*request.mutable_known_epochs(), [&](const v1::KnownEpoch& known) -> std::string_view {
    // A route has an epoch and no name of its VM after the node's restart.
    if (known.address().empty() ? !is_uuid(known.vm_uuid()) : !is_address(known.address()))
      return "epochs of VMs whose uuid is none";
    const auto* record = check_.inventory_.vm(known.vm_uuid());
    const auto here = record != nullptr ? record->epoch : 0;
    return known.epoch() > here + Limits::kEpochLead ? "epochs that no VM reaches" : std::string_view();
  });
}

void ReportCheck::sift(const std::string& node, v1::Role role, v1::ReportRequest& report) {
  Sieve sieve(*this, node);
  if (role != v1::ROLE_AGENT) {
    constexpr std::string_view kNoHost = "VMs of a node that is no host";
    report.set_vms_known(false);
    sieve.none(*report.mutable_vms(), kNoHost);
    sieve.none(*report.mutable_samples(), kNoHost);
    sieve.none(*report.mutable_shadows(), kNoHost);
    sieve.none(*report.mutable_cutovers(), kNoHost);
    sieve.none(*report.mutable_served(), kNoHost);
    sieve.none(*report.mutable_definitions(), kNoHost);
  }
  sieve.vms(report);
  if (report.has_capacity()) sieve.capacity(report);
  sieve.samples(report);
  sieve.shadows(report);
  sieve.events(report);
  sieve.cutovers(report);
  sieve.served(report);
  if (report.has_proof()) sieve.proof(*report.mutable_proof());
}

void ReportCheck::sift(const std::string& node, v1::Role, v1::RegisterRequest& request) {
  Sieve sieve(*this, node);
  sieve.cut(*request.mutable_version(), ReportLimits::kName);
  sieve.cut(*request.mutable_node()->mutable_zone(), ReportLimits::kName);
  if (request.has_proof()) sieve.proof(*request.mutable_proof());
  sieve.known_epochs(request);
}

}  // namespace umbra::controller
