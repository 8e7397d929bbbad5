#include "agentd/virt/libvirt_definition.hpp"

#include <fcntl.h>
#include <libvirt/virterror.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace umbra::virt {
namespace {

constexpr unsigned kSnapshotXml = VIR_DOMAIN_SNAPSHOT_XML_SECURE;
constexpr unsigned kCheckpointXml = VIR_DOMAIN_CHECKPOINT_XML_SECURE;

struct FreeSnapshot {
  void operator()(virDomainSnapshotPtr snapshot) const { virDomainSnapshotFree(snapshot); }
};
using SnapshotPtr = std::unique_ptr<virDomainSnapshot, FreeSnapshot>;
struct FreeCheckpoint {
  void operator()(virDomainCheckpointPtr checkpoint) const { virDomainCheckpointFree(checkpoint); }
};
using CheckpointPtr = std::unique_ptr<virDomainCheckpoint, FreeCheckpoint>;

Result<std::string> text_of(char* raw, std::string_view what) {
  const CText text(raw);
  if (!text) return fail(last_error(what));
  return std::string(text.get());
}

Result<void> check(int result, std::string_view what) {
  if (result < 0) return fail(last_error(what));
  return {};
}

/// Takes what libvirt's list functions allocated.
template <class Handle, class Raw>
std::vector<Handle> take_list(Raw** raw, int count) {
  const std::unique_ptr<Raw*, CFree> array(raw);
  std::vector<Handle> list;
  for (int i = 0; i < count; ++i) list.emplace_back(raw[i]);
  return list;
}

Result<void> read_snapshots(virDomainPtr domain, Definition& definition) {
  virDomainSnapshotPtr* raw = nullptr;
  const int count = virDomainListAllSnapshots(domain, &raw, VIR_DOMAIN_SNAPSHOT_LIST_TOPOLOGICAL);
  if (count < 0) return fail(last_error("listing its snapshots"));
  for (const auto& snapshot : take_list<SnapshotPtr>(raw, count)) {
    UMBRA_TRY(auto xml, text_of(virDomainSnapshotGetXMLDesc(snapshot.get(), kSnapshotXml), "reading a snapshot"));
    definition.snapshots.push_back(std::move(xml));
    if (virDomainSnapshotIsCurrent(snapshot.get(), 0) == 1)
      definition.current_snapshot = virDomainSnapshotGetName(snapshot.get());
  }
  return {};
}

Result<void> read_checkpoints(virDomainPtr domain, Definition& definition) {
  virDomainCheckpointPtr* raw = nullptr;
  const int count = virDomainListAllCheckpoints(domain, &raw, VIR_DOMAIN_CHECKPOINT_LIST_TOPOLOGICAL);
  if (count < 0) return fail(last_error("listing its checkpoints"));
  for (const auto& checkpoint : take_list<CheckpointPtr>(raw, count)) {
    UMBRA_TRY(auto xml,
              text_of(virDomainCheckpointGetXMLDesc(checkpoint.get(), kCheckpointXml), "reading a checkpoint"));
    definition.checkpoints.push_back(std::move(xml));
  }
  return {};
}

Result<void> annotate(virDomainPtr domain, const Annotations& is, const Annotations& wanted) {
  const auto text = [](const std::string& value) { return value.empty() ? nullptr : value.c_str(); };
  if (is.title != wanted.title)
    UMBRA_CHECK(check(virDomainSetMetadata(domain, VIR_DOMAIN_METADATA_TITLE, text(wanted.title), nullptr, nullptr,
                                           VIR_DOMAIN_AFFECT_LIVE),
                      "writing the title"));
  if (is.description != wanted.description)
    UMBRA_CHECK(check(virDomainSetMetadata(domain, VIR_DOMAIN_METADATA_DESCRIPTION, text(wanted.description), nullptr,
                                           nullptr, VIR_DOMAIN_AFFECT_LIVE),
                      "writing the description"));
  const auto set = [domain](const MetadataElement& element, const char* xml) {
    return check(virDomainSetMetadata(domain, VIR_DOMAIN_METADATA_ELEMENT, xml, element.key.c_str(),
                                      element.uri.c_str(), VIR_DOMAIN_AFFECT_LIVE),
                 "writing the metadata");
  };
  for (const auto& element : wanted.metadata)
    if (std::find(is.metadata.begin(), is.metadata.end(), element) == is.metadata.end())
      UMBRA_CHECK(set(element, element.xml.c_str()));
  for (const auto& element : is.metadata)
    if (std::none_of(wanted.metadata.begin(), wanted.metadata.end(),
                     [&](const MetadataElement& other) { return other.uri == element.uri; }))
      UMBRA_CHECK(set(element, nullptr));
  return {};
}

std::string name_in(const std::string& xml) {
  const auto begin = xml.find("<name>"), end = xml.find("</name>");
  return begin == std::string::npos || end == std::string::npos ? "" : xml.substr(begin + 6, end - begin - 6);
}

Result<void> redefine_snapshot(virDomainPtr domain, const std::string& xml, const std::string& current) {
  unsigned flags = VIR_DOMAIN_SNAPSHOT_CREATE_REDEFINE;
  if (!current.empty() && name_in(xml) == current) flags |= VIR_DOMAIN_SNAPSHOT_CREATE_CURRENT;
  const SnapshotPtr made(virDomainSnapshotCreateXML(domain, xml.c_str(), flags));
  if (!made) return fail(last_error("keeping the snapshot " + name_in(xml)));
  return {};
}

Result<void> redefine_checkpoint(virDomainPtr domain, const std::string& xml) {
  const CheckpointPtr made(virDomainCheckpointCreateXML(domain, xml.c_str(), VIR_DOMAIN_CHECKPOINT_CREATE_REDEFINE));
  if (!made) return fail(last_error("keeping the checkpoint " + name_in(xml)));
  return {};
}

Result<void> define(virDomainPtr domain, const std::string& xml) {
  if (!own(virDomainDefineXMLFlags(virDomainGetConnect(domain), xml.c_str(), 0)))
    return fail(last_error("defining the domain"));
  return {};
}

/// As another host can take it.
Result<std::string> live_xml_of(virDomainPtr domain) {
  return text_of(virDomainGetXMLDesc(domain, VIR_DOMAIN_XML_MIGRATABLE | VIR_DOMAIN_XML_SECURE),
                 "reading the domain's XML");
}

/// People may have given it another image since it runs here.
Result<void> define_as(virDomainPtr domain, const Definition& definition) {
  auto inactive = definition.inactive_xml;
  if (!definition.live_xml.empty()) {
    UMBRA_TRY(const auto now, live_xml_of(domain));
    UMBRA_TRY(inactive, follow_disks(inactive, definition.live_xml, now));
  }
  return define(domain, inactive);
}

Result<void> annotate_as(virDomainPtr domain, const Definition& definition) {
  UMBRA_TRY(const auto wanted, annotations_of(definition.live_xml));
  UMBRA_TRY(const auto xml, text_of(virDomainGetXMLDesc(domain, 0), "reading the domain's XML"));
  UMBRA_TRY(const auto is, annotations_of(xml));
  return annotate(domain, is, wanted);
}

Result<void> sync_directory(const std::filesystem::path& directory) {
  const int descriptor = ::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0 && errno == ENOENT) return {};
  const int failed = descriptor < 0 || ::fsync(descriptor) != 0 ? errno : 0;
  if (descriptor >= 0) ::close(descriptor);
  if (failed != 0)
    return fail({Errc::kUnavailable, fmt::format("cannot sync {}: {}", directory.string(), std::strerror(failed)),
                 "look after that file system"});
  return {};
}

}  // namespace

Result<Definition> read_live(virDomainPtr domain) {
  Definition definition;
  if (virDomainIsActive(domain) == 1) {
    UMBRA_TRY(definition.live_xml, live_xml_of(domain));
  }
  UMBRA_CHECK(read_snapshots(domain, definition));
  UMBRA_CHECK(read_checkpoints(domain, definition));
  return definition;
}

Result<bool> read_autostart(virDomainPtr domain) {
  int on = 0;
  UMBRA_CHECK(check(virDomainGetAutostart(domain, &on), "reading whether it is started at boot"));
  return on != 0;
}

Result<Persistent> read_persistent(virDomainPtr domain) {
  Persistent persistent;
  if (virDomainIsPersistent(domain) != 1) return persistent;
  UMBRA_TRY(persistent.xml, text_of(virDomainGetXMLDesc(domain, VIR_DOMAIN_XML_INACTIVE | VIR_DOMAIN_XML_SECURE),
                                    "reading the domain's definition"));
  UMBRA_TRY(persistent.autostart, read_autostart(domain));
  return persistent;
}

Result<std::string> read_live_text(virDomainPtr domain) {
  return text_of(virDomainGetXMLDesc(domain, VIR_DOMAIN_XML_SECURE), "reading the domain's XML");
}

Result<std::string> read_kept_text(virDomainPtr domain) {
  Definition definition;
  UMBRA_CHECK(read_snapshots(domain, definition));
  UMBRA_CHECK(read_checkpoints(domain, definition));
  UMBRA_TRY(auto text, text_of(virDomainGetXMLDesc(domain, VIR_DOMAIN_XML_INACTIVE | VIR_DOMAIN_XML_SECURE),
                               "reading the domain's definition"));
  for (const auto* list : {&definition.snapshots, &definition.checkpoints})
    for (const auto& xml : *list) text += '\n' + xml;
  return text + '\n' + definition.current_snapshot;
}

Definition join(Definition live, Persistent persistent) {
  live.inactive_xml = std::move(persistent.xml);
  live.autostart = persistent.autostart;
  return live;
}

Result<void> make_kept(virDomainPtr domain, const Definition& definition,
                       const std::filesystem::path& autostart_links) {
  Result<void> outcome;
  const auto note = [&outcome](Result<void> done) {
    if (!done && outcome) outcome = std::move(done);
  };
  if (!definition.inactive_xml.empty()) note(define_as(domain, definition));
  if (!definition.live_xml.empty()) note(annotate_as(domain, definition));
  for (const auto& xml : definition.snapshots) note(redefine_snapshot(domain, xml, definition.current_snapshot));
  for (const auto& xml : definition.checkpoints) note(redefine_checkpoint(domain, xml));
  if (definition.autostart) note(set_autostart(domain, true, autostart_links));
  return outcome;
}

std::set<std::string> TendedSnapshots::known(const std::string& uuid) {
  const std::scoped_lock lock(mutex_);
  const auto found = known_.find(uuid);
  return found == known_.end() ? std::set<std::string>{} : found->second;
}

void TendedSnapshots::know(const std::string& uuid, std::set<std::string> names) {
  const std::scoped_lock lock(mutex_);
  if (names.empty())
    known_.erase(uuid);
  else
    known_[uuid] = std::move(names);
}

Result<std::vector<std::string>> TendedSnapshots::tend(virDomainPtr domain, const std::string& uuid) {
  std::vector<std::string> done;
  virDomainSnapshotPtr* raw = nullptr;
  const int count = virDomainListAllSnapshots(domain, &raw, VIR_DOMAIN_SNAPSHOT_LIST_TOPOLOGICAL);
  if (count < 0) return fail(last_error("listing its snapshots"));
  const auto snapshots = take_list<SnapshotPtr>(raw, count);
  const auto before = known(uuid);
  std::set<std::string> now;
  for (const auto& snapshot : snapshots) {
    const std::string name = virDomainSnapshotGetName(snapshot.get());
    now.insert(name);
    if (before.contains(name)) continue;
    UMBRA_TRY(const auto xml, text_of(virDomainSnapshotGetXMLDesc(snapshot.get(), kSnapshotXml), "reading a snapshot"));
    UMBRA_TRY(const auto clean, clean_snapshot(xml));
    if (!clean) continue;
    const bool current = virDomainSnapshotIsCurrent(snapshot.get(), 0) == 1;
    UMBRA_CHECK(redefine_snapshot(domain, *clean, current ? name : ""));
    done.push_back(fmt::format("its snapshot {} would have waited for a migration when reverted to; mended", name));
  }
  know(uuid, std::move(now));
  return done;
}

Result<void> set_autostart(virDomainPtr domain, bool on, const std::filesystem::path& autostart_links) {
  UMBRA_CHECK(check(virDomainSetAutostart(domain, on ? 1 : 0), "setting whether it is started at boot"));
  return sync_directory(autostart_links);
}

}  // namespace umbra::virt
