// why: what the controller thinks of one VM, and what it decided.
#include <CLI/App.hpp>
#include "cli/output/causes.hpp"

#include "base/clock.hpp"
#include "cli/conversation.hpp"
#include "cli/output/json.hpp"

namespace umbra::cli {

void add_why_verb(CLI::App& app, Action& action) {
  auto request = std::make_shared<v1::WhyRequest>();
  auto& verb =
      add_verb(app, "why", "Explain a VM's migration probability cause by cause, and the last decisions about it",
               "umbractl why web1 --last 3");
  add_argument(verb, "VM", "Name or uuid", [request](const std::string& vm) { request->set_vm(vm); });
  verb.add_option_function<std::uint32_t>(
          "--last", [request](std::uint32_t last) { request->set_last(last); }, "How many decisions (10)")
      ->type_name("N")
      ->check(CLI::PositiveNumber);
  verb.callback([&action, request] {
    action = [request](const Context& context) {
      const auto show = [json = context.json(), colour = context.colour](const v1::WhyReply& reply) {
        print(json ? serialize(why_json(reply)) + "\n" : why_text(reply, SystemClock().unix_ms(), colour));
        return ExitCode::kOk;
      };
      return ask<v1::WhyRequest, v1::WhyReply>(context, &v1::FleetClient::why, *request, show);
    };
  });
}

}  // namespace umbra::cli
