#include "agentd/virt/fakes/fake_hypervisor.hpp"

#include <pugixml.hpp>

#include "agentd/virt/domain_xml.hpp"
#include "agentd/virt/image_labels.hpp"

namespace umbra::virt {
namespace {

std::string description_in(const std::string& xml) {
  pugi::xml_document document;
  document.load_string(xml.c_str());
  return document.child("domain").child("description").text().get();
}

std::string with_description(const std::string& xml, const std::string& description) {
  pugi::xml_document document;
  document.load_string(xml.c_str());
  auto domain = document.child("domain");
  domain.remove_child("description");
  if (!description.empty()) domain.append_child("description").text().set(description.c_str());
  std::ostringstream out;
  document.save(out, "  ", pugi::format_indent | pugi::format_no_declaration);
  return out.str();
}

/// `xml` with title, description and metadata of `other`.
Result<std::string> with_annotations_of(const std::string& xml, const std::string& other) {
  pugi::xml_document document, source;
  if (!document.load_string(xml.c_str()) || !source.load_string(other.c_str()))
    return umbra::fail(Errc::kInvalid, "broken XML");
  auto domain = document.child("domain");
  for (const auto* name : {"title", "metadata"}) {
    domain.remove_child(name);
    if (const auto element = source.child("domain").child(name)) domain.append_copy(element);
  }
  std::ostringstream out;
  document.save(out, "  ", pugi::format_indent | pugi::format_no_declaration);
  return with_description(out.str(), annotated(description_in(other), {}));
}

DomainState state_of(const qmp::FakeQemu& qemu) {
  switch (qemu.run_state()) {
    case qmp::RunState::kRunning:
      return DomainState::kRunning;
    case qmp::RunState::kGuestPanicked:
      return DomainState::kCrashed;
    default:
      return DomainState::kPaused;
  }
}

}  // namespace

struct FakeHypervisor::Guest {
  std::string uuid, name;
  std::string live_xml;      ///< empty when it is shut off
  std::string inactive_xml;  ///< empty when it is transient
  bool autostart = false;
  std::vector<std::string> snapshots, checkpoints;
  std::string current_snapshot;
  std::shared_ptr<qmp::FakeQemu> qemu;
  std::string end = "failed";  ///< why its QEMU goes, if it goes now
  std::optional<BytesPerSecond> dirty_rate;
  bool suspended = false;  ///< by suspend(), and not resumed since

  /// What its XML says.
  const Domain& parsed() const {
    const auto& xml = qemu ? live_xml : inactive_xml;
    if (read_ != xml || !domain_) domain_ = parse_domain(read_ = xml).value();
    return *domain_;
  }

 private:
  mutable std::string read_;
  mutable std::optional<Domain> domain_;  ///< of `read_`
};

/// libvirt's passthrough: reaches the domain's QEMU of the moment, while libvirtd is there.
class FakeHypervisor::Monitor final : public qmp::Transport {
 public:
  Monitor(std::weak_ptr<FakeHypervisor*> host, std::string uuid) : host_(std::move(host)), uuid_(std::move(uuid)) {}

  Task<boost::json::value> execute(std::string command, boost::json::object arguments, Deadline deadline) override {
    const auto host = host_.lock();
    if (!host) co_return umbra::fail(Errc::kCancelled, "the hypervisor was closed");
    const std::string uuid = uuid_;
    UMBRA_CO_CHECK(co_await (*host)->enter("monitor"));
    const auto qemu = (*host)->qemu(uuid);
    if (!qemu) co_return umbra::fail(Errc::kUnavailable, "{}: its QEMU does not run", uuid);
    co_return co_await qemu->execute(std::move(command), std::move(arguments), deadline);
  }
  void on_event(EventHandler handler) override {
    const auto host = host_.lock();
    const auto qemu = host ? (*host)->qemu(uuid_) : nullptr;
    if (!qemu) return;
    qemu->on_event([weak = host_, handler = std::move(handler)](const qmp::Event& event) {
      if (std::holds_alternative<qmp::MigrationPassEvent>(event.what)) return;  // as LibvirtMonitor
      if (const auto alive = weak.lock(); alive && (*alive)->connected_ && handler) handler(event);
    });
  }

 private:
  std::weak_ptr<FakeHypervisor*> host_;
  std::string uuid_;
};

FakeHypervisor::FakeHypervisor(asio::any_io_executor executor, std::shared_ptr<qmp::FakeWire> wire, Options options)
    : executor_(std::move(executor)),
      wire_(std::move(wire)),
      options_(std::move(options)),
      self_(std::make_shared<FakeHypervisor*>(this)) {}

FakeHypervisor::~FakeHypervisor() = default;

void FakeHypervisor::listen(Listener listener) {
  listener_ = std::move(listener);
  if (connected_)
    asio::post(executor_, [weak = std::weak_ptr(self_)] {
      if (const auto self = weak.lock(); self && (*self)->connected_ && (*self)->listener_.connection)
        (*self)->listener_.connection(true);
    });
}

void FakeHypervisor::set_connected(bool connected) {
  if (std::exchange(connected_, connected) == connected) return;
  asio::post(executor_, [weak = std::weak_ptr(self_), connected] {
    if (const auto self = weak.lock(); self && (*self)->listener_.connection) (*self)->listener_.connection(connected);
  });
}

void FakeHypervisor::power_off() {
  connected_ = false;
  listener_ = {};
  for (auto next = guests_.begin(); next != guests_.end();) {
    auto& guest = *next->second;
    if (const auto qemu = std::exchange(guest.qemu, nullptr)) qemu->die();
    guest.live_xml.clear();
    next = guest.inactive_xml.empty() ? guests_.erase(next) : std::next(next);
  }
}

void FakeHypervisor::boot() {
  connected_ = true;
}

Task<void> FakeHypervisor::enter(std::string call) {
  co_await asio::post(executor_, asio::use_awaitable);
  if (!connected_)
    co_return umbra::fail({Errc::kUnavailable, "libvirtd cannot be reached", "start libvirtd or fix [libvirt] uri"});
  if (const auto failure = failures_.find(call); failure != failures_.end()) {
    auto error = failure->second;
    failures_.erase(failure);
    co_return umbra::fail(std::move(error));
  }
  co_return Result<void>{};
}

Result<FakeHypervisor::Guest*> FakeHypervisor::find(const std::string& uuid) {
  const auto found = guests_.find(uuid);
  if (found == guests_.end())
    return umbra::fail(Errc::kNotFound, "Domain not found: no domain with matching uuid '{}'", uuid);
  return found->second.get();
}

Result<FakeHypervisor::Guest*> FakeHypervisor::find_active(const std::string& uuid) {
  UMBRA_TRY(auto* guest, find(uuid));
  if (!guest->qemu) return umbra::fail(Errc::kConflict, "Requested operation is not valid: domain is not running");
  return guest;
}

Domain FakeHypervisor::describe(const Guest& guest) const {
  auto domain = guest.parsed();
  domain.uuid = guest.uuid;
  domain.persistent = !guest.inactive_xml.empty();
  domain.state = guest.qemu ? state_of(*guest.qemu) : DomainState::kShutOff;
  domain.suspended = domain.state == DomainState::kPaused && guest.suspended;
  domain.incoming = domain.incoming && guest.qemu && guest.qemu->run_state() == qmp::RunState::kInMigrate;
  if (domain.incoming) domain.refusal = domain.persistent ? kWaits : kIsShadow;
  return domain;
}

Task<HostInfo> FakeHypervisor::host(Deadline) {
  UMBRA_CO_CHECK(co_await enter("host"));
  Bytes used = mebibytes(512);  // the host's own
  for (const auto& [uuid, guest] : guests_)
    if (guest->qemu) used = used + guest->qemu->options().memory;
  const auto [major, minor, micro] = options_.qemu.version;
  co_return HostInfo{fmt::format("{}.{}.{}", major, minor, micro), "11.3.0", options_.memory, options_.memory - used,
                     options_.cpus};
}

Task<std::vector<Domain>> FakeHypervisor::domains(Deadline) {
  UMBRA_CO_CHECK(co_await enter("domains"));
  std::vector<Domain> list;
  for (const auto& [uuid, guest] : guests_) list.push_back(describe(*guest));
  co_return list;
}

Task<Domain> FakeHypervisor::domain(std::string uuid, Deadline) {
  UMBRA_CO_CHECK(co_await enter("domain"));
  UMBRA_CO_TRY(auto* guest, find(uuid));
  co_return describe(*guest);
}

Task<std::vector<DomainStats>> FakeHypervisor::stats(Deadline) {
  UMBRA_CO_CHECK(co_await enter("stats"));
  std::vector<DomainStats> list;
  for (const auto& [uuid, guest] : guests_) {
    if (!guest->qemu) continue;
    DomainStats stats;
    stats.uuid = uuid;
    stats.vcpus = guest->parsed().vcpus;
    stats.memory_used = guest->qemu->options().memory;
    stats.dirty_rate = guest->dirty_rate;
    list.push_back(std::move(stats));
  }
  co_return list;
}

Task<void> FakeHypervisor::measure_dirty_rate(std::string uuid, std::chrono::seconds, Deadline) {
  UMBRA_CO_CHECK(co_await enter("measure_dirty_rate"));
  UMBRA_CO_TRY(auto* guest, find_active(uuid));
  guest->dirty_rate = guest->qemu->options().dirty_rate;
  co_return Result<void>{};
}

Task<Definition> FakeHypervisor::definition(std::string uuid, Deadline) {
  UMBRA_CO_CHECK(co_await enter("definition"));
  UMBRA_CO_TRY(auto* guest, find(uuid));
  co_return Definition{guest->live_xml,  guest->inactive_xml,     guest->autostart,
                       guest->snapshots, guest->current_snapshot, guest->checkpoints};
}

Task<std::string> FakeHypervisor::fingerprint(std::string uuid, Deadline) {
  UMBRA_CO_CHECK(co_await enter("fingerprint"));
  UMBRA_CO_TRY(auto* guest, find(uuid));
  auto text = guest->live_xml + '\n' + guest->inactive_xml + '\n' + guest->current_snapshot;
  for (const auto* list : {&guest->snapshots, &guest->checkpoints})
    for (const auto& xml : *list) text += '\n' + xml;
  co_return text;
}

Task<void> FakeHypervisor::keep_as(std::string uuid, Definition definition, Deadline) {
  UMBRA_CO_CHECK(co_await enter("keep_as"));
  UMBRA_CO_TRY(auto* guest, find_active(uuid));
  if (!definition.inactive_xml.empty()) {
    UMBRA_CO_CHECK(parse_domain(definition.inactive_xml));
    guest->inactive_xml = definition.inactive_xml;
    tell(*guest, LifecycleChange::kDefined, "added");
  }
  if (!definition.live_xml.empty()) {
    UMBRA_CO_TRY(guest->live_xml, with_annotations_of(guest->live_xml, definition.live_xml));
  }
  guest->snapshots = definition.snapshots;
  guest->current_snapshot = definition.current_snapshot;
  guest->checkpoints = definition.checkpoints;
  if (definition.autostart) guest->autostart = !guest->inactive_xml.empty();
  co_return Result<void>{};
}

Task<bool> FakeHypervisor::autostart(std::string uuid, Deadline) {
  UMBRA_CO_CHECK(co_await enter("autostart"));
  UMBRA_CO_TRY(const auto* guest, find(uuid));
  co_return guest->autostart;
}

Task<void> FakeHypervisor::set_autostart(std::string uuid, bool on, Deadline) {
  UMBRA_CO_CHECK(co_await enter("set_autostart"));
  UMBRA_CO_TRY(auto* guest, find(uuid));
  if (guest->inactive_xml.empty())
    co_return umbra::fail(Errc::kConflict,
                          "Requested operation is not valid: cannot set autostart for transient domain");
  guest->autostart = on;
  co_return Result<void>{};
}

Task<std::string> FakeHypervisor::inactive_xml(std::string uuid, Deadline) {
  UMBRA_CO_CHECK(co_await enter("inactive_xml"));
  UMBRA_CO_TRY(auto* guest, find(uuid));
  if (guest->inactive_xml.empty()) co_return umbra::fail(Errc::kNotFound, "{} is not persistent", guest->name);
  co_return guest->inactive_xml;
}

Task<std::string> FakeHypervisor::create_paused(std::string xml, Deadline) {
  UMBRA_CO_CHECK(co_await enter("create_paused"));
  co_return start_guest(xml, true, false);
}

Result<std::string> FakeHypervisor::start(std::string xml, bool persistent) {
  return start_guest(xml, false, persistent);
}

Result<std::string> FakeHypervisor::start_guest(const std::string& xml, bool paused, bool persistent) {
  UMBRA_TRY(const auto domain, parse_domain(xml));
  for (const auto& [uuid, guest] : guests_)
    if ((uuid == domain.uuid || guest->name == domain.name) && (guest->qemu || uuid != domain.uuid))
      return umbra::fail({Errc::kConflict, fmt::format("domain '{}' is already active or defined", domain.name),
                          "destroy or undefine it first"});
  auto& guest = guests_[domain.uuid];
  if (!guest) guest = std::make_unique<Guest>();
  guest->uuid = domain.uuid;
  guest->name = domain.name;
  guest->live_xml = xml;
  guest->end = "failed";
  guest->suspended = false;
  if (persistent) guest->inactive_xml = xml;
  label(xml, "qemu");

  auto options = options_.qemu;
  options.host = options_.address;
  options.directory = fmt::format("/var/lib/libvirt/qemu/domain-{}-{}", ++started_, domain.name);
  options.memory = domain.memory;
  options.incoming = domain.incoming;
  options.paused = paused;
  guest->qemu = qmp::FakeQemu::start(executor_, wire_, options);
  guest->qemu->watch([weak = std::weak_ptr(self_), uuid = domain.uuid](const qmp::Event& event) {
    if (const auto self = weak.lock()) (*self)->on_qemu_event(uuid, event);
  });
  guest->qemu->on_exit([weak = std::weak_ptr(self_), uuid = domain.uuid, qemu = guest->qemu.get()] {
    if (const auto self = weak.lock()) (*self)->on_qemu_exit(uuid, qemu);
  });
  tell(*guest, LifecycleChange::kStarted, "booted");
  if (paused) tell(*guest, LifecycleChange::kSuspended, "paused");
  return domain.uuid;
}

Task<void> FakeHypervisor::define(std::string xml, Deadline) {
  UMBRA_CO_CHECK(co_await enter("define"));
  UMBRA_CO_TRY(const auto domain, parse_domain(xml));
  auto& guest = guests_[domain.uuid];
  if (!guest) guest = std::make_unique<Guest>();
  guest->uuid = domain.uuid;
  guest->name = domain.name;
  guest->inactive_xml = xml;
  tell(*guest, LifecycleChange::kDefined, "added");
  co_return Result<void>{};
}

Task<void> FakeHypervisor::undefine(std::string uuid, Deadline) {
  UMBRA_CO_CHECK(co_await enter("undefine"));
  UMBRA_CO_TRY(auto* guest, find(uuid));
  if (guest->inactive_xml.empty())
    co_return umbra::fail(Errc::kConflict, "Requested operation is not valid: cannot undefine transient domain");
  guest->inactive_xml.clear();
  guest->autostart = false;
  guest->snapshots.clear();
  guest->checkpoints.clear();
  guest->current_snapshot.clear();
  tell(*guest, LifecycleChange::kUndefined, "removed");
  if (!guest->qemu) guests_.erase(uuid);
  co_return Result<void>{};
}

Task<void> FakeHypervisor::destroy(std::string uuid, Ending ending, Deadline) {
  UMBRA_CO_CHECK(co_await enter("destroy"));
  UMBRA_CO_TRY(auto* guest, find_active(uuid));
  guest->end = "destroyed";
  tell(*guest, LifecycleChange::kShutdown, "host");  // QEMU's answer to SIGTERM
  const auto qemu = guest->qemu;
  const auto owners = options_.storage->owner;
  qemu->die();
  on_qemu_exit(uuid, qemu.get());
  if (ending == Ending::kMovedAway) options_.storage->owner = owners;
  co_return Result<void>{};
}

Task<std::vector<std::string>> FakeHypervisor::tend(std::string uuid, Deadline) {
  UMBRA_CO_CHECK(co_await enter("tend"));
  UMBRA_CO_TRY(auto* guest, find_active(uuid));
  std::vector<std::string> found;
  const auto domain = images_of(guest->live_xml).value();
  for (const auto& image : domain.images) {
    auto& owner = options_.storage->owner[image.path];
    if (owner == "qemu") continue;
    found.push_back(fmt::format("its image {} belonged to {}", image.path, owner));
    if (image.left_alone) owner = "qemu";
  }
  co_return found;
}

Task<void> FakeHypervisor::suspend(std::string uuid, Deadline deadline) {
  UMBRA_CO_CHECK(co_await enter("suspend"));
  UMBRA_CO_TRY(auto* guest, find_active(uuid));
  const auto qemu = guest->qemu;
  guest->suspended = true;
  boost::json::object none;
  UMBRA_CO_CHECK(co_await qemu->execute("stop", none, deadline));
  co_return Result<void>{};
}

Task<void> FakeHypervisor::resume(std::string uuid, Deadline deadline) {
  UMBRA_CO_CHECK(co_await enter("resume"));
  UMBRA_CO_TRY(auto* guest, find_active(uuid));
  const auto qemu = guest->qemu;
  boost::json::object none;
  UMBRA_CO_CHECK(co_await qemu->execute("cont", none, deadline));
  co_return Result<void>{};
}

Task<void> FakeHypervisor::annotate(std::string uuid, std::string line, Deadline) {
  UMBRA_CO_CHECK(co_await enter("annotate"));
  UMBRA_CO_TRY(auto* guest, find_active(uuid));
  guest->live_xml = with_description(guest->live_xml, annotated(description_in(guest->live_xml), line));
  co_return Result<void>{};
}

std::shared_ptr<qmp::Transport> FakeHypervisor::monitor(std::string uuid) {
  return std::make_shared<Monitor>(self_, std::move(uuid));
}

std::shared_ptr<qmp::FakeQemu> FakeHypervisor::qemu(const std::string& uuid) const {
  const auto found = guests_.find(uuid);
  return found == guests_.end() ? nullptr : found->second->qemu;
}

void FakeHypervisor::change_live(const std::string& uuid, std::string xml, bool told) {
  auto& guest = *guests_.at(uuid);
  guest.live_xml = std::move(xml);
  if (told) tell(guest, LifecycleChange::kChanged, "metadata");
}

void FakeHypervisor::change_stored(const std::string& uuid, std::string xml) {
  auto& guest = *guests_.at(uuid);
  guest.inactive_xml = std::move(xml);
  tell(guest, LifecycleChange::kDefined, "updated");
}

void FakeHypervisor::keep_beside(const std::string& uuid, std::vector<std::string> snapshots,
                                 std::vector<std::string> checkpoints, bool autostart) {
  auto& guest = *guests_.at(uuid);
  guest.snapshots = std::move(snapshots);
  guest.checkpoints = std::move(checkpoints);
  guest.autostart = autostart;
}

bool FakeHypervisor::defines(const std::string& uuid) const {
  const auto found = guests_.find(uuid);
  return found != guests_.end() && !found->second->inactive_xml.empty();
}

bool FakeHypervisor::starts_at_boot(const std::string& uuid) const {
  const auto found = guests_.find(uuid);
  return found != guests_.end() && found->second->autostart;
}

std::string FakeHypervisor::description(const std::string& uuid) const {
  const auto found = guests_.find(uuid);
  return found == guests_.end() ? "" : description_in(found->second->live_xml);
}

/// As libvirt does with dynamic_ownership when a QEMU starts and ends.
void FakeHypervisor::label(const std::string& live_xml, const std::string& owner) {
  const auto domain = images_of(live_xml).value();
  for (const auto& image : domain.images)
    if (!image.left_alone) options_.storage->owner[image.path] = owner;
}

void FakeHypervisor::on_qemu_event(const std::string& uuid, const qmp::Event& event) {
  const auto found = guests_.find(uuid);
  if (found == guests_.end() || !found->second->qemu) return;
  auto& guest = *found->second;
  if (std::holds_alternative<qmp::StopEvent>(event.what)) {
    const bool broken = guest.qemu->run_state() == qmp::RunState::kIoError;
    tell(guest, LifecycleChange::kSuspended, broken ? "ioerror" : "paused");
  } else if (std::holds_alternative<qmp::ResumeEvent>(event.what)) {
    guest.suspended = false;
    tell(guest, LifecycleChange::kResumed, "unpaused");
  } else if (std::holds_alternative<qmp::ResetEvent>(event.what)) {
    tell(guest, LifecycleChange::kReset, "reset");
  } else if (const auto* shutdown = std::get_if<qmp::ShutdownEvent>(&event.what)) {
    guest.end = "shutdown";
    tell(guest, LifecycleChange::kShutdown, shutdown->by_guest ? "guest" : "host");
    if (shutdown->by_guest)
      asio::post(executor_, [qemu = guest.qemu] { qemu->die(); });  // libvirtd ends a QEMU that is done
  }
}

void FakeHypervisor::on_qemu_exit(const std::string& uuid, const qmp::FakeQemu* qemu) {
  const auto found = guests_.find(uuid);
  if (found == guests_.end() || found->second->qemu.get() != qemu) return;
  auto& guest = *found->second;
  guest.qemu.reset();
  label(guest.live_xml, "root");
  guest.live_xml.clear();
  tell(guest, LifecycleChange::kStopped, guest.end);
  if (guest.inactive_xml.empty()) guests_.erase(found);
}

void FakeHypervisor::tell(const Guest& guest, LifecycleChange change, std::string detail) {
  if (!connected_) return;
  LifecycleEvent event{guest.uuid, guest.name, change, std::move(detail)};
  asio::post(executor_, [weak = std::weak_ptr(self_), event = std::move(event)] {
    if (const auto self = weak.lock(); self && (*self)->connected_ && (*self)->listener_.lifecycle)
      (*self)->listener_.lifecycle(event);
  });
}

}  // namespace umbra::virt
