#include "agentd/virt/foreign_domain.hpp"

#include <algorithm>
#include <optional>
#include <sstream>

#include "agentd/virt/domain_document.hpp"
#include "agentd/virt/domain_xml.hpp"
#include "agentd/virt/foreign_paths.hpp"

namespace umbra::virt {
namespace {

constexpr std::string_view kQemuNamespace = "http://libvirt.org/schemas/domain/qemu/1.0";

using Names = std::initializer_list<std::string_view>;

bool among(std::string_view name, Names names) {
  return std::ranges::find(names, name) != names.end();
}

std::string_view attribute(const pugi::xml_node& node, const char* name) {
  return node.attribute(name).value();
}

template <class... Args>
tl::unexpected<Error> deny(std::string remedy, fmt::format_string<Args...> format, Args&&... args) {
  return fail({Errc::kDenied, fmt::format(format, std::forward<Args>(args)...), std::move(remedy)});
}

/// "-cpu max" → {"-cpu", "max"}
std::vector<std::string_view> words_of(std::string_view text) {
  std::vector<std::string_view> words;
  while (!text.empty()) {
    const auto end = std::min(text.find(' '), text.size());
    if (end > 0) words.push_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return words;
}

/// The first argument that nobody allows; nothing when all are.
std::optional<std::string> foreign_argument(const std::vector<std::string_view>& arguments,
                                            const std::vector<std::string>& allowed) {
  for (std::size_t at = 0; at < arguments.size();) {
    const auto rest = arguments.size() - at;
    std::size_t taken = 0;
    if (rest >= 2 && arguments[at] == "-incoming" && arguments[at + 1] == "defer") taken = 2;
    for (const auto& entry : allowed) {
      const auto words = words_of(entry);
      if (!words.empty() && words.size() <= rest &&
          std::equal(words.begin(), words.end(), arguments.begin() + static_cast<std::ptrdiff_t>(at)))
        taken = std::max(taken, words.size());
    }
    if (taken == 0) return std::string(arguments[at]);
    at += taken;
  }
  return std::nullopt;
}

/// The prefixes, with their colon, that the root binds to QEMU's namespace.
std::vector<std::string> qemu_prefixes(const pugi::xml_node& domain) {
  std::vector<std::string> prefixes;
  for (const auto& each : domain.attributes()) {
    const std::string_view name = each.name();
    if (name.starts_with("xmlns:") && each.value() == kQemuNamespace)
      prefixes.push_back(std::string(name.substr(6)) + ":");
  }
  return prefixes;
}

/// The name without QEMU's prefix; empty when it is of another namespace.
std::string_view extension(std::string_view name, const std::vector<std::string>& prefixes) {
  for (const auto& prefix : prefixes)
    if (name.starts_with(prefix)) return name.substr(prefix.size());
  return {};
}

std::string refused_commandline(const pugi::xml_node& commandline, const std::vector<std::string>& prefixes,
                                const ForeignRules& rules) {
  std::vector<std::string_view> arguments;
  for (const auto& child : commandline.children()) {
    if (child.type() == pugi::node_comment) continue;
    if (child.type() != pugi::node_element) return "its qemu:commandline has text beside its arguments; remove it";
    const auto name = extension(child.name(), prefixes);
    if (name == "env")
      return fmt::format(
          "its qemu:commandline sets the environment variable {}, which other hosts do not take; remove it",
          attribute(child, "name"));
    if (name == "arg") arguments.push_back(attribute(child, "value"));
  }
  const auto refused = foreign_argument(arguments, rules.qemu_arguments);
  if (!refused) return {};
  return fmt::format(
      "its qemu:commandline has {}, which other hosts do not take; remove it, or add it with its value to [shadow] "
      "allowed_qemu_arguments on every host",
      *refused);
}

Result<void> check_element(const pugi::xml_node& node) {
  const std::string_view name = node.name(), parent = node.parent().name();
  if (parent == "interface" && among(name, {"script", "downscript"}))
    return deny("remove it", "its interface runs {} on the host", attribute(node, "path"));
  if (parent == "domain" && among(name, {"bootloader", "bootloader_args", "idmap"}))
    return deny("remove it", "it has <{}>, which no shadow needs", name);
  if (name == "seclabel") {
    const bool generated = std::string_view(node.attribute("type").as_string("dynamic")) == "dynamic";
    if (parent == "domain" ? !generated : static_cast<bool>(node.child("label")))
      return deny("let libvirt label it (seclabel type='dynamic', which is the default)",
                  "it chooses its security label ({}, {})", attribute(node, "model"), attribute(node, "type"));
  }
  if (name == "disk" && (attribute(node, "rawio") == "yes" || attribute(node, "sgio") == "unfiltered"))
    return deny("remove rawio and sgio", "one of its disks wants raw access to the host's device");
  return {};
}

/// Namespaces are the root's to declare, so that a name means here what it means to libvirt.
Result<void> check_namespaces(const pugi::xml_node& node) {
  const bool root = std::string_view(node.name()) == "domain" && node.parent().type() == pugi::node_document;
  for (const auto& each : node.attributes()) {
    const std::string_view name = each.name();
    if (name == "xmlns" || (name.starts_with("xmlns:") && !root))
      return deny("declare it at <domain>", "<{}> declares the namespace {}", node.name(), each.value());
  }
  return {};
}

/// What has a prefix is of QEMU's namespace, or of none that a domain needs. A prefix that nobody has declared would be
/// QEMU's as soon as the shadow's own <qemu:commandline> declares it.
Result<void> check_prefix(const pugi::xml_node& node, const std::vector<std::string>& prefixes) {
  const std::string_view name = node.name();
  if (name.find(':') == name.npos || !extension(name, prefixes).empty()) return {};
  return deny("remove it, or declare xmlns:qemu at <domain>", "<{}> is of no namespace that a domain needs", name);
}

/// libvirt joins the pieces of an element's text; we read the first.
Result<void> check_text(const pugi::xml_node& node) {
  std::size_t texts = 0, elements = 0;
  for (const auto& child : node.children())
    ++(child.type() == pugi::node_pcdata || child.type() == pugi::node_cdata ? texts : elements);
  if (texts == 0 || (texts == 1 && elements == 0)) return {};
  return fail({Errc::kInvalid, fmt::format("the text of <{}> is in pieces", node.name()), "correct the XML"});
}

/// Each element below `root`, and itself, but none below one that `skips` names. Without recursion.
template <class Skips, class Visit>
Result<void> walk(const pugi::xml_node& root, Skips skips, Visit visit) {
  pugi::xml_node node = root;
  while (node) {
    const bool skipped = skips(node);
    if (node.type() == pugi::node_element && !skipped) UMBRA_CHECK(visit(node));
    if (!skipped && node.first_child()) {
      node = node.first_child();
      continue;
    }
    while (node != root && !node.next_sibling()) node = node.parent();
    if (node == root) break;
    node = node.next_sibling();
  }
  return {};
}

Result<void> check_nodes(const pugi::xml_node& domain, const ForeignRules& rules) {
  // What people and tools keep in the metadata means nothing to libvirt.
  const auto metadata = [&](const pugi::xml_node& node) {
    return std::string_view(node.name()) == "metadata" && node.parent() == domain;
  };
  const auto prefixes = qemu_prefixes(domain);
  return walk(domain, metadata, [&](const pugi::xml_node& node) -> Result<void> {
    UMBRA_CHECK(check_namespaces(node));
    UMBRA_CHECK(check_prefix(node, prefixes));
    UMBRA_CHECK(check_text(node));
    UMBRA_CHECK(check_element(node));
    return check_paths(node, rules);
  });
}

/// A domain inside a snapshot or checkpoint; old ones hold its uuid alone.
Result<void> check_domain_in(const pugi::xml_node& node, const ForeignClaim& claim, const ForeignRules& rules) {
  const auto uuid = node.child("uuid");
  if (uuid && !uuid.next_sibling() && !uuid.previous_sibling()) {
    if (claim.uuid == uuid.text().get()) return {};
    return deny("", "it is of the domain {}, not of {}", uuid.text().get(), claim.uuid);
  }
  pugi::xml_document document;
  document.append_copy(node).set_name("domain");
  std::ostringstream text;
  document.save(text, "", pugi::format_raw | pugi::format_no_declaration, pugi::encoding_utf8);
  auto kept = claim;
  kept.live = false;
  return check_foreign(text.str(), kept, rules);
}

Result<void> check_interfaces(const pugi::xml_node& domain, const std::string& tap) {
  for (const auto& interface : domain.child("devices").children("interface")) {
    const auto device = attribute(interface.child("target"), "dev");
    if (attribute(interface, "type") == "ethernet" && !device.empty() && device != tap)
      return deny("give it one interface of this kind", "it takes the tap {}, and {} was announced", device,
                  tap.empty() ? "none" : tap);
  }
  return {};
}

}  // namespace

std::string refused_extension(const pugi::xml_node& domain, const ForeignRules& rules) {
  const auto prefixes = qemu_prefixes(domain);
  for (const auto& child : domain.children()) {
    const auto name = extension(child.name(), prefixes);
    if (name.empty() || name == "deprecation") continue;  // which only says how libvirt speaks of old features
    if (name != "commandline") return fmt::format("it has <qemu:{}>, which other hosts do not take; remove it", name);
    if (auto reason = refused_commandline(child, prefixes, rules); !reason.empty()) return reason;
  }
  return {};
}

Result<void> check_foreign(std::string_view xml, const ForeignClaim& claim, const ForeignRules& rules) {
  UMBRA_TRY(const auto parsed, parse_domain(xml, rules));
  if (parsed.uuid != claim.uuid || parsed.name != claim.name)
    return fail({Errc::kDenied,
                 fmt::format("it is the domain {} ({}), not {} ({})", parsed.name, parsed.uuid, claim.name, claim.uuid),
                 ""});
  if (claim.live && parsed.tap != claim.tap)
    return deny("", "its tap is '{}', and '{}' was announced", parsed.tap, claim.tap);
  if (claim.live && parsed.memory != claim.memory)
    return deny("", "it has {} of memory, and {} was announced", to_string(parsed.memory), to_string(claim.memory));
  if (!parsed.refusal.empty()) return deny("", "it cannot have a shadow: {}", parsed.refusal);
  UMBRA_TRY(const auto document, load_domain(xml));
  const auto domain = document.child("domain");
  if (!among(attribute(domain, "type"), {"kvm", "qemu"}))
    return deny("", "it is a domain of the type '{}'", attribute(domain, "type"));
  if (const auto type = domain.child("os").child("type"); type && std::string_view(type.text().get()) != "hvm")
    return deny("", "its <os> is of the type '{}'", type.text().get());
  UMBRA_CHECK(check_interfaces(domain, claim.tap));
  return check_nodes(domain, rules);
}

Result<void> check_foreign_snapshot(std::string_view xml, const ForeignClaim& claim, const ForeignRules& rules) {
  UMBRA_TRY(const auto document, load_snapshot(xml));
  const auto root = document.document_element();
  if (!among(root.name(), {"domainsnapshot", "domaincheckpoint"}))
    return fail({Errc::kInvalid, fmt::format("<{}> is no snapshot", root.name()), "correct the XML"});
  const auto domains = [&](const pugi::xml_node& node) {
    return node.parent() == root && among(node.name(), {"domain", "inactiveDomain"});
  };
  for (const auto& child : root.children())
    if (domains(child)) UMBRA_CHECK(check_domain_in(child, claim, rules));
  return walk(root, domains, [&](const pugi::xml_node& node) -> Result<void> {
    UMBRA_CHECK(check_text(node));
    return check_paths(node, rules);
  });
}

}  // namespace umbra::virt
