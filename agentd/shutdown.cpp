#include "agentd/shutdown.hpp"

#include <spdlog/spdlog.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>

#include "umbra/v1/controller.rpc.hpp"

namespace umbra::agent {
namespace {

using namespace std::chrono_literals;

constexpr auto kTryAgain = 30s;
constexpr auto kLook = 20s;           // for a shutdown that is planned
constexpr auto kForTheRest = 5s;      // of logind's patience: to let go of shadows, and of the lock
constexpr auto kLeastPatience = 60s;  // less is hardly enough to move one guest
constexpr Deadline kCall = 5s;

}  // namespace

void Shutdown::stop() {
  stopping_ = true;
  if (bus_) bus_->close();
  changed_.notify();
}

void Shutdown::say(std::string text) {
  if (text == text_) return;
  text_ = std::move(text);
  spdlog::warn("{}", text_);
}

asio::awaitable<void> Shutdown::run() {
  while (!stopping_) {
    auto bus = systemd::Bus::open_system(executor_);
    Result<void> ended;
    if (bus) {
      bus_ = *bus;
      asio::co_spawn(executor_, bus_->run(), asio::detached);
      ended = co_await watch(bus_);
      bus_->close();
      bus_.reset();
    } else {
      ended = fail(bus.error());
    }
    if (stopping_) break;
    if (!ended && std::exchange(told_, ended.error().message) != ended.error().message)
      spdlog::info("guests are not moved away before a shutdown of this host: {}", ended.error());
    co_await changed_.wait_until(clock_.steady() + kTryAgain);
  }
}

Task<void> Shutdown::watch(std::shared_ptr<systemd::Bus> bus) {
  systemd::Logind logind(bus);
  UMBRA_CO_CHECK(logind.on_shutdown([this](bool begins) {
    begins_ = begins;
    changed_.notify();
  }));
  UMBRA_CO_TRY(auto lock, co_await logind.delay_shutdown("moves virtual machines to other hosts first"));
  UMBRA_CO_TRY(most_delay_, co_await logind.most_delay());
  told_.clear();
  spdlog::info("a shutdown of this host waits up to {} s until its guests are elsewhere",
               std::chrono::duration_cast<std::chrono::seconds>(most_delay_).count());
  if (most_delay_ < kLeastPatience)
    hooks_.tell(v1::SEVERITY_WARNING,
                fmt::format("a shutdown of this host waits {:.0f} s for its guests to be moved, which is too short: "
                            "InhibitDelayMaxSec= in a drop-in of logind.conf that sorts after zz-umbra.conf, or "
                            "logind was not reloaded (systemctl kill -s HUP systemd-logind)",
                            std::chrono::duration<double>(most_delay_).count()));
  while (!stopping_ && bus->get() != nullptr) {
    if (begins_) {
      co_await leave(clock_.steady() + std::chrono::duration_cast<std::chrono::milliseconds>(most_delay_) -
                     kForTheRest);
      lock = Descriptor();  // the shutdown goes on
      while (begins_ && !stopping_) co_await changed_.wait_until(clock_.steady() + kLook);
      if (stopping_) break;
      say("the shutdown was called off");
      text_.clear();
      hooks_.resume();
      UMBRA_CO_TRY(lock, co_await logind.delay_shutdown("moves virtual machines to other hosts first"));
      continue;
    }
    const auto looked = co_await look_ahead(&logind);
    if (!looked) spdlog::debug("shutdown: {}", looked.error());
    if (!begins_ && !stopping_) co_await changed_.wait_until(clock_.steady() + kLook);
  }
  co_return fail({Errc::kUnavailable, "the system bus is gone", ""});
}

/// A planned shutdown is maintenance, which the controller weighs.
Task<void> Shutdown::look_ahead(systemd::Logind* logind) {
  UMBRA_CO_TRY(const auto scheduled, co_await logind->scheduled_shutdown());
  if (scheduled.at == announced_) co_return Result<void>{};
  UMBRA_CO_TRY(const auto session, hooks_.controller());
  v1::AnnounceShutdownRequest request;
  request.set_at_unix_ms(std::chrono::duration_cast<std::chrono::milliseconds>(scheduled.at).count());
  v1::RegistryClient controller(session);
  UMBRA_CO_TRY(const auto reply, co_await controller.announce_shutdown(std::move(request), kCall));
  announced_ = scheduled.at;
  co_return Result<void>{};
}

asio::awaitable<void> Shutdown::leave(TimePoint end) {
  say("this host shuts down: its guests are moved away first");
  const auto moved = co_await move_away(end);
  if (!moved)
    hooks_.tell(v1::SEVERITY_WARNING,
                fmt::format("shuts down with guests that could not be moved: {}", moved.error().message));
  const auto patience = std::chrono::duration_cast<Deadline>(end - clock_.steady()) + kForTheRest - 1s;
  const auto released = co_await hooks_.release(std::clamp<Deadline>(patience, 1s, 30s));
  if (!released) spdlog::warn("{}", released.error());
  say(moved ? "this host shuts down: its guests are elsewhere"
            : fmt::format("this host shuts down: {}", moved.error().message));
}

Task<void> Shutdown::move_away(TimePoint end) {
  Error last{Errc::kTimeout, "there was no time to move any", ""};
  while (clock_.steady() < end && begins_ && !stopping_) {
    const auto session = hooks_.controller();
    if (!session) {
      last = {Errc::kUnavailable, "the controller is not reachable", ""};
      say("this host shuts down: the controller is not reachable, so no guest is moved yet");
      co_await changed_.wait_until(std::min(end, clock_.steady() + 1s));
      continue;
    }
    v1::RegistryClient controller(*session);
    v1::LeaveRequest request;
    const auto left = std::chrono::duration_cast<Deadline>(end - clock_.steady());
    request.set_patience_ms(left.count());
    UMBRA_CO_TRY(auto progress, co_await controller.leave(std::move(request), left));
    int guests = 0;
    v1::EvacuateProgress seen;
    while (true) {
      auto next = co_await progress.next();
      if (!next) {
        last = next.error();
        break;
      }
      if (!*next) {
        if (seen.failed() == 0) co_return Result<void>{};
        co_return fail(
            {Errc::kUnavailable, fmt::format("{} of {} guests could not be moved", seen.failed(), guests), ""});
      }
      seen = **next;
      guests = std::max(guests, seen.plan_size());
      say(fmt::format("this host shuts down: {} of {} guests are elsewhere{}", seen.moved(), guests,
                      seen.failed() > 0 ? fmt::format(", {} cannot be moved", seen.failed()) : ""));
    }
  }
  co_return fail(std::move(last));
}

}  // namespace umbra::agent
