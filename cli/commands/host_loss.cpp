// fence, unfence, restart, resolve: what an operator does when a host is lost.
#include <CLI/App.hpp>

#include "cli/conversation.hpp"
#include "cli/output/json.hpp"
#include "cli/output/table.hpp"
#include "cli/output/words.hpp"

namespace umbra::cli {
namespace {

using namespace std::chrono_literals;

/// A fence agent, or the start of a QEMU, takes its time: it is not given up before it has had it.
constexpr Deadline kPatience = 15min;

template <class Request, class Reply>
Outcome ask_patiently(const Context& context, Question<Request, Reply> question, Request request, Show<Reply> show) {
  return talk(context, [&](v1::FleetClient fleet) {
    return ask_and_show<Request, Reply>(fleet, question, request, std::max(context.settings.timeout, kPatience), show);
  });
}

/// Text from a host, of which nothing else is known.
std::string or_dash(const std::string& text) {
  return text.empty() ? "-" : printable(text);
}

std::string fences_text(const v1::ListFencesReply& reply, bool colour) {
  std::string text;
  if (reply.fences().empty()) {
    text = "no host is fenced\n";
  } else {
    Table table({"HOST",
                 "SINCE",
                 "BY",
                 "PROOF",
                 {"ITS VMS", Table::Align::kRight},
                 {"TAKEN OVER", Table::Align::kRight},
                 "REASON"});
    for (const auto& fence : reply.fences())
      table.add({fence.host(), local_time(fence.at_unix_ms()), fence.actor(),
                 fence.confirmed() ? Cell("confirmed by a person") : Cell(printable(fence.proof())),
                 std::to_string(fence.vms()), std::to_string(fence.taken_over()), fence.reason()});
    text = table.render(colour);
  }
  if (!reply.agents().empty()) text += fmt::format("fence agents: {}\n", fmt::join(reply.agents(), ", "));
  return text;
}

Outcome list_fences(const Context& context) {
  const auto show = [json = context.json(), colour = context.colour](const v1::ListFencesReply& reply) {
    print(json ? serialize(to_json(reply)) + "\n" : fences_text(reply, colour));
    return ExitCode::kOk;
  };
  return ask<v1::ListFencesRequest, v1::ListFencesReply>(context, &v1::FleetClient::list_fences, {}, show);
}

Outcome fence(const Context& context, const v1::FenceHostRequest& request) {
  const auto show = [json = context.json()](const v1::Fence& fence) {
    print(json ? serialize(to_json(fence)) + "\n"
               : fmt::format("{0} is fenced: {1}\nVMs with on-host-loss restart start elsewhere by themselves; for the "
                             "others: umbractl restart VM\n",
                             fence.host(),
                             fence.confirmed() ? "confirmed by " + fence.actor() : printable(fence.proof())));
    return ExitCode::kOk;
  };
  return ask_patiently<v1::FenceHostRequest, v1::Fence>(context, &v1::FleetClient::fence_host, request, show);
}

void add_fence(CLI::App& app, Action& action) {
  struct Words {
    v1::FenceHostRequest request;
    bool list = false;
  };
  auto words = std::make_shared<Words>();
  auto& verb =
      add_verb(app, "fence", "Cut a host off, so that its VMs may start elsewhere: by its fence agent, or by your word",
               "umbractl fence host1 --confirmed --reason 'PSU failed, plug pulled'");
  auto* host = add_argument(verb, "HOST", "The host that is, or shall be, off",
                            [words](const std::string& name) { words->request.set_host(name); });
  host->required(false);
  auto* confirmed = verb.add_flag_callback(
      "--confirmed", [words] { words->request.set_confirmed(true); },
      "You have made sure that it is off, and answer for it; without, its fence agent is run and must prove it");
  auto* list =
      verb.add_flag("--list", words->list, "Show what is fenced, by whom and why, and which hosts have an agent");
  list->excludes(host)->excludes(confirmed);
  add_text(verb, "--reason", "TEXT", "Why", [words](const std::string& why) { words->request.set_reason(why); });
  verb.callback([&action, words] {
    if (!words->list && words->request.host().empty()) throw CLI::RequiredError("HOST, or --list,");
    action = [words](const Context& context) {
      return words->list ? list_fences(context) : fence(context, words->request);
    };
  });
}

void add_unfence(CLI::App& app, Action& action) {
  auto request = std::make_shared<v1::UnfenceHostRequest>();
  auto& verb =
      add_verb(app, "unfence",
               "Take a fence back; a host that is back and has cleared away what was taken over needs none of this",
               "umbractl unfence host1 --reason 'it never was off'");
  add_argument(verb, "HOST", "The fenced host", [request](const std::string& name) { request->set_host(name); });
  add_text(verb, "--reason", "TEXT", "Why", [request](const std::string& why) { request->set_reason(why); });
  verb.callback([&action, request] {
    action = [request](const Context& context) {
      const auto show = [json = context.json(), host = request->host()](const v1::UnfenceHostReply& reply) {
        print(json ? serialize(to_json(reply)) + "\n" : fmt::format("{} is not fenced any more\n", host));
        return ExitCode::kOk;
      };
      return ask<v1::UnfenceHostRequest, v1::UnfenceHostReply>(context, &v1::FleetClient::unfence_host, *request, show);
    };
  });
}

void add_restart(CLI::App& app, Action& action) {
  auto request = std::make_shared<v1::RestartVmRequest>();
  auto& verb = add_verb(app, "restart", "Start a VM of a fenced host on another one, from its definition and its disks",
                        "umbractl restart web1 --on host2");
  add_argument(verb, "VM", "Its name or uuid", [request](const std::string& vm) { request->set_vm(vm); });
  add_text(verb, "--on", "HOST", "Where; the controller chooses without",
           [request](const std::string& host) { request->set_on(host); });
  add_text(verb, "--reason", "TEXT", "Why", [request](const std::string& why) { request->set_reason(why); });
  verb.callback([&action, request] {
    action = [request](const Context& context) {
      const auto show = [json = context.json()](const v1::RestartVmReply& reply) {
        print(json ? serialize(to_json(reply)) + "\n"
                   : fmt::format("{} runs on {} in epoch {}, started anew; {}\n", reply.vm(), reply.to(), reply.epoch(),
                                 reply.from().empty() ? "no host had it" : "it was " + reply.from() + "'s"));
        return ExitCode::kOk;
      };
      return ask_patiently<v1::RestartVmRequest, v1::RestartVmReply>(context, &v1::FleetClient::restart_vm, *request,
                                                                     show);
    };
  });
}

/// A copy that waits to run, or runs.
std::string may_run(const v1::VmAccount& account) {
  if (account.can_run()) return "yes";
  return account.domain() == "running" ? "runs" : "no";
}

std::string sides_text(const v1::ResolveVmReply& reply, bool colour) {
  Table table({"HOST", "ASKED", "DOMAIN", "QEMU", "AS ITS SOURCE", "AS ITS STANDBY", "CAN RUN", "DETAIL"});
  const auto phase = [](const std::string& name, std::uint64_t epoch) {
    return name.empty() ? std::string("-") : fmt::format("{}, epoch {}", printable(name), epoch);
  };
  for (const auto& side : reply.sides()) {
    const auto& account = side.account();
    const Cell asked = side.reachable() ? Cell("answers", Style::kGood)
                       : side.fenced()  ? Cell("fenced", Style::kWarn)
                                        : Cell("no answer", Style::kBad);
    if (!side.reachable()) {
      table.add({side.host(), asked, "-", "-", "-", "-", "-", "-"});
      continue;
    }
    table.add({side.host(), asked, account.domain().empty() ? "none" : printable(account.domain()),
               or_dash(account.qemu()), phase(account.source_phase(), account.source_epoch()),
               phase(account.standby_phase(), account.standby_epoch()), may_run(account), or_dash(account.detail())});
  }
  return table.render(colour);
}

void add_resolve(CLI::App& app, Action& action) {
  auto request = std::make_shared<v1::ResolveVmRequest>();
  auto& verb = add_verb(
      app, "resolve", "Decide which copy of a VM runs when its hosts cannot: without --keep, show what each side knows",
      "umbractl resolve web1 --keep host2 --reason 'host1 is behind the cut cable'");
  add_argument(verb, "VM", "Its name or uuid", [request](const std::string& vm) { request->set_vm(vm); });
  add_text(verb, "--keep", "HOST", "The side that runs it from now on; every other copy is destroyed",
           [request](const std::string& host) { request->set_keep(host); });
  add_text(verb, "--reason", "TEXT", "Why", [request](const std::string& why) { request->set_reason(why); });
  verb.callback([&action, request] {
    action = [request](const Context& context) {
      const auto show = [json = context.json(), colour = context.colour,
                         keep = request->keep()](const v1::ResolveVmReply& reply) {
        auto text = json ? serialize(to_json(reply)) + "\n" : sides_text(reply, colour);
        if (!json && reply.epoch() != 0) text += fmt::format("{} runs it, in epoch {}\n", keep, reply.epoch());
        print(text);
        return ExitCode::kOk;
      };
      return ask_patiently<v1::ResolveVmRequest, v1::ResolveVmReply>(context, &v1::FleetClient::resolve_vm, *request,
                                                                     show);
    };
  });
}

}  // namespace

void add_host_loss_verbs(CLI::App& app, Action& action) {
  add_fence(app, action);
  add_unfence(app, action);
  add_restart(app, action);
  add_resolve(app, action);
}

}  // namespace umbra::cli
