#include "cli/conversation.hpp"

#include <boost/asio/signal_set.hpp>
#include <csignal>

#include "rpc/dialer.hpp"

namespace umbra::cli {
namespace {

constexpr const char* kSetUp =
    "give --controller, --ca, --cert and --key, or set UMBRA_CONTROLLER, UMBRA_CA, UMBRA_CERT and UMBRA_KEY, or write "
    "them into /etc/umbra/umbractl.toml, or into a context: `umbractl context add`";

/// What one of the credentials is called: to people, and by option, variable and configuration key.
struct Credential {
  const char* what;
  const char* key;
  const char* variable;
  const std::filesystem::path& file;
};

asio::awaitable<Outcome> converse(asio::any_io_executor executor, rpc::Tls tls, Settings settings,
                                  Conversation conversation) {
  const rpc::Expect controller("", v1::ROLE_CONTROLLER);
  const rpc::Services none;
  auto session =
      co_await rpc::connect(executor, settings.controller, std::move(tls), controller, none, settings.timeout);
  if (!session) {
    const bool wrong_address = session.error().code == Errc::kInvalid;
    co_return tl::unexpected(Failure{wrong_address ? ExitCode::kUsage : ExitCode::kUnreachable, session.error()});
  }
  v1::FleetClient fleet(*session);
  auto ended = co_await conversation(fleet);
  // The same code also comes from the controller, about an agent that it cannot reach: then our session is still open.
  const bool broken = !ended && ended.error().code == Errc::kUnavailable && !(*session)->is_open();
  (*session)->close("done");
  if (ended) co_return *ended;
  co_return tl::unexpected(Failure{broken ? ExitCode::kUnreachable : ExitCode::kFailed, std::move(ended).error()});
}

}  // namespace

Result<void> check_credentials(const Settings& settings) {
  const auto missing = [](std::string_view what) {
    return fail({Errc::kInvalid, fmt::format("cannot talk to the controller: no {} is configured", what), kSetUp});
  };
  if (settings.controller.empty()) return missing("controller");
  const Credential needed[] = {{"CA certificate", "ca", "UMBRA_CA", settings.tls.ca},
                               {"certificate", "cert", "UMBRA_CERT", settings.tls.certificate},
                               {"private key", "key", "UMBRA_KEY", settings.tls.key}};
  for (const auto& each : needed) {
    if (each.file.empty()) return missing(fmt::format("{} ({})", each.what, each.key));
    std::error_code unreadable;  // which is for Tls::load to say
    if (std::filesystem::exists(each.file, unreadable) || unreadable) continue;
    const auto place = settings.config_file.empty()
                           ? std::string()
                           : fmt::format(", or {} in {}", each.key, settings.config_file.string());
    return fail({Errc::kNotFound, fmt::format("the {} {} does not exist", each.what, each.file.string()),
                 fmt::format("correct --{}, or {}{}", each.key, each.variable, place)});
  }
  return {};
}

Outcome talk(const Context& context, Conversation conversation) {
  if (auto whole = check_credentials(context.settings); !whole) return misused(std::move(whole).error());
  auto tls = rpc::Tls::load(context.settings.tls);
  if (!tls) return misused(std::move(tls).error());

  std::optional<Outcome> outcome;
  asio::io_context io(1);
  asio::signal_set signals(io, SIGINT, SIGTERM);
  signals.async_wait([&](const boost::system::error_code& error, int) {
    if (error) return;
    outcome = ExitCode::kInterrupted;
    io.stop();
  });
  auto conversation_ended = [&](std::exception_ptr bug, Outcome ended) {
    signals.cancel();
    if (bug) std::rethrow_exception(bug);
    outcome = std::move(ended);
  };
  asio::co_spawn(io, converse(io.get_executor(), std::move(*tls), context.settings, std::move(conversation)),
                 std::move(conversation_ended));
  io.run();
  return *outcome;
}

}  // namespace umbra::cli
