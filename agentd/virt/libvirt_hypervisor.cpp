#include "agentd/virt/libvirt_hypervisor.hpp"

#include <libvirt/virterror.h>
#include <spdlog/spdlog.h>

#include <boost/asio/experimental/awaitable_operators.hpp>

#include "agentd/virt/domain_xml.hpp"
#include "agentd/virt/event_loop.hpp"
#include "agentd/virt/image_labels.hpp"
#include "agentd/virt/libvirt_definition.hpp"
#include "agentd/virt/libvirt_monitor.hpp"
#include "agentd/virt/libvirt_state.hpp"
#include "agentd/virt/libvirt_stats.hpp"
#include "agentd/virt/lifecycle.hpp"
#include "agentd/virt/xml_limits.hpp"
#include "qmp/client.hpp"

namespace umbra::virt {
namespace {

using namespace std::chrono_literals;
using namespace asio::experimental::awaitable_operators;

constexpr Deadline kShadowQuestion = 1s;  // is it still waiting? asked of each QEMU that was started with -incoming
constexpr Deadline kDescription = 500ms;  // of one domain of many: one that is busy or hangs must not hold up the list

Result<std::string> xml_of(virDomainPtr domain, unsigned flags) {
  const CText text(virDomainGetXMLDesc(domain, flags));
  if (!text) return fail(last_error("reading the domain's XML"));
  return std::string(text.get());
}

/// A domain without what is in its XML; never waits for its QEMU.
Result<Domain> summarise(virDomainPtr handle) {
  Domain domain;
  char uuid[VIR_UUID_STRING_BUFLEN] = "";
  virDomainGetUUIDString(handle, uuid);
  domain.uuid = uuid;
  domain.name = virDomainGetName(handle);
  int state = 0, reason = 0;
  if (virDomainGetState(handle, &state, &reason, 0) < 0) return fail(last_error("reading the domain's state"));
  domain.state = domain_state_of(state);
  domain.suspended = state == VIR_DOMAIN_PAUSED && on_somebodys_word(reason);
  domain.persistent = virDomainIsPersistent(handle) == 1;
  return domain;
}

/// Why what libvirt keeps of it beside its XML cannot follow it.
Result<std::string> kept_refusal(virDomainPtr handle) {
  if (virDomainHasManagedSaveImage(handle, 0) == 1)
    return fmt::format(
        "libvirt keeps a saved state of it on this host (managed save); remove it: virsh managedsave-remove {}",
        virDomainGetName(handle));
  const int snapshots = virDomainSnapshotNum(handle, 0), checkpoints = virDomainListAllCheckpoints(handle, nullptr, 0);
  if (snapshots <= 0 && checkpoints <= 0) return "";
  UMBRA_TRY(auto live, read_live(handle));
  UMBRA_TRY(auto persistent, read_persistent(handle));
  return belongings_refusal(join(std::move(live), std::move(persistent)));
}

/// libvirt takes texts (virsh desc) that no XML may have, and writes them into its XML: the rest of that is read all
/// the same, or the VM would lose its routes.
std::string without_control(std::string xml) {
  std::ranges::replace_if(xml, is_control, ' ');
  return xml;
}

/// A domain that cannot be read is left alone. It says so, and the others of its host are told of all the same.
Result<Domain> read_domain(virDomainPtr handle, std::string xml, const ForeignRules& rules) {
  auto domain = parse_domain(xml, rules);
  if (domain || domain.error().code != Errc::kInvalid) return domain;
  auto why = fmt::format("its XML cannot be used: {}", domain.error().text());
  auto readable = parse_domain(without_control(std::move(xml)), rules);
  if (!readable) {
    UMBRA_TRY(readable, summarise(handle));
    readable->memory = kibibytes(virDomainGetMaxMemory(handle));
  }
  readable->refusal = std::move(why);
  return readable;
}

/// All but `incoming`, for which its QEMU must be asked. Waits while the domain is busy with another job.
Result<Domain> describe(virDomainPtr handle, const ForeignRules& rules) {
  UMBRA_TRY(const auto summary, summarise(handle));
  UMBRA_TRY(auto xml, xml_of(handle, 0));
  UMBRA_TRY(auto domain, read_domain(handle, std::move(xml), rules));
  domain.state = summary.state;
  domain.suspended = summary.suspended;
  domain.persistent = summary.persistent;
  if (domain.refusal.empty()) {
    UMBRA_TRY(domain.refusal, kept_refusal(handle));
  }
  return domain;
}

Result<std::vector<Domain>> list_domains(virConnectPtr connection) {
  virDomainPtr* raw = nullptr;
  const int count = virConnectListAllDomains(connection, &raw, 0);
  if (count < 0) return fail(last_error("listing the domains"));
  const std::unique_ptr<virDomainPtr, CFree> array(raw);
  std::vector<DomainPtr> handles;
  handles.reserve(static_cast<std::size_t>(count));
  for (int i = 0; i < count; ++i) handles.push_back(own(raw[i]));
  std::vector<Domain> domains;
  for (const auto& handle : handles) {
    auto domain = summarise(handle.get());
    if (domain)
      domains.push_back(std::move(*domain));
    else if (domain.error().code != Errc::kNotFound)
      return fail(std::move(domain).error());  // else it has just gone
  }
  return domains;
}

Result<void> check(int result, std::string_view what) {
  if (result < 0) return fail(last_error(what));
  return {};
}

Result<void> set_annotation(virDomainPtr domain, const std::string& line) {
  const CText old(virDomainGetMetadata(domain, VIR_DOMAIN_METADATA_DESCRIPTION, nullptr, VIR_DOMAIN_AFFECT_LIVE));
  if (!old && virGetLastErrorCode() != VIR_ERR_NO_DOMAIN_METADATA) return fail(last_error("reading the description"));
  const auto text = annotated(old ? old.get() : "", line);
  return check(virDomainSetMetadata(domain, VIR_DOMAIN_METADATA_DESCRIPTION, text.empty() ? nullptr : text.c_str(),
                                    nullptr, nullptr, VIR_DOMAIN_AFFECT_LIVE),
               "writing the description");
}

/// virDomainDestroy knows of no guest that lives on elsewhere: it restores the labels of its images.
Result<void> destroy_moved(virDomainPtr domain) {
  UMBRA_TRY(const auto xml, xml_of(domain, 0));
  UMBRA_TRY(const auto images, images_of(xml));
  const auto note = LabelNote::take(images);
  auto destroyed = Result<void>{};
  {
    const LabelGuard guard(note);
    destroyed = check(virDomainDestroy(domain), "destroying the domain");
  }
  for (const auto& trouble : note.put_back()) spdlog::warn("{}: {}", virDomainGetName(domain), trouble);
  return destroyed;
}

/// Of which domain an XML is; empty when libvirt will refuse it anyway.
std::string uuid_in(const std::string& xml) {
  const auto domain = parse_domain(xml);
  return domain ? domain->uuid : "";
}

/// Completes a domain whose XML says -incoming: it is a shadow only while its QEMU waits. One that does not answer is
/// taken for a shadow, which nobody will shadow or move.
Task<void> ask_whether_it_waits(std::shared_ptr<qmp::Transport> monitor, Domain& domain) {
  if (domain.state == DomainState::kPaused) {
    qmp::Client client(std::move(monitor));
    const auto status = co_await client.status(kShadowQuestion);
    domain.incoming = !status || status->state == qmp::RunState::kInMigrate;
  } else {
    domain.incoming = false;
  }
  if (domain.incoming) domain.refusal = domain.persistent ? kWaits : kIsShadow;
  co_return Result<void>{};
}

}  // namespace

Result<std::shared_ptr<LibvirtHypervisor>> LibvirtHypervisor::start(asio::any_io_executor executor, Options options) {
  virSetErrorFunc(nullptr, [](void*, virErrorPtr) {});  // libvirt would print every error
  UMBRA_CHECK(install_event_loop(executor));
  const auto state = std::make_shared<State>(executor);
  state->pool = std::make_shared<WorkerPool>("umbra-virt", options.threads);
  state->rules = std::move(options.rules);
  state->autostart_links = options.autostart_links;
  const std::weak_ptr<State> weak = state;
  LibvirtConnection::Handlers handlers;
  handlers.connection = [weak](bool up) {
    if (const auto self = weak.lock()) self->on_connection(up);
  };
  handlers.lifecycle = [weak](const LifecycleEvent& event) {
    if (const auto self = weak.lock()) self->on_lifecycle(event);
  };
  handlers.qemu = [weak](const std::string& uuid, const char* name, std::chrono::microseconds at, const char* data) {
    if (const auto self = weak.lock()) self->on_qemu(uuid, name, at, data);
  };
  state->connection = std::make_shared<LibvirtConnection>(std::move(executor), state->pool, std::move(options.uri),
                                                          std::move(handlers));
  state->connection->start();
  return std::shared_ptr<LibvirtHypervisor>(new LibvirtHypervisor(state));
}

LibvirtHypervisor::~LibvirtHypervisor() {
  state_->listener = {};
  state_->handles.clear();
  state_->connection->stop();
}

void LibvirtHypervisor::State::on_connection(bool up) {
  handles.clear();
  const auto tell = listener.connection;
  if (tell) tell(up);
}

void LibvirtHypervisor::State::on_lifecycle(const LifecycleEvent& event) {
  if (event.change == LifecycleChange::kStopped || event.change == LifecycleChange::kUndefined) {
    handles.erase(event.uuid);
    described.erase(event.uuid);
    if (const auto lane = lanes.find(event.uuid); lane != lanes.end() && lane->second.use_count() == 1)
      lanes.erase(lane);
    if (const auto lane = change_lanes.find(event.uuid); lane != change_lanes.end() && lane->second.use_count() == 1)
      change_lanes.erase(lane);
  }
  const auto tell = listener.lifecycle;
  if (tell) tell(event);
}

void LibvirtHypervisor::State::on_qemu(const std::string& uuid, const char* name, std::chrono::microseconds at,
                                       const char* data) {
  const auto found = monitors.find(uuid);
  if (found == monitors.end()) return;
  if (const auto monitor = found->second.lock()) monitor->deliver(name, at, data);
}

void LibvirtHypervisor::listen(Listener listener) {
  state_->listener = std::move(listener);
  if (!state_->connection->get()) return;
  asio::post(state_->executor, [weak = std::weak_ptr(state_)] {
    if (const auto self = weak.lock(); self && self->connection->get() && self->listener.connection)
      self->listener.connection(true);
  });
}

Task<HostInfo> LibvirtHypervisor::host(Deadline deadline) {
  const std::function<Result<HostInfo>(virConnectPtr)> call = read_host;
  co_return co_await State::on_host(state_, call, deadline);
}

/// The domain with what is in its XML, from memory while it does not answer.
Task<Domain> LibvirtHypervisor::State::complete(std::shared_ptr<State> self, Domain summary, Deadline deadline) {
  const auto uuid = summary.uuid;
  const auto known = self->described.find(uuid);
  if (known == self->described.end() || self->lane_of(uuid)->idle()) {
    const std::function<Result<Domain>(virDomainPtr)> call = [rules = self->rules](virDomainPtr domain) {
      return describe(domain, rules);
    };
    auto described = co_await on_domain(self, uuid, call, std::min(deadline, kDescription));
    if (described) {
      if (described->incoming) {
        const auto monitor = std::make_shared<LibvirtMonitor>(self, uuid);
        UMBRA_CO_CHECK(co_await ask_whether_it_waits(monitor, *described));
      }
      self->described[uuid] = *described;
      co_return described;
    }
    if (described.error().code != Errc::kTimeout) co_return described;
  }
  const auto last = self->described.find(uuid);
  auto domain = last != self->described.end() ? last->second : summary;
  if (last == self->described.end())
    domain.refusal = "libvirt does not answer about it; its QEMU may hang, see QEMU's log";
  domain.state = summary.state;
  domain.suspended = summary.suspended;
  domain.persistent = summary.persistent;
  co_return domain;
}

Task<std::vector<Domain>> LibvirtHypervisor::domains(Deadline deadline) {
  const auto state = state_;
  const std::function<Result<std::vector<Domain>>(virConnectPtr)> call = list_domains;
  const auto until = std::chrono::steady_clock::now() + deadline;
  UMBRA_CO_TRY(auto summaries, co_await State::on_host(state, call, deadline));
  std::vector<Domain> list;
  for (const auto& summary : summaries) {
    const auto left = std::chrono::duration_cast<Deadline>(until - std::chrono::steady_clock::now());
    auto domain = co_await State::complete(state, summary, std::max<Deadline>(left, 1ms));
    if (domain)
      list.push_back(std::move(*domain));
    else if (domain.error().code != Errc::kNotFound)
      co_return fail(std::move(domain).error());
  }
  std::erase_if(state->described, [&](const auto& known) {
    return std::none_of(list.begin(), list.end(), [&](const Domain& domain) { return domain.uuid == known.first; });
  });
  co_return list;
}

Task<Domain> LibvirtHypervisor::domain(std::string uuid, Deadline deadline) {
  const auto state = state_;
  const std::function<Result<Domain>(virDomainPtr)> call = [rules = state->rules](virDomainPtr domain) {
    return describe(domain, rules);
  };
  UMBRA_CO_TRY(auto found, co_await State::on_domain(state, uuid, call, deadline));
  if (found.incoming) {
    const auto monitor = std::make_shared<LibvirtMonitor>(state, uuid);
    UMBRA_CO_CHECK(co_await ask_whether_it_waits(monitor, found));
  }
  co_return found;
}

Task<std::vector<DomainStats>> LibvirtHypervisor::stats(Deadline deadline) {
  const std::function<Result<std::vector<DomainStats>>(virConnectPtr)> call = read_stats;
  co_return co_await State::on_host(state_, call, deadline);
}

Task<void> LibvirtHypervisor::measure_dirty_rate(std::string uuid, std::chrono::seconds period, Deadline deadline) {
  const std::function<Result<void>(virDomainPtr)> call = [period](virDomainPtr domain) {
    return check(virDomainStartDirtyRateCalc(domain, static_cast<int>(period.count()), 0), "measuring the dirty rate");
  };
  co_return co_await State::on_domain(state_, std::move(uuid), call, deadline);
}

Task<Definition> LibvirtHypervisor::definition(std::string uuid, Deadline deadline) {
  const std::function<Result<Definition>(virDomainPtr)> live = read_live;
  const std::function<Result<Persistent>(virDomainPtr)> kept = read_persistent;
  auto [running, persistent] =
      co_await (State::on_domain(state_, uuid, live, deadline) && State::on_domain(state_, uuid, kept, deadline));
  UMBRA_CO_CHECK(running);
  UMBRA_CO_CHECK(persistent);
  co_return join(std::move(*running), std::move(*persistent));
}

Task<std::string> LibvirtHypervisor::fingerprint(std::string uuid, Deadline deadline) {
  const std::function<Result<std::string>(virDomainPtr)> live = read_live_text, kept = read_kept_text;
  auto [now, stored] =
      co_await (State::on_domain(state_, uuid, live, deadline) && State::on_domain(state_, uuid, kept, deadline));
  UMBRA_CO_CHECK(now);
  UMBRA_CO_CHECK(stored);
  co_return *now + '\n' + *stored;
}

Task<void> LibvirtHypervisor::keep_as(std::string uuid, Definition definition, Deadline deadline) {
  const std::function<Result<void>(virDomainPtr)> call = [kept = std::move(definition),
                                                          links = state_->autostart_links](virDomainPtr domain) {
    return make_kept(domain, kept, links);
  };
  co_return co_await State::on_domain(state_, std::move(uuid), call, deadline);
}

Task<bool> LibvirtHypervisor::autostart(std::string uuid, Deadline deadline) {
  const std::function<Result<bool>(virDomainPtr)> call = read_autostart;
  co_return co_await State::on_domain(state_, std::move(uuid), call, deadline);
}

Task<void> LibvirtHypervisor::set_autostart(std::string uuid, bool on, Deadline deadline) {
  const std::function<Result<void>(virDomainPtr)> call = [on, links = state_->autostart_links](virDomainPtr domain) {
    return virt::set_autostart(domain, on, links);
  };
  co_return co_await State::on_domain(state_, std::move(uuid), call, deadline);
}

Task<std::string> LibvirtHypervisor::inactive_xml(std::string uuid, Deadline deadline) {
  const std::function<Result<std::string>(virDomainPtr)> call = [](virDomainPtr domain) -> Result<std::string> {
    // For a transient domain libvirt would give the live XML.
    if (virDomainIsPersistent(domain) != 1)
      return fail(Errc::kNotFound, "{} is not persistent", virDomainGetName(domain));
    return xml_of(domain, VIR_DOMAIN_XML_INACTIVE | VIR_DOMAIN_XML_SECURE);
  };
  co_return co_await State::on_domain(state_, std::move(uuid), call, deadline);
}

Task<std::string> LibvirtHypervisor::create_paused(std::string xml, Deadline deadline) {
  const auto state = state_;
  const std::string subject = uuid_in(xml);
  const std::function<Result<std::string>(ConnectionPtr)> call =
      [xml = std::move(xml)](const ConnectionPtr& link) -> Result<std::string> {
    const auto domain = own(virDomainCreateXML(link.get(), xml.c_str(), VIR_DOMAIN_START_PAUSED));
    if (!domain) return fail(last_error("starting the domain"));
    char uuid[VIR_UUID_STRING_BUFLEN] = "";
    virDomainGetUUIDString(domain.get(), uuid);
    return std::string(uuid);
  };
  co_return co_await State::on_change(state, subject, call, deadline);
}

Task<void> LibvirtHypervisor::define(std::string xml, Deadline deadline) {
  const std::string subject = uuid_in(xml);
  const std::function<Result<void>(ConnectionPtr)> call =
      [xml = std::move(xml)](const ConnectionPtr& link) -> Result<void> {
    if (!own(virDomainDefineXMLFlags(link.get(), xml.c_str(), 0))) return fail(last_error("defining the domain"));
    return {};
  };
  co_return co_await State::on_change(state_, subject, call, deadline);
}

Task<void> LibvirtHypervisor::undefine(std::string uuid, Deadline deadline) {
  const std::function<Result<void>(virDomainPtr)> call = [](virDomainPtr domain) {
    // Firmware variables stay: a definition can be written anew, they cannot.
    return check(virDomainUndefineFlags(domain, VIR_DOMAIN_UNDEFINE_KEEP_NVRAM | VIR_DOMAIN_UNDEFINE_KEEP_TPM |
                                                    VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA |
                                                    VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA),
                 "undefining the domain");
  };
  co_return co_await State::change_domain(state_, std::move(uuid), call, deadline);
}

Task<void> LibvirtHypervisor::destroy(std::string uuid, Ending ending, Deadline deadline) {
  const std::function<Result<void>(virDomainPtr)> call = [ending](virDomainPtr domain) {
    return ending == Ending::kMovedAway ? destroy_moved(domain)
                                        : check(virDomainDestroy(domain), "destroying the domain");
  };
  co_return co_await State::on_domain(state_, std::move(uuid), call, deadline);
}

Task<std::vector<std::string>> LibvirtHypervisor::tend(std::string uuid, Deadline deadline) {
  const std::function<Result<std::vector<std::string>>(virDomainPtr)> call =
      [snapshots = state_->snapshots, uuid](virDomainPtr domain) -> Result<std::vector<std::string>> {
    UMBRA_TRY(const auto xml, xml_of(domain, 0));
    UMBRA_TRY(const auto images, images_of(xml));
    auto found = virt::tend(images);
    UMBRA_TRY(const auto mended, snapshots->tend(domain, uuid));
    found.insert(found.end(), mended.begin(), mended.end());
    return found;
  };
  co_return co_await State::on_domain(state_, std::move(uuid), call, deadline);
}

Task<void> LibvirtHypervisor::suspend(std::string uuid, Deadline deadline) {
  const std::function<Result<void>(virDomainPtr)> call = [](virDomainPtr domain) {
    return check(virDomainSuspend(domain), "suspending the domain");
  };
  co_return co_await State::change_domain(state_, std::move(uuid), call, deadline);
}

Task<void> LibvirtHypervisor::resume(std::string uuid, Deadline deadline) {
  const std::function<Result<void>(virDomainPtr)> call = [](virDomainPtr domain) {
    return check(virDomainResume(domain), "resuming the domain");
  };
  co_return co_await State::change_domain(state_, std::move(uuid), call, deadline);
}

Task<void> LibvirtHypervisor::annotate(std::string uuid, std::string line, Deadline deadline) {
  const std::function<Result<void>(virDomainPtr)> call = [line = std::move(line)](virDomainPtr domain) {
    return set_annotation(domain, line);
  };
  co_return co_await State::on_domain(state_, std::move(uuid), call, deadline);
}

std::shared_ptr<qmp::Transport> LibvirtHypervisor::monitor(std::string uuid) {
  std::erase_if(state_->monitors, [](const auto& entry) { return entry.second.expired(); });
  auto monitor = std::make_shared<LibvirtMonitor>(state_, uuid);
  state_->monitors[std::move(uuid)] = monitor;  // the newest gets the events
  return monitor;
}

}  // namespace umbra::virt
