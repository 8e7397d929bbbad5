#include "netswitch/address_rules.hpp"

#include <charconv>

namespace umbra::netswitch {

Result<IpPrefix> IpPrefix::parse(std::string_view text) {
  const auto refuse = [&](std::string_view why) {
    return fail(Error{Errc::kInvalid, fmt::format("'{}' is no network: {}", text, why),
                      "write it like 10.50.0.0/16 or fd50::/64"});
  };
  const auto slash = text.find('/');
  if (slash == std::string_view::npos) return refuse("it has no length");
  const auto base = IpAddress::parse(text.substr(0, slash));
  if (!base) return refuse("it has no address");
  const auto length = text.substr(slash + 1);
  unsigned bits = 0;
  const auto [end, error] = std::from_chars(length.data(), length.data() + length.size(), bits);
  if (error != std::errc{} || end != length.data() + length.size() || bits > base->bits())
    return refuse(fmt::format("its length is not from 0 to {}", base->bits()));
  const IpPrefix prefix{*base, static_cast<std::uint8_t>(bits)};
  if (prefix.network() != *base) return refuse(fmt::format("that would be {}/{}", prefix.network(), bits));
  return prefix;
}

IpAddress IpPrefix::network() const {
  std::array<std::uint8_t, 16> bytes{};
  for (std::size_t i = 0; i < base.bytes().size(); ++i) {
    const auto kept = std::clamp<int>(bits - static_cast<int>(i) * 8, 0, 8);
    bytes[i] = static_cast<std::uint8_t>(base.bytes()[i] & (0xff << (8 - kept)));
  }
  return IpAddress::from_bytes(std::span(bytes).first(base.bytes().size())).value_or(base);
}

Result<std::vector<IpPrefix>> AddressRules::parse_allowed(const std::vector<std::string>& texts) {
  if (texts.size() > kMostPrefixes)
    return fail(Error{Errc::kInvalid, fmt::format("{} networks are more than {}", texts.size(), kMostPrefixes),
                      "give wider ones"});
  std::vector<IpPrefix> prefixes;
  for (const auto& text : texts) {
    UMBRA_TRY(auto prefix, IpPrefix::parse(text));
    prefixes.push_back(prefix);
  }
  return prefixes;
}

std::string AddressRules::objection(const IpAddress& address) const {
  if (!address.is_assignable())
    return fmt::format("{} is no address of one station (loopback, multicast or none)", address);
  if (address.is_link_local()) return fmt::format("{} is a link-local address, and cannot be routed", address);
  if (std::ranges::find(taken, address) != taken.end())
    return fmt::format("{} is an address of the fleet's own nodes, or the VMs' gateway", address);
  if (allowed.empty() || std::ranges::any_of(allowed, [&](const IpPrefix& one) { return one.contains(address); }))
    return {};
  std::string text;
  for (std::size_t i = 0; i < allowed.size() && i < 4; ++i) text += (i == 0 ? "" : ", ") + allowed[i].to_string();
  return fmt::format("{} is not in network.allowed_addresses ({}{})", address, text, allowed.size() > 4 ? ", …" : "");
}

}  // namespace umbra::netswitch
