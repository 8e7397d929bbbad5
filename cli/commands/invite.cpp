// invite: a one-time token with which a machine joins the fleet.
#include <unistd.h>

#include <CLI/App.hpp>

#include "base/config.hpp"
#include "base/printable.hpp"
#include "cli/conversation.hpp"
#include "cli/output/json.hpp"
#include "cli/output/words.hpp"
#include "rpc/dialer.hpp"

namespace umbra::cli {
namespace {

/// The controller as other machines know it: as this one was told, unless that is this machine itself.
std::string controller_host(const std::string& endpoint) {
  const auto parts = rpc::parse_address(endpoint);
  if (parts && parts->host != "localhost" && parts->host != "::1" && !parts->host.starts_with("127."))
    return parts->host.find(':') == std::string::npos ? parts->host : "[" + parts->host + "]";
  char name[256] = {};
  return ::gethostname(name, sizeof name - 1) == 0 && name[0] != '\0' ? name : "CONTROLLER";
}

std::string text_of(const v1::InviteRequest& asked, const v1::InviteReply& reply, const std::string& host) {
  return fmt::format(
      "{0} may join the fleet until {1}, once. On {0}, as root:\n"
      "    umbra-agentd enroll --controller {2}:{3} --token {4}\n",
      printable(asked.name()), local_time(reply.until_unix_ms()), printable(host), reply.port(),
      printable(reply.token()));
}

}  // namespace

void add_invite_verb(CLI::App& app, Action& action) {
  struct Words {
    std::string role = "host", valid = "1h";
    v1::InviteRequest request;
  };
  auto words = std::make_shared<Words>();
  auto& verb = add_verb(app, "invite",
                        "Make a one-time token with which a machine gets its certificate and joins the fleet. An "
                        "earlier token for the same name ends",
                        "umbractl invite host7 --zone rack2");
  add_argument(verb, "NAME", "The new node's name", [words](const auto& name) { words->request.set_name(name); });
  verb.add_option("--role", words->role, "host, or edge for a router without VMs (host)")->type_name("host|edge");
  words->request.set_zone("default");
  add_text(verb, "--zone", "ZONE", "Its failure domain (default)",
           [words](const auto& zone) { words->request.set_zone(zone); });
  verb.add_option("--valid", words->valid, "How long the token may be used, 1min to 7d (1h)")->type_name("DURATION");
  verb.callback([&action, words] {
    action = [words](const Context& context) -> Outcome {
      if (words->role != "host" && words->role != "edge")
        return misused({Errc::kInvalid, fmt::format("--role: '{}' is no role of a node", words->role),
                        "host or edge; people get theirs by umbractl pki issue"});
      words->request.set_role(words->role == "edge" ? v1::ROLE_EDGE : v1::ROLE_AGENT);
      auto valid = parse_duration(words->valid);
      if (!valid) return misused(with_context(std::move(valid).error(), "--valid"));
      words->request.set_valid_ms(valid->count());
      const auto show = [&](const v1::InviteReply& reply) {
        const auto host = controller_host(context.settings.controller);
        print(context.json()
                  ? serialize(boost::json::object{{"name", words->request.name()},
                                                  {"token", reply.token()},
                                                  {"until_unix_ms", reply.until_unix_ms()},
                                                  {"controller", fmt::format("{}:{}", host, reply.port())}}) +
                        "\n"
                  : text_of(words->request, reply, host));
        return ExitCode::kOk;
      };
      return ask<v1::InviteRequest, v1::InviteReply>(context, &v1::FleetClient::invite, words->request, show);
    };
  });
}

}  // namespace umbra::cli
