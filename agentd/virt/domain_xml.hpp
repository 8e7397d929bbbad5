/// libvirt's domain XML (https://libvirt.org/formatdomain.html): what Umbra reads from it and changes in it. Pure
/// functions.
#pragma once

#include <string>
#include <string_view>

#include "agentd/virt/foreign_domain.hpp"
#include "agentd/virt/hypervisor.hpp"

namespace umbra::virt {

/// Namespace of the metadata that an operator gives a VM:
///   <metadata>
///     <umbra:vm xmlns:umbra='https://umbra.invalid/vm/1'>
///       <umbra:address>10.50.0.1</umbra:address>    one for each address that Umbra routes
///       <umbra:account>acme</umbra:account>         who owns it, for forecasts of all that is theirs
///       <umbra:profile>web</umbra:profile>          what it does, for forecasts of VMs that are new
///       <umbra:on-host-loss>restart</umbra:on-host-loss>   or leave, the default: when its host was fenced
///       <umbra:shared-disks/>                       every writable disk is on storage that all hosts share
///     </umbra:vm>
///   </metadata>
inline constexpr std::string_view kMetadataNamespace = "https://umbra.invalid/vm/1";

/// Why a domain whose QEMU still waits for its memory cannot have a shadow.
inline constexpr std::string_view kIsShadow =
    "it is itself a shadow, waiting for its primary's memory; shadow the primary";
/// No shadow is persistent: people define one so from the XML of a VM that had moved.
inline constexpr std::string_view kWaits =
    "its definition has the arguments -incoming defer, so that its QEMU waits for a migration; remove them (virsh "
    "edit), then virsh destroy and start it";

/// Reads a domain. `state` and `persistent` are not in XML and keep their defaults; `incoming` says only that the XML
/// carries `-incoming defer`. @param rules what other hosts would take of it, for its refusal
/// @error kInvalid broken XML, with line and column, or no domain
Result<Domain> parse_domain(std::string_view xml, const ForeignRules& rules = {});

/// The XML that starts this domain's shadow on another host: with `-incoming defer`, without what belongs to the
/// running instance (its id, generated security labels, lines of ours in the description). libvirt is told to leave the
/// owner of images alone that the primary uses (`<seclabel model='dac' relabel='no'/>`): neither the shadow's start nor
/// its end may touch it. What it stays with after a move; a later start by the persistent definition labels as ever.
/// @error kInvalid
Result<std::string> shadow_xml(std::string_view xml);

/// The XML fit to be made persistent: without our `-incoming` and our lines. @error kInvalid
Result<std::string> clean_xml(std::string_view xml);

/// How our lines in a domain's description begin.
inline constexpr std::string_view kOurLine = "[umbra] ";

/// A domain's description with our lines ("[umbra] …") replaced by `line`, or removed when it is empty.
std::string annotated(std::string_view description, std::string_view line);

}  // namespace umbra::virt
