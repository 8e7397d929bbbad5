#include "agentd/host.hpp"

#include <spdlog/spdlog.h>

#include "agentd/shadow/describe.hpp"

namespace umbra::agent {
namespace {

using namespace std::chrono_literals;

constexpr Deadline kCall = 5s;
constexpr auto kInventoryEvery = 10s;  // also without any event
constexpr auto kRetry = 2s;
constexpr auto kProveAgain = 1min;  // the host may have been overloaded; its QEMU may be replaced
constexpr auto kDirtyEvery = 1min;
constexpr auto kDirtyPeriod = 1s;  // QEMU samples pages at its begin and end

/// Nothing left to look after, here or in the next life of the agent.
bool over(const shadow::Record& record) {
  if (record.phase != shadow::Phase::kDropped || !record.wish.empty()) return false;
  v1::ShadowOrigin origin;  // a cutover that did not move it may have left it without its autostart
  return !record.cutover.empty() || !origin.ParseFromString(record.origin) || !origin.autostart_withdrawn();
}

}  // namespace

Host::Host(asio::any_io_executor executor, Clock& clock, const AgentConfig& config, virt::Hypervisor& hypervisor,
           Network& network, shadow::Journal& journal, shadow::Peers& peers, shadow::Gates& gates, Outbox& outbox,
           Hooks hooks)
    : executor_(executor),
      clock_(clock),
      config_(config),
      hypervisor_(hypervisor),
      network_(network),
      journal_(journal),
      outbox_(outbox),
      hooks_(std::move(hooks)),
      context_{executor,
               clock,
               hypervisor,
               network,
               journal,
               peers,
               gates,
               config.source,
               [this](v1::Severity severity, const std::string& vm, const std::string& text) {
                 outbox_.event(v1::EVENT_KIND_SHADOW, severity, vm, text);
                 hooks_.nudge();
               },
               [this](const v1::CutoverResult& result) {
                 outbox_.cutover(result);
                 hooks_.nudge();
               },
               [this] { hooks_.nudge(); }},
      standby_(executor, clock, hypervisor, network, journal, gates, config.standby,
               shadow::Standby::Hooks{[this] { return refusal(); },
                                      [this](const v1::Vm& vm, std::uint64_t epoch) {
                                        epochs_[vm.uuid()] = epoch;
                                        since_[vm.uuid()] = clock_.unix_ms();
                                        outdate_inventory();
                                      },
                                      context_.note}),
      leases_(executor, clock, peers, journal, config.source,
              shadow::Leases::Hooks{[this] { return kept(); },
                                    [this](const std::string& uuid, const v1::ShadowId& id, std::string why) {
                                      if (const auto kept = source(uuid)) kept->lost(id, std::move(why));
                                    }}),
      images_(hypervisor,
              [this](const std::string& vm, const std::string& text) {
                outbox_.event(v1::EVENT_KIND_HOST, v1::SEVERITY_WARNING, vm, text);
              }),
      changed_(executor, clock) {
  if (auto withheld = read_withheld(withheld_file(config.state_dir)))
    withheld_ = std::move(*withheld);
  else
    spdlog::error("{}", withheld.error());
  if (const auto contents = journal_.load()) {
    for (const auto& record : contents->records)
      remembered_[record.vm_uuid] = std::max(remembered_[record.vm_uuid], record.epoch);
    remembered_all_ = contents->damaged.empty();
  }
  hypervisor_.listen({[this](const auto& event) { on_lifecycle(event); }, [this](bool up) { on_connection(up); }});
}

std::string Host::refusal() const {
  if (releasing_) return "it shuts down, or Umbra is being removed from it";
  if (proof_.proven()) return {};
  return proof_.detail().empty() ? "the hold is being proven, try again in a few seconds" : proof_.detail();
}

void Host::stop() {
  stopping_ = true;
  for (const auto& [uuid, source] : sources_) source->stop();
  leases_.stop();
  changed_.notify();
}

/// Events come in bursts, and those of a cutover at a moment when the guest needs the cores.
void Host::outdate_inventory() {
  inventory_due_ = std::min(inventory_due_, clock_.steady() + shadow::kArrival);
  changed_.notify();
}

void Host::on_lifecycle(const virt::LifecycleEvent& event) {
  outdate_inventory();
  if (event.change == virt::LifecycleChange::kDefined) definitions_[event.uuid].due = {};
  if (event.change == virt::LifecycleChange::kStopped && standby_.holds(event.uuid))
    asio::co_spawn(executor_, standby_.domain_stopped(event.uuid), asio::detached);
  const bool lives_on =
      event.change == virt::LifecycleChange::kChanged || event.change == virt::LifecycleChange::kDefined;
  if (lives_on && standby_.holds(event.uuid))
    asio::co_spawn(executor_, standby_.domain_changed(event.uuid), asio::detached);
  const auto kept = source(event.uuid);
  if (!kept) return;
  if (lives_on)
    kept->definition_changed();
  else
    kept->domain_changed(event.change == virt::LifecycleChange::kReset ||
                         event.change == virt::LifecycleChange::kStarted ||
                         event.change == virt::LifecycleChange::kStopped);
}

void Host::on_connection(bool up) {
  if (hypervisor_up_ == up) return;
  hypervisor_up_ = up;
  inventory_due_ = clock_.steady();
  inventory_known_ = inventory_known_ && up;
  outbox_.event(v1::EVENT_KIND_HOST, up ? v1::SEVERITY_INFO : v1::SEVERITY_WARNING, "",
                up ? "libvirt is reachable" : "libvirt is not reachable; VMs and shadows stay as they are");
  for (const auto& [uuid, source] : sources_) source->hypervisor_changed(up);
  changed_.notify();
  hooks_.nudge();
}

asio::awaitable<void> Host::run() {
  auto sample_due = clock_.steady();
  inventory_due_ = clock_.steady();
  auto proof_due = clock_.steady();
  while (!stopping_) {
    const auto now = clock_.steady();
    if (!hypervisor_up_) {
      co_await changed_.wait_until(now + kRetry);
      continue;
    }
    Result<void> step;
    if (!recovered_) {
      step = co_await recover();
    } else if (!proof_.proven() && now >= proof_due && !releasing_) {
      step = co_await prove();
      proof_due = clock_.steady() + kProveAgain;
    } else if (now >= inventory_due_) {
      inventory_due_ = now + kInventoryEvery;
      step = co_await take_inventory();
    } else if (now >= sample_due) {
      sample_due = now + config_.sample_interval;
      step = co_await take_samples();
    } else {
      const auto due = std::min(sample_due, inventory_due_);
      co_await changed_.wait_until(proof_.proven() || releasing_ ? due : std::min(due, proof_due));
      continue;
    }
    if (!step) {
      spdlog::warn("{}", step.error());
      co_await changed_.wait_until(clock_.steady() + kRetry);
      inventory_due_ = clock_.steady();
    }
  }
}

/// Nothing is done for these VMs, on either side, until the operator has looked at them.
void Host::leave_alone(const std::vector<shadow::Damaged>& damaged) {
  for (const auto& record : damaged) {
    if (!damaged_.emplace(record.vm_uuid, record.reason).second) continue;
    standby_.leave_alone(record.vm_uuid, record.reason);
    outbox_.event(v1::EVENT_KIND_SHADOW, v1::SEVERITY_ALERT, record.vm_uuid, undamaged(record.vm_uuid).error().text());
  }
  if (!journal_.lost().empty() && !std::exchange(loss_told_, true))
    outbox_.event(v1::EVENT_KIND_HOST, v1::SEVERITY_ALERT, "",
                  journal_.lost() + "; shadows and cutovers that were under way here are not known any more");
}

Result<void> Host::undamaged(const std::string& vm_uuid) const {
  const auto found = damaged_.find(vm_uuid);
  if (found == damaged_.end()) return {};
  return fail(
      {Errc::kCorrupt,
       fmt::format("its record in the journal of {} is damaged ({}), so Umbra leaves it alone", config_.name,
                   found->second),
       fmt::format("look at the VM on both hosts; then, on {}, umbra-agentd --forget-damaged {}, and restart it",
                   config_.name, vm_uuid)});
}

std::vector<shadow::Kept> Host::kept() const {
  std::vector<shadow::Kept> list;
  for (const auto& [uuid, source] : sources_)
    if (auto kept = source->kept()) list.push_back(std::move(*kept));
  return list;
}

Task<void> Host::recover() {
  UMBRA_CO_TRY(auto contents, journal_.load());
  leave_alone(contents.damaged);
  auto& records = contents.records;
  for (auto& record : records)
    if (damaged_.contains(record.vm_uuid)) standby_.outdate(record.vm_uuid, record.epoch);
  std::erase_if(records, [this](const auto& record) { return damaged_.contains(record.vm_uuid); });
  UMBRA_CO_CHECK(co_await standby_.recover(records));
  for (auto& record : records) {
    const auto uuid = record.vm_uuid;
    if (record.side != shadow::Side::kSource) {
      if (record.phase == shadow::Phase::kMoved) epochs_[uuid] = record.epoch;
      continue;
    }
    if (over(record)) {
      if (!record.cutover.empty())
        last_cutovers_[uuid] = shadow::account_of(record, config_.name, v1::OUTCOME_MOVED, "");
      retired_[uuid] = std::move(record);
      continue;
    }
    auto source = std::make_shared<shadow::Source>(context_, std::move(record));
    sources_[uuid] = source;
    supervise(source, uuid);
  }
  recovered_ = true;
  asio::co_spawn(executor_, leases_.run(), asio::detached);
  co_return Result<void>{};
}

Task<void> Host::prove() {
  const auto before = proof_.detail();
  const auto proof = co_await hooks_.prove();
  if (proof)
    proof_ = *proof;
  else
    proof_.set_detail(proof.error().text());
  proof_.set_proven_at_unix_ms(clock_.unix_ms());
  if (const auto host = co_await hypervisor_.host(kCall); host) proof_.set_libvirt_version(host->libvirt_version);
  if (proof_.detail() == before) co_return Result<void>{};  // nothing new
  outbox_.event(
      v1::EVENT_KIND_HOST, proof_.proven() ? v1::SEVERITY_INFO : v1::SEVERITY_ALERT, "",
      fmt::format("{}: {}", proof_.proven() ? "the hold is proven" : "no warm shadows here", proof_.detail()));
  hooks_.nudge();
  co_return Result<void>{};
}

/// What runs here, what is defined here; taps for all of it, a route for what runs.
Task<void> Host::take_inventory() {
  co_await standby_.tidy();
  UMBRA_CO_CHECK(co_await obey());
  UMBRA_CO_CHECK(co_await restore_autostart());
  UMBRA_CO_TRY(const auto domains, co_await hypervisor_.domains(kCall));
  co_await standby_.sweep(domains);
  UMBRA_CO_TRY(const auto host, co_await hypervisor_.host(kCall));
  UMBRA_CO_TRY(const auto free, co_await standby_.free_memory());
  std::map<std::string, v1::Vm> vms;
  for (const auto& domain : domains) {
    if (standby_.holds(domain.uuid) || domain.is_shadow()) continue;  // if of a journal that was lost
    if (damaged_.contains(domain.uuid) && domain.state != virt::DomainState::kRunning) continue;  // a shadow, may be
    if (const auto kept = source(domain.uuid); kept && kept->phase() == shadow::Phase::kMoved) continue;
    auto& vm = vms[domain.uuid] = shadow::describe(domain);
    if (vm.refusal().empty()) vm.set_refusal(network_.objection(vm));
  }
  // A domain that is neither running nor defined any more needs nobody who waits to shadow it, and no tap.
  const auto rests = [](const shadow::Source& source) { return !exists(source.phase()); };
  for (const auto& [uuid, source] : sources_)
    if (!vms.contains(uuid) && rests(*source)) source->stop();
  for (const auto& [uuid, how] : std::map(attached_))
    if (const auto kept = source(uuid); !vms.contains(uuid) && !standby_.holds(uuid) && (!kept || rests(*kept))) {
      if (const auto detached = network_.detach(uuid); !detached) spdlog::warn("{}: {}", uuid, detached.error());
      attached_.erase(uuid);
    }
  std::erase_if(unserved_, [&](const auto& entry) { return !vms.contains(entry.first); });
  for (const auto& [uuid, vm] : vms) adopt_network(vm);
  co_await look_for_left_behind(domains);
  capacity_.set_cpus(config_.cpus > 0 ? config_.cpus : host.cpus);
  capacity_.set_memory_total_bytes(config_.standby.memory.count != 0 ? config_.standby.memory.count
                                                                     : host.memory_total.count);
  capacity_.set_memory_free_bytes(free.count);
  vms_ = std::move(vms);
  UMBRA_CO_CHECK(co_await take_definitions());
  inventory_known_ = true;
  hooks_.nudge();
  co_await tend(domains);
  co_return Result<void>{};
}

/// Not of one that is in a cutover: nothing may stand between libvirt and it.
asio::awaitable<void> Host::tend(std::vector<virt::Domain> domains) {
  std::erase_if(domains, [this](const virt::Domain& domain) {
    const auto kept = source(domain.uuid);
    return domain.state != virt::DomainState::kRunning || !vms_.contains(domain.uuid) ||
           (kept && (in_cutover(kept->phase()) || kept->phase() == shadow::Phase::kMoved));
  });
  co_await images_.look(std::move(domains));
}

void Host::adopt_network(const v1::Vm& vm) {
  const auto kept = source(vm.uuid());
  if (kept && (in_cutover(kept->phase()) || kept->phase() == shadow::Phase::kMoved))
    return;  // a cutover has its routes in hand
  if (damaged_.contains(vm.uuid())) return;
  // A domain that is just being started is listed without its tap.
  if (vm.tap().empty()) return;
  const auto how = fmt::format("{} {} {}", vm.tap(), vm.mac(), fmt::join(vm.addresses(), " "));
  if (auto& done = attached_[vm.uuid()]; done != how) {
    if (const auto attached = network_.attach(vm); !attached) return complain(vm, attached.error().text());
    done = how;
  }
  if (vm.state() != v1::VM_STATE_RUNNING) return;
  const auto served = network_.serve(vm, epochs_[vm.uuid()]);
  complain(vm, served ? "" : served.error().text());
}

/// That its addresses do not lead here is told when it is news. @param why empty: they do
void Host::complain(const v1::Vm& vm, const std::string& why) {
  auto& told = unserved_[vm.uuid()];
  if (std::exchange(told, why) != why && !why.empty())
    outbox_.event(v1::EVENT_KIND_ROUTE, v1::SEVERITY_WARNING, vm.name(), why);
}

Task<void> Host::take_samples() {
  UMBRA_CO_TRY(const auto stats, co_await hypervisor_.stats(kCall));
  double cpus = 0;
  for (auto& sample : sampler_.sample(stats, clock_.steady(), clock_.unix_ms())) {
    cpus += sample.cpus_used();
    if (!vms_.contains(sample.vm_uuid())) continue;
    const auto kept = source(sample.vm_uuid());
    // While a pre-copy is open QEMU cannot be asked for the dirty rate, but the refreshes tell it.
    if (kept && (is_held(kept->phase()) || in_cutover(kept->phase())))
      sample.set_dirty_bytes_per_second(kept->status().dirty_bytes_per_second());
    outbox_.sample(std::move(sample));
  }
  capacity_.set_cpus_used(cpus);
  co_await measure_dirty_rates();
  co_return Result<void>{};
}

/// Each guest now and then: what a shadow of it would cost is part of its profile. The next sample carries the answer.
asio::awaitable<void> Host::measure_dirty_rates() {
  std::vector<std::string> due;
  for (const auto& [uuid, vm] : vms_) {
    const auto kept = source(uuid);
    const bool copied = kept && has_precopy(kept->phase());
    if (vm.state() == v1::VM_STATE_RUNNING && !copied && clock_.steady() >= dirty_due_[uuid]) due.push_back(uuid);
  }
  std::erase_if(dirty_due_, [this](const auto& entry) { return !vms_.contains(entry.first); });
  for (const auto& uuid : due) {
    dirty_due_[uuid] = clock_.steady() + kDirtyEvery;
    const auto begun = co_await hypervisor_.measure_dirty_rate(uuid, kDirtyPeriod, kCall);
    if (!begun) spdlog::debug("{}: {}", uuid, begun.error());  // it ended, or a job of libvirt's keeps it busy
  }
}

Task<v1::Vm> Host::shadowable(std::string vm_uuid) {
  UMBRA_CO_CHECK(undamaged(vm_uuid));
  UMBRA_CO_TRY(const auto domain, co_await hypervisor_.domain(vm_uuid, kCall));
  if (!domain.refusal.empty())
    co_return fail({Errc::kUnsupported, fmt::format("{} cannot have a shadow: {}", domain.name, domain.refusal), ""});
  if (domain.state != virt::DomainState::kRunning) {
    const std::string remedy = domain.state == virt::DomainState::kShutOff ? "start" : "resume";
    co_return fail({Errc::kConflict, fmt::format("{} does not run", domain.name),
                    fmt::format("virsh {} {}, on {}", remedy, domain.name, config_.name)});
  }
  if (const auto why = refusal(); !why.empty())
    co_return fail({Errc::kUnsupported, fmt::format("{} keeps no shadows: {}", config_.name, why),
                    "umbractl doctor shows the proof of the hold"});
  auto vm = shadow::describe(domain);
  if (const auto why = network_.objection(vm); !why.empty())
    co_return fail({Errc::kUnsupported, fmt::format("{} cannot have a shadow: {}", domain.name, why), ""});
  co_return vm;
}

std::shared_ptr<shadow::Source> Host::source(const std::string& vm_uuid) const {
  const auto found = sources_.find(vm_uuid);
  return found == sources_.end() ? nullptr : found->second;
}

void Host::supervise(std::shared_ptr<shadow::Source> source, std::string vm_uuid) {
  asio::co_spawn(executor_, supervised(std::move(source), std::move(vm_uuid)), asio::detached);
}

asio::awaitable<void> Host::supervised(std::shared_ptr<shadow::Source> source, std::string vm_uuid) {
  try {
    co_await source->run();
  } catch (const std::exception& bug) {  // InvariantViolation, too
    outbox_.event(v1::EVENT_KIND_SHADOW, v1::SEVERITY_ALERT, vm_uuid,
                  fmt::format("bug: {}; its shadow is no longer looked after until the agent restarts", bug.what()));
    co_return;
  }
  if (source->last_cutover()) last_cutovers_[vm_uuid] = *source->last_cutover();
  retired_[vm_uuid] = source->record();
  standby_.outdate(vm_uuid, source->record().epoch);
  if (source->moved()) vms_.erase(vm_uuid);
  sources_.erase(vm_uuid);
  attached_.erase(vm_uuid);
  outdate_inventory();
}

Task<v1::Shadow> Host::keep_shadow(v1::KeepShadowRequest request) {
  if (!recovered_) co_return fail(Errc::kUnavailable, "{} is still recovering", config_.name);
  if (request.standby().name() == config_.name)
    co_return fail(Errc::kInvalid, "the VM runs on {} itself", config_.name);
  UMBRA_CO_TRY(const auto vm, co_await shadowable(request.vm_uuid()));
  for (const auto& router : request.routers()) context_.peers.peer(router);  // is connected to from now on
  request.clear_routers();  // no part of the wish, which the journal holds
  auto kept = source(request.vm_uuid());
  if (!kept) {
    shadow::Record record{request.vm_uuid(), shadow::Side::kSource, shadow::Phase::kProfile, 0, {}, {}};
    if (auto retired = retired_.extract(request.vm_uuid())) record = std::move(retired.mapped());
    record.epoch = std::max(record.epoch, epochs_[request.vm_uuid()]);  // the one in which it came here
    kept = std::make_shared<shadow::Source>(context_, std::move(record));
    sources_[request.vm_uuid()] = kept;
    kept->want(std::move(request));
    supervise(kept, vm.uuid());
  } else {
    kept->want(std::move(request));
  }
  auto status = kept->status();
  status.set_vm_name(vm.name());
  co_return status;
}

Task<void> Host::drop_shadow(v1::DropShadowRequest request) {
  if (const auto kept = source(request.vm_uuid())) kept->unwant(request.why());
  co_return Result<void>{};
}

Task<v1::CutoverResult> Host::cutover(v1::CutoverRequest request, shadow::Cutover::Progress progress) {
  UMBRA_CO_CHECK(undamaged(request.vm_uuid()));
  const auto kept = source(request.vm_uuid());
  if (!kept)
    co_return fail({Errc::kNotFound, fmt::format("{} keeps no shadow of VM {}", config_.name, request.vm_uuid()),
                    "umbractl shadow keep"});
  co_return co_await kept->cutover(std::move(request), std::move(progress));
}

Task<v1::CutoverResult> Host::last_cutover(std::string vm_uuid) {
  if (!recovered_) co_return fail(Errc::kUnavailable, "{} is still recovering", config_.name);
  const auto kept = source(vm_uuid);
  if (kept && kept->cuts_over()) co_return fail(Errc::kUnavailable, "a cutover of VM {} is under way", vm_uuid);
  if (kept && kept->last_cutover()) co_return *kept->last_cutover();
  if (const auto found = last_cutovers_.find(vm_uuid); found != last_cutovers_.end()) co_return found->second;
  co_return fail(Errc::kNotFound, "{} knows of no cutover of VM {}", config_.name, vm_uuid);
}

Task<std::vector<v1::Check>> Host::diagnose() {
  std::vector<v1::Check> checks;
  const auto add = [&](std::string name, bool ok, std::string detail, std::string remedy) {
    v1::Check check;
    check.set_node(config_.name);
    check.set_name(std::move(name));
    check.set_ok(ok);
    check.set_detail(std::move(detail));
    if (!ok) check.set_remedy(std::move(remedy));
    checks.push_back(std::move(check));
  };
  const auto host = co_await hypervisor_.host(kCall);
  add("libvirt", host.has_value(),
      host ? fmt::format("libvirt {}, {}", host->libvirt_version, host->hypervisor_version) : host.error().message,
      host ? "" : host.error().remedy);
  add("hold", proof_.proven(), refusal().empty() ? proof_.detail() : refusal(),
      "warm shadows need QEMU 8.1 or newer; see the agent's log");
  const auto free = co_await standby_.free_memory();
  add("memory", free.has_value(), free ? fmt::format("{} free for shadows", to_string(*free)) : free.error().message,
      "libvirt must be reachable");
  for (const auto& [uuid, reason] : damaged_)
    add("journal", false, fmt::format("VM {}: {}", uuid, undamaged(uuid).error().message),
        undamaged(uuid).error().remedy);
  if (const auto there = journal_.check_in_place(); !there)
    add("journal", false, there.error().message, there.error().remedy);
  if (!journal_.lost().empty())
    add("journal", false, journal_.lost(), "look at the VMs that had a shadow here, or there; then restart the agent");
  for (const auto& held : standby_.held())
    if (!held.detail().empty()) add("shadow of " + held.vm_name(), false, held.detail(), "see its detail");
  for (const auto& [uuid, vm] : vms_)
    if (!vm.refusal().empty()) add("VM " + vm.name(), false, "cannot have a shadow: " + vm.refusal(), "");
  co_return checks;
}

Result<shadow::Standby*> Host::standby() {
  if (!recovered_) return fail(Errc::kUnavailable, "{} is still recovering", config_.name);
  return &standby_;
}

const v1::Vm* Host::vm(const std::string& vm_uuid) const {
  const auto found = vms_.find(vm_uuid);
  return found == vms_.end() ? nullptr : &found->second;
}

}  // namespace umbra::agent
