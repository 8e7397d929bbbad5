// umbra-agentd: keeps shadows of this host's VMs, and other hosts' shadows here.
#include <spdlog/spdlog.h>

#include <CLI/CLI.hpp>
#include <boost/asio/signal_set.hpp>
#include <csignal>
#include <iostream>

#include "agentd/agent.hpp"
#include "agentd/enroll.hpp"
#include "agentd/guard.hpp"
#include "agentd/shadow/journal.hpp"
#include "base/daemon.hpp"
#include "base/log.hpp"
#include "base/printable.hpp"
#include "systemd/notify.hpp"

namespace {

namespace asio = boost::asio;

asio::awaitable<void> until_told(asio::io_context& io, umbra::agent::Agent& agent, umbra::systemd::Notifier& notifier) {
  asio::signal_set signals(io, SIGTERM, SIGINT);
  co_await signals.async_wait(asio::use_awaitable);
  spdlog::info("stopping; held shadows stay held");
  notifier.stopping();
  co_await agent.stop();
  io.stop();
}

/// Ready once it is known whether this host can hold shadows; a host without libvirt is, too, after a while, and says
/// so.
asio::awaitable<void> keep_systemd_informed(umbra::agent::Agent& agent, umbra::systemd::Notifier& notifier) {
  using namespace std::chrono_literals;
  asio::steady_timer timer(co_await asio::this_coro::executor);
  const auto patience = std::chrono::steady_clock::now() + 10s;
  std::string told;
  for (bool ready = false;;) {
    const auto condition = agent.condition();
    if (condition.text != told) notifier.status(told = condition.text);
    if (!ready && (condition.settled || std::chrono::steady_clock::now() >= patience)) {
      ready = true;
      notifier.ready();
    }
    timer.expires_after(500ms);
    co_await timer.async_wait(asio::use_awaitable);
  }
}

/// Of the package's removal.
asio::awaitable<void> let_go(asio::io_context& io, umbra::agent::Agent& agent, int& status) {
  const auto released = co_await agent.release(std::chrono::minutes(1));
  if (released)
    spdlog::info("no shadow is held here, and none elsewhere of a VM that runs here; guests run on");
  else
    status = umbra::complain(released.error());
  co_await agent.stop();
  io.stop();
}

int run_guard(umbra::agent::AgentConfig config) {
  if (config.role != umbra::agent::NodeRole::kHost) return 0;
  asio::io_context io(1);
  int status = 0;
  const auto ended = [&status](std::exception_ptr bug, umbra::Result<void> guarded) {
    if (bug) std::rethrow_exception(bug);
    if (!guarded) status = umbra::complain(guarded.error());
  };
  asio::co_spawn(io, umbra::agent::guard(io.get_executor(), std::move(config)), ended);
  io.run();
  return status;
}

/// `umbra-agentd enroll`
struct EnrollVerb {
  umbra::agent::EnrollOptions options;
  const CLI::App* verb = nullptr;

  explicit EnrollVerb(CLI::App& app) {
    auto* enroll = app.add_subcommand(
        "enroll",
        "join a fleet with the token that `umbractl invite` printed: makes a key, has the controller certify it, and "
        "writes the configuration unless there is one. Then: systemctl enable --now umbra-agentd");
    enroll->add_option("--controller", options.controller, "the controller, for new nodes")
        ->type_name("HOST:PORT")
        ->required();
    enroll->add_option("--token", options.token, "the token, valid once")->type_name("TOKEN")->required();
    enroll
        ->add_option("--address", options.address,
                     "this machine's own address in the fleet; the one from which the controller is reached, if none "
                     "is given")
        ->type_name("ADDRESS");
    enroll->add_option("--port", options.port, "where other nodes dial it (7701)")
        ->type_name("PORT")
        ->check(CLI::Range(1, 65535));
    enroll->add_option("--state-dir", options.state_dir, "where its credentials and its journal are kept")
        ->type_name("DIR");
    enroll->add_option("--user", options.user, "that the agent runs as (umbra)")->type_name("USER");
    verb = enroll;
  }

  int run(const umbra::ConfigOptions& config) {
    options.config_file = config.file();
    options.load = [&config]() -> umbra::Result<umbra::agent::AgentConfig> {
      UMBRA_TRY(auto read, config.load());
      return umbra::agent::AgentConfig::from(read);
    };
    asio::io_context io(1);
    int status = 0;
    asio::co_spawn(io, umbra::agent::enroll(io.get_executor(), options),
                   [&status](std::exception_ptr bug, const umbra::Result<std::string>& done) {
                     if (bug) std::rethrow_exception(bug);
                     if (!done) status = umbra::complain(done.error());
                     if (done) std::cout << *done << "\n";
                   });
    io.run();
    return status;
  }
};

/// systemctl reload
asio::awaitable<void> reload_when_told(asio::signal_set& signals, umbra::agent::Agent& agent) {
  while (true) {
    co_await signals.async_wait(asio::use_awaitable);
    agent.reload();
  }
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{
      "Umbra's agent: keeps paused, pre-copied shadows of this host's VMs on other hosts, and cuts over to them."};
  umbra::ConfigOptions options(app, "agentd");
  std::string forget;
  bool guard = false;
  app.add_option(
         "--forget-damaged", forget,
         "forget the damaged journal records of this VM (uuid) and end; look at the VM on both hosts first, and "
         "restart the agent after")
      ->type_name("UUID");
  app.add_flag("--guard", guard,
               "at boot, before libvirt: keep it from starting VMs that another host may be running, and end");
  app.set_version_flag("--version", std::string("umbra-agentd ") + UMBRA_VERSION);
  const auto* release = app.add_subcommand(
      "release",
      "let go of all shadows, those held here and those of VMs that run here, and end; guests run on. "
      "Stop the agent first: systemctl stop umbra-agentd");
  EnrollVerb enroll(app);
  CLI11_PARSE(app, argc, argv);

  umbra::init_log("umbra-agentd", "info");
  if (enroll.verb->parsed()) return enroll.run(options);
  auto read = options.load();
  if (!read) return umbra::complain(read.error(), EX_CONFIG);
  auto config = umbra::agent::AgentConfig::from(*read);
  if (!config) return umbra::complain(config.error(), EX_CONFIG);
  if (options.print()) {
    std::cout << read->print();
    return 0;
  }
  if (options.check()) return options.checked(umbra::agent::load_credentials(*config));
  if (!forget.empty()) {
    const auto journal = config->state_dir / "journal.sqlite";
    const auto forgotten = umbra::shadow::Journal::forget_damaged(journal, forget);
    if (!forgotten) return umbra::complain(forgotten.error());
    if (*forgotten == 0)
      return umbra::complain({umbra::Errc::kNotFound,
                              fmt::format("nothing damaged of VM {} is set aside", umbra::printable(forget)),
                              "give the uuid that the alert names; umbractl doctor shows it"});
    std::cout << *forgotten << " damaged records of VM " << forget << " forgotten\n";
    return 0;
  }
  spdlog::drop_all();
  umbra::init_log("umbra-agentd", config->log_level);
  spdlog::info("umbra-agentd {} on {}", UMBRA_VERSION, config->name);

  if (guard) return run_guard(std::move(*config));

  // A library that writes to a peer that has just gone gets an error, instead of this process its silent end.
  std::signal(SIGPIPE, SIG_IGN);
  asio::io_context io(1);
  asio::signal_set reloads(io, SIGHUP);  // from here on it ends nothing, and is kept until somebody looks
  auto agent = umbra::agent::Agent::start(io.get_executor(), std::move(*config));
  if (!agent) return umbra::complain(agent.error(), umbra::status_of(agent.error()));
  if (release->parsed()) {
    int status = 0;
    asio::co_spawn(io, let_go(io, **agent, status), [](std::exception_ptr bug) {
      if (bug) std::rethrow_exception(bug);
    });
    io.run();
    return status;
  }
  umbra::systemd::Notifier notifier(io.get_executor());
  asio::co_spawn(io, keep_systemd_informed(**agent, notifier), asio::detached);
  asio::co_spawn(io, reload_when_told(reloads, **agent), asio::detached);
  asio::co_spawn(io, until_told(io, **agent, notifier), asio::detached);
  io.run();
  return 0;
}
