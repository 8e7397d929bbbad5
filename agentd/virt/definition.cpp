#include "agentd/virt/definition.hpp"

#include <array>
#include <sstream>

#include "agentd/virt/domain_document.hpp"
#include "agentd/virt/domain_xml.hpp"

namespace umbra::virt {
namespace {

constexpr std::size_t kMostSnapshots = 500;          // of one domain, and as many checkpoints
constexpr std::size_t kMostBytes = 8 * 1024 * 1024;  // of one definition; a frame between agents holds twice as much

/// Elements of a domain that are no part of its QEMU: carried on their own, or QEMU's migration stream has them.
bool is_carried(std::string_view parent, std::string_view name) {
  static constexpr std::array<std::string_view, 4> kCarried{"title", "description", "metadata", "currentMemory"};
  return parent == "domain" && std::find(kCarried.begin(), kCarried.end(), name) != kCarried.end();
}

/// A generated security label belongs to one process.
bool is_generated(const pugi::xml_node& node) {
  return std::string_view(node.name()) == "seclabel" &&
         std::string_view(node.attribute("type").as_string("dynamic")) == "dynamic";
}

bool is_carried_attribute(std::string_view element, std::string_view name) {
  if (element == "domain") return name == "id" || name.starts_with("xmlns");
  return element == "target" && name == "tray";  // the drive's tray is part of its device state
}

pugi::xml_node next_compared(pugi::xml_node node, std::string_view parent) {
  while (node && (is_carried(parent, node.name()) || is_generated(node) || node.type() == pugi::node_comment))
    node = node.next_sibling();
  return node;
}

/// "disk vda", "interface 52:54:00:00:00:01", "cputune": how people call the element.
std::string label_of(const pugi::xml_node& node) {
  for (const auto* text :
       {node.child("target").attribute("dev").value(), node.child("mac").attribute("address").value(),
        node.child("alias").attribute("name").value()})
    if (*text != '\0') return fmt::format("{} {}", node.name(), text);
  return node.name();
}

std::string path_of(const std::string& where, const pugi::xml_node& node) {
  const auto label = label_of(node);
  return where.empty() ? label : fmt::format("{}, {}", where, label);
}

std::string described(const std::string& path, std::string_view what, std::string_view now, std::string_view was) {
  return fmt::format("{}{}{} is {}, was {}", path, path.empty() || what.empty() ? "" : ": ", what,
                     now.empty() ? "nothing" : now, was.empty() ? "nothing" : was);
}

std::string attribute_difference(const pugi::xml_node& was, const pugi::xml_node& now, const std::string& path) {
  for (const auto& attribute : now.attributes()) {
    const std::string_view name = attribute.name();
    const std::string_view before = was.attribute(attribute.name()).value();
    if (before != attribute.value() && !is_carried_attribute(now.name(), name))
      return described(path, name, attribute.value(), before);
  }
  for (const auto& attribute : was.attributes())
    if (!now.attribute(attribute.name()) && *attribute.value() != '\0' &&
        !is_carried_attribute(was.name(), attribute.name()))
      return described(path, attribute.name(), {}, attribute.value());
  return {};
}

/// The first difference of two elements of one name. Elements keep their order in libvirt's output.
std::string difference(const pugi::xml_node& was, const pugi::xml_node& now, const std::string& where) {
  const bool root = std::string_view(now.name()) == "domain";
  const bool grouping = root || std::string_view(now.name()) == "devices";
  const auto path = grouping ? where : path_of(where, now);
  if (auto attributes = attribute_difference(was, now, path); !attributes.empty()) return attributes;
  const std::string_view parent = now.name();
  auto before = next_compared(was.first_child(), parent);
  auto after = next_compared(now.first_child(), parent);
  for (; before && after;
       before = next_compared(before.next_sibling(), parent), after = next_compared(after.next_sibling(), parent)) {
    if (after.type() != pugi::node_element || before.type() != pugi::node_element) {
      if (std::string_view(before.value()) != after.value()) return described(path, {}, after.value(), before.value());
      continue;
    }
    if (std::string_view(before.name()) != after.name()) break;
    if (auto inner = difference(before, after, path); !inner.empty()) return inner;
  }
  if (!before && !after) return {};
  const auto size = [&](const pugi::xml_node& node) { return std::distance(node.begin(), node.end()); };
  if (after && (!before || size(now) > size(was))) return fmt::format("{} was added", path_of(path, after));
  if (before && (!after || size(was) > size(now))) return fmt::format("{} was removed", path_of(path, before));
  return fmt::format("{} is where {} was", path_of(path, after), label_of(before));
}

/// Drops the prefix `prefix` (with its colon) from the element and all below it.
void strip(pugi::xml_node node, const std::string& prefix) {
  if (node.type() != pugi::node_element) return;
  const std::string name = node.name();
  if (!prefix.empty() && name.starts_with(prefix)) node.set_name(name.substr(prefix.size()).c_str());
  for (auto child : node.children()) strip(child, prefix);
}

std::optional<MetadataElement> metadata_element(pugi::xml_node domain, pugi::xml_node node) {
  const std::string name = node.name();
  const auto colon = name.find(':');
  if (colon == std::string::npos) return std::nullopt;  // libvirt has no way to set one without a prefix
  MetadataElement element;
  element.key = name.substr(0, colon);
  const auto binding = "xmlns:" + element.key;
  element.uri = node.attribute(binding.c_str()).as_string(domain.attribute(binding.c_str()).value());
  node.remove_attribute(binding.c_str());
  strip(node, element.key + ":");
  std::ostringstream out;
  node.print(out, "", pugi::format_raw);
  element.xml = out.str();
  return element;
}

pugi::xml_node disk_of(const pugi::xml_document& document, std::string_view target) {
  for (const auto& disk : document.child("domain").child("devices").children("disk"))
    if (disk.child("target").attribute("dev").value() == target) return disk;
  return {};
}

/// Without what belongs to one process: libvirt's number of the image, and the label that a shadow's images have.
void make_stored(pugi::xml_node source) {
  source.remove_attribute("index");
  while (source.remove_child("seclabel")) {
  }
}

/// Type and image of a disk, or of what is below it, to be compared.
std::string image_of(const pugi::xml_node& disk) {
  pugi::xml_document copy;
  auto source = copy.append_copy(disk.child("source"));
  make_stored(source);
  std::ostringstream out;
  out << disk.attribute("type").value();
  source.print(out, "", pugi::format_raw);
  return out.str();
}

/// Of a disk that runs on top of it, an image is only what was written before.
bool is_below(const std::string& image, const pugi::xml_node& disk) {
  for (auto below = disk.child("backingStore"); below; below = below.child("backingStore"))
    if (below.child("source") && image_of(below) == image) return true;
  return false;
}

void take_image(pugi::xml_node stored, const pugi::xml_node& runs) {
  stored.remove_child("backingStore");
  stored.attribute("type").set_value(runs.attribute("type").value());
  const auto driver = runs.child("driver").attribute("type");
  if (driver && stored.child("driver").attribute("type"))
    stored.child("driver").attribute("type").set_value(driver.value());
  const auto old = stored.child("source");
  make_stored(old ? stored.insert_copy_after(runs.child("source"), old) : stored.append_copy(runs.child("source")));
  stored.remove_child(old);
}

std::size_t bytes_of(const Definition& definition) {
  std::size_t bytes = definition.live_xml.size() + definition.inactive_xml.size();
  for (const auto* list : {&definition.snapshots, &definition.checkpoints})
    for (const auto& xml : *list) bytes += xml.size();
  return bytes;
}

std::string snapshot_refusal(const std::string& xml) {
  pugi::xml_document document;
  if (!document.load_string(xml.c_str()))
    return "libvirt gives no XML of one of its snapshots; see virsh snapshot-list";
  const auto snapshot = document.child("domainsnapshot");
  const auto memory = snapshot.child("memory");
  if (std::string_view(memory.attribute("snapshot").value()) != "external") return {};
  return fmt::format(
      "its snapshot {} keeps the guest's memory in a file of this host ({}); delete it (virsh snapshot-delete), or its "
      "metadata alone (--metadata)",
      snapshot.child("name").text().get(), memory.attribute("file").value());
}

}  // namespace

Result<std::optional<std::string>> device_difference(std::string_view made_of, std::string_view now) {
  UMBRA_TRY(const auto before, load_domain(made_of));
  UMBRA_TRY(const auto after, load_domain(now));
  auto found = difference(before.child("domain"), after.child("domain"), {});
  if (found.empty()) return std::nullopt;
  return found;
}

Result<std::optional<std::string>> change_between(const Definition& before, const Definition& now) {
  UMBRA_TRY(auto device, device_difference(before.live_xml, now.live_xml));
  if (device) return device;
  UMBRA_TRY(const auto said, annotations_of(before.live_xml));
  UMBRA_TRY(const auto says, annotations_of(now.live_xml));
  if (said != says) return "its title, description or metadata was changed";
  if (before.inactive_xml.empty() != now.inactive_xml.empty())
    return now.inactive_xml.empty() ? "it was undefined" : "it was defined";
  if (before.inactive_xml != now.inactive_xml) return "its stored definition was changed (virsh edit, --config)";
  if (before.snapshots != now.snapshots || before.current_snapshot != now.current_snapshot)
    return "its snapshots were changed";
  if (before.checkpoints != now.checkpoints) return "its checkpoints were changed";
  return std::nullopt;
}

Result<std::string> follow_disks(std::string_view inactive_xml, std::string_view was, std::string_view now) {
  UMBRA_TRY(const auto stored, load_domain(inactive_xml));
  UMBRA_TRY(const auto before, load_domain(was));
  UMBRA_TRY(const auto after, load_domain(now));
  bool followed = false;
  for (const auto& runs : after.child("domain").child("devices").children("disk")) {
    const std::string_view target = runs.child("target").attribute("dev").value();
    const auto had = disk_of(before, target), keeps = disk_of(stored, target);
    if (!keeps || image_of(keeps) == image_of(runs)) continue;
    if ((!had || image_of(keeps) != image_of(had)) && !is_below(image_of(keeps), runs)) continue;
    take_image(keeps, runs);
    followed = true;
  }
  return followed ? dump(stored) : std::string(inactive_xml);
}

Result<std::optional<std::string>> clean_snapshot(std::string_view xml) {
  UMBRA_TRY(const auto document, load_snapshot(xml));
  bool cleaned = false;
  for (const auto* name : {"domain", "inactiveDomain"})
    cleaned = remove_incoming(document.child("domainsnapshot").child(name)) || cleaned;
  if (!cleaned) return std::nullopt;
  return dump(document);
}

Result<Annotations> annotations_of(std::string_view xml) {
  UMBRA_TRY(const auto document, load_domain(xml));
  const auto domain = document.child("domain");
  Annotations annotations;
  annotations.title = domain.child("title").text().get();
  annotations.description = annotated(domain.child("description").text().get(), {});
  for (const auto& child : domain.child("metadata").children())
    if (auto element = metadata_element(domain, child)) annotations.metadata.push_back(std::move(*element));
  return annotations;
}

std::string belongings_refusal(const Definition& definition) {
  if (definition.snapshots.size() > kMostSnapshots || definition.checkpoints.size() > kMostSnapshots)
    return fmt::format("it has {} snapshots and {} checkpoints, and at most {} of each can follow it; delete some",
                       definition.snapshots.size(), definition.checkpoints.size(), kMostSnapshots);
  if (bytes_of(definition) > kMostBytes)
    return fmt::format("what libvirt keeps of it takes {} MiB, and at most {} can follow it; delete some snapshots",
                       bytes_of(definition) >> 20, kMostBytes >> 20);
  for (const auto& xml : definition.snapshots)
    if (auto reason = snapshot_refusal(xml); !reason.empty()) return reason;
  return {};
}

}  // namespace umbra::virt
