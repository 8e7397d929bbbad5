// evacuate: move every VM away from a host or zone.
#include <CLI/App.hpp>
#include "base/units.hpp"
#include "cli/conversation.hpp"
#include "cli/output/json.hpp"
#include "cli/output/moves.hpp"
#include "cli/output/table.hpp"

namespace umbra::cli {
namespace {

std::string plan_text(const v1::EvacuateProgress& first, const v1::EvacuateRequest& request, const Context& context) {
  if (first.plan().empty()) return fmt::format("no VM runs on {}\n", printable(request.host_or_zone()));
  Table table({"VM", "FROM", "TO", {"MEMORY", Table::Align::kRight}, "SHADOW", {"WHY", Table::Align::kLeft, 1}});
  for (const auto& move : first.plan())
    table.add({move.vm(), move.from(), move.to().empty() ? Cell("nowhere", Style::kBad) : Cell(move.to()),
               to_string(Bytes{move.memory_bytes()}), move.shadow() == v1::TIER_UNSPECIFIED ? "" : word(move.shadow()),
               move.reason()});
  return table.render(context.colour, context.room);
}

/// What the whole evacuation came to, gathered from the stream.
struct Report {
  v1::EvacuateProgress plan;
  std::vector<v1::CutoverResult> moves;
  std::uint32_t moved = 0;
  std::uint32_t failed = 0;

  /// True when the host or zone is empty afterwards, or for a plan, would be.
  bool complete() const {
    const auto& planned = plan.plan();
    return failed == 0 &&
           std::none_of(planned.begin(), planned.end(), [](const auto& move) { return move.to().empty(); });
  }
  boost::json::value json(const v1::EvacuateRequest& request) const {
    boost::json::array results;
    for (const auto& move : moves) results.push_back(move_json(move));
    return boost::json::object{{"host_or_zone", request.host_or_zone()},
                               {"dry_run", request.dry_run()},
                               {"plan", to_json(plan).at("plan")},
                               {"moves", std::move(results)},
                               {"moved", moved},
                               {"failed", failed},
                               {"complete", complete()}};
  }
};

Task<ExitCode> evacuate(v1::FleetClient fleet, v1::EvacuateRequest request, Context context) {
  UMBRA_CO_TRY(auto stream, co_await fleet.evacuate(request, rpc::kNoDeadline));
  UMBRA_CO_TRY(auto first, co_await stream.next());
  if (!first)
    co_return fail({Errc::kInternal, fmt::format("the controller gave no plan for {}", request.host_or_zone()),
                    "look at `umbractl events`"});
  Report report;
  report.plan = std::move(*first);
  if (!context.json()) print(plan_text(report.plan, request, context));

  Progress progress(context.progress, stderr);
  while (true) {
    UMBRA_CO_TRY(const auto news, co_await stream.next());
    if (!news) break;
    report.moved = news->moved();
    report.failed = news->failed();
    if (!news->has_move()) continue;
    if (!news->move().has_result()) {
      progress.show(progress_of(news->move()));
      continue;
    }
    progress.clear();
    report.moves.push_back(news->move().result());
    if (!context.json()) print("\n" + move_text(news->move().result(), context.colour));
  }
  progress.clear();
  if (context.json()) {
    print(serialize(report.json(request)) + "\n");
  } else if (!request.dry_run() && !report.plan.plan().empty()) {
    const auto placeless = std::count_if(report.plan.plan().begin(), report.plan.plan().end(),
                                         [](const auto& move) { return move.to().empty(); });
    print(fmt::format("\n{} moved, {} failed, {} had nowhere to go\n", report.moved, report.failed, placeless));
  }
  co_return report.complete() ? ExitCode::kOk : ExitCode::kFailed;
}

}  // namespace

void add_evacuate_verb(CLI::App& app, Action& action) {
  auto request = std::make_shared<v1::EvacuateRequest>();
  auto& verb = add_verb(app, "evacuate", "Move every VM away from a host or a zone; exit status 1 if one stays",
                        "umbractl evacuate host1 --dry-run");
  add_argument(verb, "HOST|ZONE", "What to empty",
               [request](const std::string& name) { request->set_host_or_zone(name); });
  verb.add_flag_function(
      "--dry-run", [request](std::int64_t) { request->set_dry_run(true); }, "Only show the plan");
  add_text(verb, "--reason", "TEXT", "Why, for the audit trail",
           [request](const std::string& why) { request->set_reason(why); });
  verb.callback([&action, request] {
    action = [request](const Context& context) {
      return talk(context, [=](v1::FleetClient fleet) { return evacuate(fleet, *request, context); });
    };
  });
}

}  // namespace umbra::cli
