// audit: who asked for what, and what came of it.
#include <CLI/App.hpp>
#include "base/config.hpp"
#include "cli/conversation.hpp"
#include "cli/output/json.hpp"
#include "cli/output/table.hpp"
#include "cli/output/words.hpp"
#include "cli/times.hpp"

namespace umbra::cli {
namespace {

constexpr std::chrono::hours kUsualSince{24};

Table audit_table(const v1::ListAuditReply& found) {
  Table table(
      {"TIME", "WHO", {"ROLE", Table::Align::kLeft, 1}, {"FROM", Table::Align::kLeft, 2}, "VM", "OUTCOME", "WHAT"});
  for (const auto& event : found.events()) {
    const bool done = event.outcome() == "done" || event.outcome().empty();
    table.add({local_time(event.at_unix_ms()), event.actor(),
               event.actor_role() == v1::ROLE_UNSPECIFIED ? "" : word(event.actor_role()), event.peer(), event.vm(),
               done ? Cell("done", Style::kGood)
                    : Cell(event.outcome(), event.outcome() == "denied" ? Style::kBad : Style::kWarn),
               event.text()});
  }
  return table;
}

Task<ExitCode> show_audit(v1::FleetClient fleet, v1::ListAuditRequest request, Context context) {
  v1::ListAuditReply found;
  bool more = true;
  while (more) {
    UMBRA_CO_TRY(const auto page, co_await fleet.list_audit(request, context.settings.timeout));
    found.mutable_events()->MergeFrom(page.events());
    request.set_page(page.next_page());
    more = !page.next_page().empty();
  }
  if (context.json())
    print(serialize(boost::json::object{{"events", to_json(found).at("events")}}) + "\n");
  else
    print(found.events().empty() ? "nothing was asked for in that time\n"
                                 : audit_table(found).render(context.colour, context.room));
  co_return ExitCode::kOk;
}

}  // namespace

void add_audit_verb(CLI::App& app, Action& action) {
  struct Words {
    std::string since;
    v1::ListAuditRequest request;
  };
  auto words = std::make_shared<Words>();
  auto& verb =
      add_verb(app, "audit", "Show who asked for what, from where, and what came of it: also what was denied or failed",
               "umbractl audit --since 7d --actor alice --vm web1");
  add_text(verb, "--since", "T", "From then on: a duration before now (24h), or a time like 2026-05-01T12:00:00Z",
           [words](const std::string& text) { words->since = text; });
  add_text(verb, "--actor", "NAME", "Only what this person or node asked for, by the certificate's name",
           [words](const std::string& name) { words->request.set_actor(name); });
  add_text(verb, "--vm", "VM", "Only what concerns this VM",
           [words](const std::string& vm) { words->request.set_vm(vm); });
  verb.callback([&action, words] {
    action = [words](const Context& context) -> Outcome {
      words->request.set_since_unix_ms(SystemClock().unix_ms() -
                                       std::chrono::duration_cast<Milliseconds>(kUsualSince).count());
      if (!words->since.empty()) {
        const auto since = parse_since(words->since, SystemClock().unix_ms());
        if (!since) return misused(since.error());
        words->request.set_since_unix_ms(*since);
      }
      return talk(context, [=](v1::FleetClient fleet) { return show_audit(fleet, words->request, context); });
    };
  });
}

}  // namespace umbra::cli
