// umbra-gate: carries one shadow's migration stream between its QEMU and the other host's gate.
#include <CLI/CLI.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <csignal>

#include "base/daemon.hpp"
#include "base/log.hpp"
#include "gate/control.hpp"
#include "gate/launch.hpp"
#include "systemd/notify.hpp"

int main(int argc, char** argv) {
  CLI::App app{
      "Umbra's gate: one side of the stream of one shadow. umbra-agentd starts it, and tells it at its control socket "
      "what "
      "to do."};
  std::string control, log, level = "info";
  bool detach = false;
  app.add_option("--control", control, "path of the control socket, which it makes")->required();
  app.add_option("--log-level", level, "trace, debug, info, warning or error")->capture_default_str();
  app.add_flag("--detach", detach, "go on by itself: the command ends once the control socket is there");
  app.add_option("--log", log, "write the log to this file, from when it is detached");
  app.set_version_flag("--version", std::string("umbra-gate ") + UMBRA_VERSION);
  CLI11_PARSE(app, argc, argv);

  umbra::init_log("umbra-gate", level);
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGHUP, SIG_IGN);
  std::optional<umbra::gate::Detached> detached;
  if (detach) {
    auto begun = umbra::gate::Detached::begin();
    if (!begun) return umbra::complain(begun.error());
    detached.emplace(std::move(*begun));
  }
  umbra::SystemClock clock;
  boost::asio::io_context io(1);
  auto listening = umbra::gate::Control::listen(io.get_executor(), clock, control);
  if (!listening) return umbra::complain(listening.error());
  umbra::systemd::Notifier notifier(io.get_executor());
  notifier.ready();
  if (detached) detached->ready(log);
  boost::asio::signal_set signals(io, SIGTERM, SIGINT);
  signals.async_wait([&io](boost::system::error_code error, int) {
    if (!error) io.stop();
  });
  (*listening)->on_end([&io] { io.stop(); });
  io.run();
  return 0;
}
