#include "agentd/virt/domain_xml.hpp"

#include <algorithm>
#include <cctype>
#include <map>
#include <optional>
#include <pugixml.hpp>
#include <set>
#include <sstream>

#include "agentd/virt/admission.hpp"
#include "agentd/virt/domain_document.hpp"
#include "agentd/virt/image_labels.hpp"
#include "agentd/virt/xml_limits.hpp"

namespace umbra::virt {
namespace {

constexpr std::string_view kQemuNamespace = "http://libvirt.org/schemas/domain/qemu/1.0";

/// The parser takes prefixes that no element can have.
bool begins_a_name(std::string_view text) {
  return !text.empty() && (std::isalpha(static_cast<unsigned char>(text[0])) != 0 || text[0] == '_');
}

/// The prefix, with its colon, that an attribute binds to a namespace; nothing when it binds none.
std::optional<std::string> prefix_in(const pugi::xml_attribute& attribute, std::string_view uri) {
  const std::string_view name = attribute.name();
  if (attribute.value() != uri) return std::nullopt;
  if (name == "xmlns") return "";
  if (name.starts_with("xmlns:") && begins_a_name(name.substr(6))) return std::string(name.substr(6)) + ":";
  return std::nullopt;
}

/// The first that `node` binds.
std::optional<std::string> prefix_of(const pugi::xml_node& node, std::string_view uri) {
  for (const auto& attribute : node.attributes())
    if (auto prefix = prefix_in(attribute, uri)) return prefix;
  return std::nullopt;
}

/// libvirt reads a domain of no namespace, and once what it writes once. Where that is there twice, or means something
/// else, libvirt and we would read different things.
Result<void> check_root(const pugi::xml_node& domain) {
  if (const auto own = domain.attribute("xmlns"))
    return fail({Errc::kInvalid, fmt::format("domain XML: <domain> is of the namespace '{}'", own.value()),
                 "remove the attribute xmlns; QEMU's namespace is declared as xmlns:qemu"});
  const auto bound = std::ranges::count_if(
      domain.attributes(), [](const pugi::xml_attribute& each) { return prefix_in(each, kQemuNamespace).has_value(); });
  if (bound > 1)
    return fail({Errc::kInvalid, "domain XML: QEMU's namespace has more than one prefix", "declare it once, as qemu"});
  const auto prefix = prefix_of(domain, kQemuNamespace);
  const auto commandline = prefix ? *prefix + "commandline" : std::string("qemu:commandline");
  const std::set<std::string_view> once{"name", "uuid", "title",   "description", "metadata", "memory",
                                        "vcpu", "os",   "devices", "on_poweroff", commandline};
  std::set<std::string_view> seen;
  for (const auto& child : domain.children())
    if (once.contains(child.name()) && !seen.insert(child.name()).second)
      return fail({Errc::kInvalid, fmt::format("domain XML: there is more than one <{}>", child.name()),
                   "leave one; virt-xml-validate tells more"});
  return {};
}

UmbraMetadata read_metadata(const pugi::xml_node& domain) {
  UmbraMetadata metadata;
  const auto from_root = prefix_of(domain, kMetadataNamespace);
  for (const auto& child : domain.child("metadata").children()) {
    const auto own = prefix_of(child, kMetadataNamespace);
    const auto prefix = own ? own : from_root;
    if (!prefix || child.name() != *prefix + "vm") continue;
    const auto name = *prefix + "address";  // pugixml's range keeps only a pointer to it
    for (const auto& address : child.children(name.c_str())) metadata.addresses.emplace_back(address.text().get());
    metadata.account = child.child((*prefix + "account").c_str()).text().get();
    metadata.profile = child.child((*prefix + "profile").c_str()).text().get();
    const std::string_view policy = child.child((*prefix + "on-host-loss").c_str()).text().get();
    metadata.restart_on_host_loss = policy == "restart";
    metadata.shared_disks = static_cast<bool>(child.child((*prefix + "shared-disks").c_str()));
  }
  return metadata;
}

/// The first interface whose tap is ours to move: type='ethernet' with <target managed='no'>.
pugi::xml_node routed_interface(const pugi::xml_node& domain) {
  for (const auto& interface : domain.child("devices").children("interface"))
    if (std::string_view(interface.attribute("type").value()) == "ethernet" &&
        std::string_view(interface.child("target").attribute("managed").value()) == "no")
      return interface;
  return {};
}

Result<Bytes> memory_of(const pugi::xml_node& domain) {
  const auto memory = domain.child("memory");
  const std::string unit = memory.attribute("unit").as_string("KiB");
  const auto count = memory.text().as_ullong();
  // formatdomain.html: "b", "bytes", "KB" (1000), "k"/"KiB" (1024), … libvirt itself writes KiB.
  static const std::map<std::string, std::uint64_t, std::less<>> kUnits{
      {"b", 1},           {"bytes", 1},       {"KB", 1000},        {"k", 1024},
      {"KiB", 1024},      {"MB", 1000000},    {"M", 1ULL << 20},   {"MiB", 1ULL << 20},
      {"GB", 1000000000}, {"G", 1ULL << 30},  {"GiB", 1ULL << 30}, {"TB", 1000000000000},
      {"T", 1ULL << 40},  {"TiB", 1ULL << 40}};
  const auto found = kUnits.find(unit);
  if (count == 0 || found == kUnits.end() || count > (~0ULL) / found->second)
    return fail({Errc::kInvalid, fmt::format("domain XML: '{} {}' is no size of memory", memory.text().get(), unit),
                 "correct <memory>"});
  return Bytes{count * found->second};
}

pugi::xml_node commandline_of(const pugi::xml_node& domain) {
  const auto prefix = prefix_of(domain, kQemuNamespace);
  return prefix ? domain.child((*prefix + "commandline").c_str()) : pugi::xml_node{};
}

/// The "-incoming" argument whose value is "defer": ours.
pugi::xml_node our_incoming(const pugi::xml_node& commandline) {
  for (const auto& argument : commandline.children())
    if (std::string_view(argument.attribute("value").value()) == "-incoming" &&
        std::string_view(argument.next_sibling().attribute("value").value()) == "defer")
      return argument;
  return {};
}

void set_description(pugi::xml_node domain, std::string_view line) {
  auto description = domain.child("description");
  const auto text = annotated(description.text().get(), line);
  if (text.empty())
    domain.remove_child(description);
  else
    description.text().set(text.c_str());
}

/// A label of our own comes first: libvirt takes the first that fits.
void leave_labels_alone(pugi::xml_node disk) {
  auto source = disk.child("source");
  for (auto label = source.child("seclabel"); label;) {
    const auto next = label.next_sibling("seclabel");
    if (std::string_view(label.attribute("model").value()) == "dac") source.remove_child(label);
    label = next;
  }
  auto label = source.prepend_child("seclabel");
  label.append_attribute("model").set_value("dac");
  label.append_attribute("relabel").set_value("no");
}

void add_argument(pugi::xml_node commandline, const std::string& prefix, const char* value) {
  commandline.append_child((prefix + "arg").c_str()).append_attribute("value").set_value(value);
}

}  // namespace

Result<pugi::xml_document> load_domain(std::string_view xml) {
  pugi::xml_document document;
  UMBRA_CHECK(check_xml(xml));
  const auto parsed = document.load_buffer(xml.data(), xml.size(), pugi::parse_default, pugi::encoding_utf8);
  if (!parsed) {
    const auto before = xml.substr(0, std::min(xml.size(), static_cast<std::size_t>(parsed.offset)));
    const auto line = 1 + std::count(before.begin(), before.end(), '\n');
    const auto column = before.size() - (before.rfind('\n') == before.npos ? 0 : before.rfind('\n') + 1) + 1;
    return fail({Errc::kInvalid, fmt::format("domain XML, line {}, column {}: {}", line, column, parsed.description()),
                 "correct the XML; virt-xml-validate tells more"});
  }
  if (!document.child("domain"))
    return fail({Errc::kInvalid, "domain XML: the root is not <domain>", "give the XML of a domain (virsh dumpxml)"});
  UMBRA_CHECK(check_root(document.child("domain")));
  return document;
}

Result<pugi::xml_document> load_snapshot(std::string_view xml) {
  UMBRA_CHECK(check_xml(xml));
  pugi::xml_document document;
  if (const auto parsed = document.load_buffer(xml.data(), xml.size(), pugi::parse_default, pugi::encoding_utf8);
      !parsed)
    return fail({Errc::kInvalid, fmt::format("snapshot XML: {}", parsed.description()), "correct the XML"});
  return document;
}

std::string dump(const pugi::xml_document& document) {
  std::ostringstream out;
  document.save(out, "  ", pugi::format_indent | pugi::format_no_declaration, pugi::encoding_utf8);
  return out.str();
}

std::string annotated(std::string_view description, std::string_view line) {
  std::string text;
  while (!description.empty()) {
    const auto end = description.find('\n');
    const auto next = description.substr(0, end);
    description.remove_prefix(end == description.npos ? description.size() : end + 1);
    if (!next.starts_with(kOurLine)) text.append(next).append("\n");
  }
  if (!line.empty())
    text.append(line.starts_with(kOurLine) ? "" : kOurLine).append(line);
  else if (!text.empty())
    text.pop_back();
  return text;
}

Result<Domain> parse_domain(std::string_view xml, const ForeignRules& rules) {
  UMBRA_TRY(const auto document, load_domain(xml));
  const auto root = document.child("domain");
  auto metadata = read_metadata(root);
  Domain domain;
  domain.uuid = root.child("uuid").text().get();
  domain.name = root.child("name").text().get();
  if (domain.name.empty()) return fail({Errc::kInvalid, "domain XML: no <name>", "give the domain a name"});
  UMBRA_TRY(domain.memory, memory_of(root));
  const auto vcpu = root.child("vcpu");
  domain.vcpus = vcpu.attribute("current").as_uint(vcpu.text().as_uint(1));
  const auto interface = routed_interface(root);
  domain.tap = interface.child("target").attribute("dev").value();
  domain.mac = interface.child("mac").attribute("address").value();
  domain.incoming = static_cast<bool>(our_incoming(commandline_of(root)));
  domain.refusal = refusal(root, metadata, rules);
  domain.warnings = warnings(root);
  domain.addresses = std::move(metadata.addresses);
  domain.account = std::move(metadata.account);
  domain.profile = std::move(metadata.profile);
  domain.restart_on_host_loss = metadata.restart_on_host_loss;
  return domain;
}

Result<std::string> shadow_xml(std::string_view xml) {
  UMBRA_TRY(const auto document, load_domain(xml));
  auto domain = document.child("domain");
  domain.remove_attribute("id");
  for (auto label = domain.child("seclabel"); label;) {  // a dynamic label was generated for one process
    const auto next = label.next_sibling("seclabel");
    if (std::string_view(label.attribute("type").as_string("dynamic")) == "dynamic") domain.remove_child(label);
    label = next;
  }
  set_description(domain, {});
  for (const auto& disk : domain.child("devices").children("disk"))
    if (is_image_of_its_own(disk)) leave_labels_alone(disk);

  auto prefix = prefix_of(domain, kQemuNamespace);
  if (!prefix) {
    prefix = "qemu:";
    domain.append_attribute("xmlns:qemu").set_value(std::string(kQemuNamespace).c_str());
  }
  const auto name = *prefix + "commandline";
  auto commandline = domain.child(name.c_str());
  if (!commandline) commandline = domain.append_child(name.c_str());
  if (our_incoming(commandline)) return dump(document);  // it has moved before
  add_argument(commandline, *prefix, "-incoming");
  add_argument(commandline, *prefix, "defer");
  return dump(document);
}

bool remove_incoming(pugi::xml_node domain) {
  auto commandline = commandline_of(domain);
  bool found = false;
  while (auto argument = our_incoming(commandline)) {
    commandline.remove_child(argument.next_sibling());
    commandline.remove_child(argument);
    found = true;
  }
  if (commandline && !commandline.first_child()) {
    domain.remove_child(commandline);
    // The namespace goes too, unless another element of it (qemu:override, …) stays.
    const auto prefix = *prefix_of(domain, kQemuNamespace);
    const auto used = domain.find_child([&](const pugi::xml_node& child) {
      return !prefix.empty() && std::string_view(child.name()).starts_with(prefix);
    });
    if (!used && !prefix.empty()) domain.remove_attribute(("xmlns:" + prefix.substr(0, prefix.size() - 1)).c_str());
  }
  return found;
}

Result<std::string> clean_xml(std::string_view xml) {
  UMBRA_TRY(const auto document, load_domain(xml));
  auto domain = document.child("domain");
  set_description(domain, {});
  remove_incoming(domain);
  return dump(document);
}

}  // namespace umbra::virt
