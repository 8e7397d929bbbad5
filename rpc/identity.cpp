#include "rpc/identity.hpp"

#include <algorithm>
#include <array>
#include <cctype>

#include "base/printable.hpp"

namespace umbra::rpc {
namespace {

constexpr std::string_view kScheme = "umbra://";
constexpr std::array kRoles{v1::ROLE_CONTROLLER, v1::ROLE_AGENT, v1::ROLE_EDGE, v1::ROLE_ADMIN, v1::ROLE_VIEWER};

bool equal_ignoring_case(std::string_view a, std::string_view b) {
  const auto lower = [](char c) { return std::tolower(static_cast<unsigned char>(c)); };
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [&](char x, char y) { return lower(x) == lower(y); });
}

/// ASCII alone, whatever the locale.
bool is_name_character(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
}

std::string shown(std::string_view text) {
  return printable(text, 128);
}

}  // namespace

bool Identity::answers_to(std::string_view asked) const {
  return equal_ignoring_case(name, asked) || std::any_of(alt_names.begin(), alt_names.end(), [&](const auto& alt) {
           return equal_ignoring_case(alt, asked);
         });
}

std::string_view role_name(v1::Role role) {
  switch (role) {
    case v1::ROLE_CONTROLLER:
      return "controller";
    case v1::ROLE_AGENT:
      return "agent";
    case v1::ROLE_EDGE:
      return "edge";
    case v1::ROLE_ADMIN:
      return "admin";
    case v1::ROLE_VIEWER:
      return "viewer";
    default:
      return "unspecified";
  }
}

Result<v1::Role> parse_role(std::string_view text) {
  const auto role = std::find_if(kRoles.begin(), kRoles.end(), [&](v1::Role r) { return role_name(r) == text; });
  if (role != kRoles.end()) return *role;
  return fail({Errc::kInvalid, fmt::format("no role \"{}\"", shown(text)),
               "the roles are controller, agent, edge, admin, viewer"});
}

Result<void> check_name(std::string_view name) {
  const bool good = !name.empty() && name.size() <= 63 && name[0] != '.' && name[0] != '-' &&
                    std::all_of(name.begin(), name.end(), is_name_character);
  if (good) return {};
  return fail({Errc::kInvalid, fmt::format("\"{}\" is not a node name", shown(name)),
               "use 1 to 63 letters, digits, '.', '_' and '-', starting with a letter or digit"});
}

Result<void> check_alt_name(std::string_view name) {
  const bool good = !name.empty() && name.size() <= 253 &&
                    std::all_of(name.begin(), name.end(), [](char c) { return is_name_character(c) || c == '*'; });
  if (good) return {};
  return fail({Errc::kInvalid, fmt::format("\"{}\" is no DNS name", shown(name)),
               "use letters, digits, '.', '_' and '-', 253 at most"});
}

std::string identity_uri(v1::Role role, std::string_view name) {
  return fmt::format("{}{}/{}", kScheme, role_name(role), name);
}

Result<Identity> parse_identity_uri(std::string_view uri) {
  const auto rest = uri.substr(0, kScheme.size()) == kScheme ? uri.substr(kScheme.size()) : std::string_view{};
  const auto slash = rest.find('/');
  if (slash == std::string_view::npos)
    return fail(Errc::kInvalid, "\"{}\" is not of the form umbra://<role>/<name>", shown(uri));
  UMBRA_TRY(const auto role, parse_role(rest.substr(0, slash)));
  const auto name = rest.substr(slash + 1);
  UMBRA_CHECK(check_name(name));
  return Identity{std::string(name), role};
}

}  // namespace umbra::rpc
