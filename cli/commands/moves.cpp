// cutover, migrate: move one VM and show how it went.
#include "cli/output/moves.hpp"
#include <CLI/App.hpp>

#include "cli/conversation.hpp"
#include "cli/output/json.hpp"

namespace umbra::cli {
namespace {

using MoveStream = rpc::Stream<v1::MoveProgress>;

/// Follows a move to its end. The move is the controller's: it goes on even if this side goes away.
Task<ExitCode> follow(Task<MoveStream> start, std::string vm, Context context) {
  auto started = co_await std::move(start);
  UMBRA_CO_TRY(auto stream, std::move(started));
  Progress progress(context.progress, stderr);
  while (true) {
    UMBRA_CO_TRY(const auto move, co_await stream.next());
    if (!move)
      co_return fail({Errc::kInternal, fmt::format("the controller did not say how the move of {} ended", vm),
                      fmt::format("look at `umbractl events --vm {}` and `umbractl vms {}`", vm, vm)});
    if (!move->has_result()) {
      progress.show(progress_of(*move));
      continue;
    }
    progress.clear();
    print(context.json() ? serialize(move_json(move->result())) + "\n" : move_text(move->result(), context.colour));
    co_return move->result().outcome() == v1::OUTCOME_MOVED ? ExitCode::kOk : ExitCode::kFailed;
  }
}

template <class Request>
void run_when_given(CLI::App& verb, Action& action, std::shared_ptr<Request> request,
                    Task<MoveStream> (v1::FleetClient::*method)(Request, Deadline)) {
  add_argument(verb, "VM", "Name or uuid", [request](const std::string& vm) { request->set_vm(vm); });
  add_text(verb, "--reason", "TEXT", "Why, for the audit trail",
           [request](const std::string& why) { request->set_reason(why); });
  verb.callback([&action, request, method] {
    action = [request, method](const Context& context) {
      return talk(context, [=](v1::FleetClient fleet) {
        return follow((fleet.*method)(*request, rpc::kNoDeadline), request->vm(), context);
      });
    };
  });
}

}  // namespace

void add_move_verbs(CLI::App& app, Action& action) {
  auto& cutover = add_verb(app, "cutover", "Move a VM to its shadow, now",
                           "umbractl cutover web1 --reason 'rack 3 is getting hot'");
  run_when_given(cutover, action, std::make_shared<v1::StartCutoverRequest>(), &v1::FleetClient::cutover);

  auto request = std::make_shared<v1::MigrateRequest>();
  auto& migrate = add_verb(app, "migrate", "Move a VM to a host, warming a shadow there first",
                           "umbractl migrate web1 --to host2 -o json");
  add_text(migrate, "--to", "HOST", "The host to move to", [request](const std::string& host) {
    request->set_to(host);
  })->required();
  run_when_given(migrate, action, request, &v1::FleetClient::migrate);
}

}  // namespace umbra::cli
