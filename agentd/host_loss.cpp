// What the controller asks of a host when another one is lost, or when a cutover with it cannot be decided.
#include <spdlog/spdlog.h>

#include "agentd/host.hpp"
#include "agentd/shadow/describe.hpp"
#include "agentd/virt/domain_xml.hpp"
#include "agentd/virt/foreign_domain.hpp"
#include "agentd/virt/xml_limits.hpp"

namespace umbra::agent {
namespace {

using namespace std::chrono_literals;

constexpr Deadline kCall = 5s;
constexpr Deadline kStart = 60s;
constexpr Deadline kCleared = 20s;
constexpr std::size_t kMostDefinition = 256 * 1024;
constexpr auto kFreshWord = 10s;  // the controller's, on what was taken over: it is repeated with every report

std::string_view word(virt::DomainState state) {
  switch (state) {
    case virt::DomainState::kRunning:
      return "running";
    case virt::DomainState::kPaused:
      return "paused";
    case virt::DomainState::kShutOff:
      return "shut off";
    case virt::DomainState::kCrashed:
      return "crashed";
    case virt::DomainState::kOther:
      return "in another state";
  }
  return "in another state";
}

Result<virt::Domain> parse_definition(const v1::StartDefinitionRequest& request, const virt::ForeignRules& rules) {
  if (request.xml().size() > kMostDefinition)
    return fail(Errc::kInvalid, "the definition has {} bytes, more than {}", request.xml().size(), kMostDefinition);
  UMBRA_CHECK(virt::check_xml(request.xml()));
  UMBRA_TRY(auto domain, virt::parse_domain(request.xml()));
  // The controller hands on what another host told it.
  const virt::ForeignClaim claim{request.vm().uuid(), domain.name, domain.tap, domain.memory, false};
  UMBRA_CHECK(virt::check_foreign(request.xml(), claim, rules));
  if (domain.uuid != request.vm().uuid())
    return fail(Errc::kInvalid, "the definition is of VM {}, not of {}", domain.uuid, request.vm().uuid());
  if (!domain.refusal.empty())
    return fail(
        {Errc::kUnsupported, fmt::format("{} cannot run on another host: {}", domain.name, domain.refusal), ""});
  return domain;
}

}  // namespace

Task<void> Host::start_definition(v1::StartDefinitionRequest request) {
  if (!recovered_) co_return fail(Errc::kUnavailable, "{} is still recovering", config_.name);
  UMBRA_CO_TRY(auto defined, parse_definition(request, config_.foreign));
  const auto uuid = defined.uuid;
  const auto epoch = request.epoch();
  const auto newest = newest_epoch(uuid);
  const bool again = epochs_[uuid] == epoch && newest == epoch;
  if (epoch <= newest && !again)
    co_return fail(Errc::kConflict, "epoch {} of {} is not newer than {}", epoch, defined.name, newest);
  // A copy that moved away and is not cleared away yet: that would undefine what is started now.
  const auto is_left = [&] { return source(uuid) && source(uuid)->phase() == shadow::Phase::kMoved; };
  UMBRA_CO_CHECK(co_await changed_.until([&] { return !is_left(); }, kCleared, "clearing away what moved from here"));
  if (!again && standby_.holds(uuid)) {  // of a source that is off: its memory is worth nothing
    auto why = request.from().empty()
                   ? std::string("no host had it, and it is started from its definition")
                   : fmt::format("{} is fenced, and it is started from its definition", request.from());
    UMBRA_CO_CHECK(co_await standby_.give_up(uuid, std::move(why)));
    if (standby_.holds(uuid))
      co_return fail({Errc::kConflict,
                      fmt::format("{} holds a shadow of {} that cannot be dropped", config_.name, defined.name),
                      "see umbra-agentd's log there"});
  }
  const auto there = co_await hypervisor_.domain(uuid, kCall);
  if (!there && there.error().code != Errc::kNotFound) co_return fail(there.error());
  const bool active = there && there->state != virt::DomainState::kShutOff;
  if (active && !again)
    co_return fail(
        {Errc::kConflict, fmt::format("{} is {} on {} already", defined.name, word(there->state), config_.name), ""});
  if (!active) {
    UMBRA_CO_TRY(const auto free, co_await standby_.free_memory());
    if (free.count < defined.memory.count)
      co_return fail({Errc::kExhausted,
                      fmt::format("{} has {} free, {} needs {}", config_.name, to_string(free), defined.name,
                                  to_string(defined.memory)),
                      "choose another host"});
  }
  const Before before{epochs_.contains(uuid) ? epochs_.at(uuid) : 0, standby_.served(uuid), there.has_value()};
  if (!again) {  // durable before anything runs: whoever had it before had it in an older epoch
    shadow::Record record{uuid, shadow::Side::kStandby, shadow::Phase::kMoved, epoch, {}, {}};
    UMBRA_CO_CHECK(co_await journal_.write(std::move(record)));
    epochs_[uuid] = epoch;
    since_[uuid] = clock_.unix_ms();
    standby_.took(uuid, epoch);
  }
  UMBRA_CO_TRY(auto xml, virt::clean_xml(request.xml()));
  const bool paused = !active || there->state == virt::DomainState::kPaused;
  defined.state = virt::DomainState::kRunning;
  auto vm = shadow::describe(defined);
  Result<void> started;
  if (!active) {
    auto made_as = vm;
    started = co_await make(std::move(made_as), std::move(xml));
  }
  if (started && paused) started = co_await hypervisor_.resume(uuid, kCall);
  if (!started) {
    // It may start yet, if that is not known; and it is asked for again in the same epoch.
    if (!again && !active && !shadow::unknown(started.error())) co_await give_back(std::move(vm), epoch, before);
    co_return started;
  }
  if (request.autostart()) {
    auto marked = uuid, name = defined.name;
    co_await start_at_boot(std::move(marked), std::move(name));
  }
  outbox_.event(v1::EVENT_KIND_VM, v1::SEVERITY_WARNING, defined.name,
                fmt::format("started from its definition in epoch {}, as {}", epoch,
                            request.from().empty() ? "no host had it" : request.from() + " is fenced"));
  inventory_due_ = clock_.steady();
  changed_.notify();
  co_return Result<void>{};
}

Task<void> Host::make(v1::Vm vm, std::string xml) {
  UMBRA_CO_CHECK(network_.attach(vm));
  UMBRA_CO_CHECK(co_await hypervisor_.define(xml, kCall));
  UMBRA_CO_CHECK(co_await hypervisor_.create_paused(xml, kStart));
  co_return Result<void>{};
}

/// A start that failed for certain: as if it had not been asked for, but that its epoch is over.
asio::awaitable<void> Host::give_back(v1::Vm vm, std::uint64_t epoch, Before before) {
  const auto uuid = vm.uuid();
  const auto domain = co_await hypervisor_.domain(uuid, kCall);
  if (!domain && domain.error().code != Errc::kNotFound) co_return;
  if (domain && domain->state != virt::DomainState::kShutOff) co_return;
  if (domain && !before.defined)
    if (const auto gone = co_await hypervisor_.undefine(uuid, kCall); !gone)
      spdlog::warn("{}: its definition stays: {}", vm.name(), gone.error());
  if (const auto detached = network_.detach(uuid); !detached) spdlog::warn("{}: {}", vm.name(), detached.error());
  shadow::Record record{uuid, shadow::Side::kStandby, shadow::Phase::kDropped, epoch, {}, {}};
  if (const auto written = co_await journal_.write(std::move(record)); !written) {
    spdlog::error("{}: that it was not started here: {}", vm.name(), written.error());
    co_return;
  }
  epochs_.erase(uuid);
  since_.erase(uuid);
  if (before.epoch != 0) epochs_[uuid] = before.epoch;
  standby_.took_not(uuid, before.served);
}

/// The guest runs: that it would not start at the next boot is told, and no reason to say that it was not started.
asio::awaitable<void> Host::start_at_boot(std::string vm_uuid, std::string name) {
  const auto set = co_await hypervisor_.set_autostart(std::move(vm_uuid), true, kCall);
  if (set) co_return;
  outbox_.event(
      v1::EVENT_KIND_VM, v1::SEVERITY_WARNING, name,
      fmt::format("runs here, and could not be set to start at boot: {}; virsh autostart {}", set.error(), name));
}

std::uint64_t Host::newest_epoch(const std::string& vm_uuid) const {
  std::uint64_t newest = 0;
  const auto raise = [&](const auto& epochs) {
    if (const auto found = epochs.find(vm_uuid); found != epochs.end()) newest = std::max(newest, found->second);
  };
  raise(remembered_);
  raise(epochs_);
  raise(standby_.epochs());
  if (const auto kept = source(vm_uuid)) newest = std::max(newest, kept->record().epoch);
  if (const auto found = retired_.find(vm_uuid); found != retired_.end())
    newest = std::max(newest, found->second.epoch);
  return newest;
}

Task<v1::VmAccount> Host::account(std::string vm_uuid) {
  if (!recovered_) co_return fail(Errc::kUnavailable, "{} is still recovering", config_.name);
  v1::VmAccount account;
  const auto domain = co_await hypervisor_.domain(vm_uuid, kCall);
  if (!domain && domain.error().code != Errc::kNotFound) co_return fail(domain.error());
  if (domain) account.set_domain(std::string(word(domain->state)));
  UMBRA_CO_CHECK(co_await standby_.tell(vm_uuid, &account));
  if (const auto kept = source(vm_uuid)) {
    UMBRA_CO_CHECK(co_await kept->tell(&account));
  } else if (const auto found = retired_.find(vm_uuid); found != retired_.end()) {
    account.set_source_phase(std::string(to_string(found->second.phase)));
    account.set_source_epoch(found->second.epoch);
  }
  const bool undecided = account.source_phase() == to_string(shadow::Phase::kPromised);
  if (domain && domain->state == virt::DomainState::kRunning && !undecided) account.set_detail("it runs");
  if (!account.can_run() && account.detail().empty() && domain)
    account.set_detail(fmt::format("the journal of {} does not know what it is", config_.name));
  co_return account;
}

/// Durable in the journal as a refusal of that epoch, which counts for all older ones.
Task<void> Host::yield(v1::YieldRequest request) {
  if (!recovered_) co_return fail(Errc::kUnavailable, "{} is still recovering", config_.name);
  const auto uuid = request.vm_uuid();
  if (const auto kept = source(uuid);
      kept && (kept->phase() == shadow::Phase::kPromised || kept->phase() == shadow::Phase::kMoved))
    UMBRA_CO_CHECK(co_await kept->decide(shadow::Source::Decision::kYield));
  auto unrecorded = uuid;
  UMBRA_CO_CHECK(co_await end_unrecorded(std::move(unrecorded)));
  v1::RefuseRequest refuse;
  refuse.set_vm_uuid(uuid);
  refuse.set_why(fmt::format("yielded to {}", request.to()));
  if (const auto accepted = standby_.accepted_epoch(uuid); accepted != 0 && accepted != request.epoch()) {
    refuse.set_epoch(accepted);
    UMBRA_CO_TRY(const auto reply, co_await standby_.refuse(refuse));
    if (!reply.refused()) co_return fail(Errc::kConflict, "{} runs it: it is decided", config_.name);
  }
  refuse.set_epoch(request.epoch());
  UMBRA_CO_TRY(const auto reply, co_await standby_.refuse(refuse));
  if (!reply.refused())
    co_return fail(Errc::kConflict, "{} has it, and it is decided: it does not yield", config_.name);
  outbox_.event(v1::EVENT_KIND_CUTOVER, v1::SEVERITY_WARNING, vm_name(uuid),
                fmt::format("yielded to {} in epoch {}", request.to(), request.epoch()));
  co_return Result<void>{};
}

Task<void> Host::resolve(v1::ResolveRequest request) {
  if (!recovered_) co_return fail(Errc::kUnavailable, "{} is still recovering", config_.name);
  const auto uuid = request.vm_uuid();
  if (const auto kept = source(uuid); kept && kept->phase() == shadow::Phase::kPromised)
    co_return co_await kept->decide(shadow::Source::Decision::kRun);
  if (const auto accepted = standby_.accepted_epoch(uuid); accepted != 0) {
    v1::ReleasedRequest released;
    released.set_vm_uuid(uuid);
    released.set_epoch(accepted);
    UMBRA_CO_CHECK(co_await standby_.released(std::move(released)));
    co_return Result<void>{};
  }
  UMBRA_CO_TRY(const auto domain, co_await hypervisor_.domain(uuid, kCall));
  if (domain.state == virt::DomainState::kRunning) co_return Result<void>{};  // told twice
  co_return fail(Errc::kConflict, "{} is {} on {}, and no cutover of it is undecided there", domain.name,
                 word(domain.state), config_.name);
}

std::string Host::vm_name(const std::string& vm_uuid) const {
  const auto found = vms_.find(vm_uuid);
  return found == vms_.end() ? vm_uuid : found->second.name();
}

void Host::introduced(const v1::RegisterReply& reply) {
  // The controller may have lost what it was told: what still waits for a person is told again.
  looked_at_.clear();
  for (const auto& [uuid, source] : sources_) source->tell_again();
  for (auto& [uuid, definition] : definitions_) definition.told = false;
  take_over_list(reply.taken_over());
  inventory_due_ = clock_.steady();
  changed_.notify();
}

void Host::heed(const v1::ReportReply& reply) {
  if (reply.taken_over_known()) take_over_list(reply.taken_over());
}

void Host::take_over_list(const TakenOverList& list) {
  taken_over_at_ = clock_.steady();
  std::string before, now;
  for (const auto& taken : taken_over_) before += taken.SerializeAsString();
  for (const auto& taken : list) now += taken.SerializeAsString();
  if (before == now) return;
  const auto listed = [&](const v1::TakenOver& taken) {
    return std::ranges::any_of(list, [&](const auto& one) { return one.vm_uuid() == taken.vm_uuid(); });
  };
  for (const auto& taken : taken_over_)
    if (!listed(taken) && run_twice_.erase(taken.vm_uuid()) > 0)
      outbox_.event(
          v1::EVENT_KIND_VM, v1::SEVERITY_WARNING, taken.vm(),
          fmt::format("is not counted as taken over by {} any more: the copy here may be the only one, do not "
                      "end it",
                      taken.host()));
  taken_over_.assign(list.begin(), list.end());
  inventory_due_ = clock_.steady();
  changed_.notify();
}

/// This host was fenced, and others have these VMs since: their definitions go, so that nothing starts them here. That
/// is done on fresh word alone, as a copy that was one of two when it was said may be the only one later.
Task<void> Host::obey() {
  const auto taken_over = taken_over_;
  for (const auto& taken : taken_over) {
    const auto uuid = taken.vm_uuid();
    if (owned_since(uuid) > taken.epoch()) continue;  // it has come back since
    const auto domain = co_await hypervisor_.domain(uuid, kCall);
    if (!domain && domain.error().code != Errc::kNotFound) co_return fail(domain.error());
    const bool said_now =
        clock_.steady() - taken_over_at_ <= kFreshWord && std::ranges::any_of(taken_over_, [&](const auto& one) {
          return one.vm_uuid() == uuid && one.epoch() == taken.epoch();
        });
    if (!said_now) continue;
    if (domain && domain->state != virt::DomainState::kShutOff) {
      if (!taken.shut_off() && run_twice_.insert(uuid).second)
        outbox_.event(v1::EVENT_KIND_VM, v1::SEVERITY_ALERT, taken.vm(),
                      fmt::format("is {} here, but {} took it over in epoch {}: it runs twice; end this copy at once: "
                                  "virsh destroy {}",
                                  word(domain->state), taken.host(), taken.epoch(), taken.vm()));
      continue;
    }
    if (domain && domain->persistent) {
      UMBRA_CO_CHECK(co_await hypervisor_.undefine(uuid, kCall));
      outbox_.event(v1::EVENT_KIND_VM, v1::SEVERITY_WARNING, taken.vm(),
                    fmt::format("undefined here: {} took it over in epoch {} while this host was fenced", taken.host(),
                                taken.epoch()));
    }
    standby_.outdate(uuid, taken.epoch());
    run_twice_.erase(uuid);
  }
  co_return Result<void>{};
}

v1::WhoseVmsRequest Host::question() const {
  v1::WhoseVmsRequest request;
  for (const auto& one : withheld_) request.add_vm_uuids(one.uuid);
  return request;
}

void Host::answered(const v1::WhoseVmsReply& reply) {
  for (const auto& owner : reply.owners()) {
    if (owner.yours())
      restore_.insert(owner.vm_uuid());
    else
      forget_withheld(owner.vm_uuid());  // it starts elsewhere
  }
  inventory_due_ = clock_.steady();
  changed_.notify();
}

void Host::forget_withheld(const std::string& vm_uuid) {
  restore_.erase(vm_uuid);
  std::erase_if(withheld_, [&](const auto& one) { return one.uuid == vm_uuid; });
  if (const auto written = write_withheld(withheld_file(config_.state_dir), withheld_); !written)
    spdlog::error("{}", written.error());
}

/// What the guard withheld at boot, and is this host's after all, starts at boot again from the next one on.
Task<void> Host::restore_autostart() {
  const auto restore = restore_;
  for (const auto& uuid : restore) {
    const auto domain = co_await hypervisor_.domain(uuid, kCall);
    if (!domain && domain.error().code != Errc::kNotFound) co_return fail(domain.error());
    if (domain && domain->persistent) {
      const auto named = uuid;
      UMBRA_CO_CHECK(co_await hypervisor_.set_autostart(named, true, kCall));
      outbox_.event(
          v1::EVENT_KIND_VM, v1::SEVERITY_WARNING, domain->name,
          fmt::format("was not started at boot, as it might have run elsewhere. It is this host's: its autostart "
                      "is set again{}",
                      domain->state == virt::DomainState::kShutOff
                          ? fmt::format("; start it with virsh start {}", domain->name)
                          : ""));
    }
    forget_withheld(uuid);
  }
  co_return Result<void>{};
}

/// Definitions change without an event now and then (`virsh attach-device --config`), so they are read again in time.
Task<void> Host::take_definitions() {
  std::erase_if(definitions_, [this](const auto& entry) {
    const auto vm = vms_.find(entry.first);
    return vm == vms_.end() && entry.second.told && entry.second.xml.empty();
  });
  for (auto& [uuid, definition] : definitions_)
    if (const auto vm = vms_.find(uuid); (vm == vms_.end() || !vm->second.persistent()) && !definition.xml.empty())
      definition = {};
  const auto vms = vms_;
  for (const auto& [uuid, vm] : vms) {
    if (!vm.persistent() || clock_.steady() < definitions_[uuid].due) continue;
    auto xml = co_await hypervisor_.inactive_xml(uuid, kCall);
    if (!xml && xml.error().code != Errc::kNotFound) co_return fail(xml.error());
    auto asked = uuid;
    const auto answered = co_await autostart(std::move(asked));
    auto& definition = definitions_[uuid];
    definition.due = clock_.steady() + kDefinitionEvery;
    const bool starts = answered ? *answered : definition.autostart;  // it is asked again
    if (!xml || (definition.xml == *xml && definition.autostart == starts)) continue;
    definition.xml = std::move(*xml);
    definition.autostart = starts;
    definition.told = false;
  }
  co_return Result<void>{};
}

/// As people set it: not as the boot guard or a cutover, which withdraw it for a while, have left it.
Task<bool> Host::autostart(std::string vm_uuid) {
  const auto withdrawn = [this, &vm_uuid]() -> std::optional<bool> {
    if (std::ranges::any_of(withheld_, [&](const auto& one) { return one.uuid == vm_uuid; })) return true;
    const auto kept = source(vm_uuid);
    return kept ? kept->withdrawn_autostart() : std::nullopt;
  };
  const auto before = withdrawn();
  auto now = co_await hypervisor_.autostart(vm_uuid, kCall);
  const auto after = withdrawn();
  if (now && (before || after)) co_return before ? *before : *after;
  co_return now;
}

void Host::tell_definitions(v1::ReportRequest& report) const {
  std::size_t bytes = 0;
  for (const auto& [uuid, definition] : definitions_) {
    if (definition.told) continue;
    if (bytes > kMostDefinitionsAtOnce) break;
    auto* told = report.add_definitions();
    told->set_vm_uuid(uuid);
    if (definition.xml.size() > kMostDefinition)
      told->set_refusal(
          fmt::format("its definition has {} bytes, more than {}", definition.xml.size(), kMostDefinition));
    else
      told->set_xml(definition.xml);
    told->set_autostart(definition.autostart);
    bytes += told->xml().size();
  }
}

void Host::delivered(const v1::ReportRequest& report) {
  for (const auto& told : report.definitions())
    if (const auto found = definitions_.find(told.vm_uuid());
        found != definitions_.end() && found->second.autostart == told.autostart() &&
        (found->second.xml == told.xml() || !told.refusal().empty()))
      found->second.told = true;
}

}  // namespace umbra::agent
