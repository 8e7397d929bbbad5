/// A domain's definition: what libvirt keeps of it, and what of it a shadow on another host would not have. Pure
/// functions.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"

namespace umbra::virt {

/// All that libvirt keeps of one domain, as it was at one moment.
struct Definition {
  std::string live_xml;      ///< fit for another host (VIR_DOMAIN_XML_MIGRATABLE | SECURE); empty when it does not run
  std::string inactive_xml;  ///< empty when it is transient
  bool autostart = false;
  std::vector<std::string> snapshots;    ///< XML of each, parents first (virDomainSnapshotGetXMLDesc)
  std::string current_snapshot;          ///< its name; empty without one
  std::vector<std::string> checkpoints;  ///< XML of each, parents first (virDomainCheckpointGetXMLDesc)
  bool operator==(const Definition&) const = default;
};

/// Where `now` needs another QEMU than the one that was started from `made_of`: the first such place, in words like
/// "disk vda: source file is /b, was /a". Nothing when the two differ only in what libvirt keeps beside a running QEMU
/// (title, description, metadata), or in what QEMU itself carries along (the balloon's size, a CD tray).
/// @param made_of, now live XML of the same domain @error kInvalid broken XML
Result<std::optional<std::string>> device_difference(std::string_view made_of, std::string_view now);

/// The same question of definitions that must be the same in all, but for autostart, which a cutover withdraws itself:
/// what changed between two looks, in words; nothing when nothing did. @error kInvalid
Result<std::optional<std::string>> change_between(const Definition& before, const Definition& now);

/// A domain's stored definition once its disks have followed those of the domain that runs: what libvirt does itself
/// where a snapshot or a block job gives a persistent domain another image, but not for one that is made persistent
/// after that. A disk whose stored image is not the one that `was` had was meant to differ, and stays.
/// @param was live XML of the domain that `inactive_xml` was taken with
/// @param now live XML of the domain as it runs @error kInvalid broken XML
Result<std::string> follow_disks(std::string_view inactive_xml, std::string_view was, std::string_view now);

/// A snapshot without `-incoming defer` in the domains that it holds, which it has from a VM that came as a shadow:
/// QEMU would be started to wait instead of to load the snapshot. Nothing when it has none. @error kInvalid broken XML
Result<std::optional<std::string>> clean_snapshot(std::string_view xml);

/// An element of a domain's <metadata>, as virDomainSetMetadata takes it.
struct MetadataElement {
  std::string uri;  ///< of its namespace
  std::string key;  ///< the prefix
  std::string xml;  ///< without prefix and namespace
  bool operator==(const MetadataElement&) const = default;
};

/// What `virsh desc`, `virsh desc --title` and `virsh metadata` change of a running domain.
struct Annotations {
  std::string title;
  std::string description;  ///< without our lines
  std::vector<MetadataElement> metadata;
  bool operator==(const Annotations&) const = default;
};

/// @error kInvalid broken XML
Result<Annotations> annotations_of(std::string_view xml);

/// Why what libvirt keeps of a domain beside its XML cannot follow it to another host; empty when it can.
std::string belongings_refusal(const Definition& definition);

}  // namespace umbra::virt
