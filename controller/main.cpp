// umbra-controllerd: forecasts, decides, and has the agents carry it out.
#include <spdlog/spdlog.h>

#include <CLI/CLI.hpp>
#include <boost/asio/signal_set.hpp>
#include <csignal>
#include <iostream>

#include "base/daemon.hpp"
#include "base/log.hpp"
#include "controller/controller.hpp"
#include "systemd/notify.hpp"

namespace {

namespace asio = boost::asio;

asio::awaitable<void> until_told(asio::io_context& io, umbra::controller::Controller& controller,
                                 umbra::systemd::Notifier& notifier) {
  asio::signal_set signals(io, SIGTERM, SIGINT);
  co_await signals.async_wait(asio::use_awaitable);
  spdlog::info("stopping; VMs, shadows and cutovers go on without the controller");
  notifier.stopping();
  co_await controller.stop();
  io.stop();
}

asio::awaitable<void> keep_systemd_informed(umbra::controller::Controller& controller,
                                            umbra::systemd::Notifier& notifier) {
  asio::steady_timer timer(co_await asio::this_coro::executor);
  for (std::string told;;) {
    if (auto now = controller.status(); now != told) notifier.status(told = std::move(now));
    timer.expires_after(std::chrono::seconds(1));
    co_await timer.async_wait(asio::use_awaitable);
  }
}

/// systemctl reload
asio::awaitable<void> reload_when_told(asio::signal_set& signals, umbra::controller::Controller& controller) {
  while (true) {
    co_await signals.async_wait(asio::use_awaitable);
    controller.reload();
  }
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"Umbra's controller: forecasts demand, weighs dangers, and moves VMs before trouble comes."};
  umbra::ConfigOptions options(app, "controllerd");
  app.set_version_flag("--version", std::string("umbra-controllerd ") + UMBRA_VERSION);
  CLI11_PARSE(app, argc, argv);

  umbra::init_log("umbra-controllerd", "info");
  auto read = options.load();
  if (!read) return umbra::complain(read.error(), EX_CONFIG);
  auto settings = umbra::controller::Settings::from(*read);
  if (!settings) return umbra::complain(settings.error(), EX_CONFIG);
  if (options.print()) {
    std::cout << read->print();
    return 0;
  }
  if (options.check()) return options.checked(umbra::controller::load_credentials(*settings));
  spdlog::drop_all();
  umbra::init_log("umbra-controllerd", settings->log_level);

  // A library that writes to a peer that has just gone gets an error, instead of this process its silent end.
  std::signal(SIGPIPE, SIG_IGN);
  asio::io_context io(1);
  asio::signal_set reloads(io, SIGHUP);  // from here on it ends nothing, and is kept until somebody looks
  umbra::SystemClock clock;
  auto controller = umbra::controller::Controller::start(io.get_executor(), std::move(*settings), clock);
  if (!controller) return umbra::complain(controller.error(), umbra::status_of(controller.error()));
  spdlog::info("umbra-controllerd {} listens on {}:{}", UMBRA_VERSION, (*controller)->endpoint().address().to_string(),
               (*controller)->endpoint().port());
  umbra::systemd::Notifier notifier(io.get_executor());
  notifier.ready();
  asio::co_spawn(io, keep_systemd_informed(**controller, notifier), asio::detached);
  asio::co_spawn(io, reload_when_told(reloads, **controller), asio::detached);
  asio::co_spawn(io, until_told(io, **controller, notifier), asio::detached);
  io.run();
  return 0;
}
