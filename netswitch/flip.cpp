#include "netswitch/flip.hpp"

#include <array>
#include <boost/asio/deferred.hpp>
#include <boost/asio/experimental/parallel_group.hpp>

namespace umbra::netswitch {
namespace {

constexpr std::array kOrder{Flip::Place::kNewHost, Flip::Place::kEdge, Flip::Place::kOtherHost, Flip::Place::kOldHost};

/// One action, its error naming the node. An exception is a failed step too: the others must still be undone.
Task<void> guarded(std::function<Task<void>()> action, std::string context) {
  try {
    auto done = co_await action();
    if (!done) co_return fail(with_context(std::move(done.error()), context));
    co_return Result<void>{};
  } catch (const std::exception& error) {
    co_return fail(Errc::kInternal, "{}: {}", context, error.what());
  }
}

}  // namespace

/// The steps of one place, at the same time; the first error if there is one.
Task<void> Flip::visit(Place place, Way way) {
  const auto executor = co_await asio::this_coro::executor;
  auto start = [&](const Step& step) {
    const bool there = way == Way::kThere;
    return asio::co_spawn(
        executor,
        guarded(there ? step.apply : step.undo, fmt::format("{} routes on {}", there ? "flip" : "restore", step.node)),
        asio::deferred);
  };
  std::vector<decltype(start(steps_.front()))> actions;
  for (const Step& step : steps_) {
    if (step.place == place) actions.push_back(start(step));
  }
  if (actions.empty()) co_return Result<void>{};
  auto group = asio::experimental::make_parallel_group(std::move(actions));
  auto [order, exceptions, results] =
      co_await group.async_wait(asio::experimental::wait_for_all(), asio::use_awaitable);
  for (const auto& exception : exceptions) {
    if (exception) std::rethrow_exception(exception);
  }
  for (auto& result : results) {
    if (!result) co_return fail(std::move(result.error()));
  }
  co_return Result<void>{};
}

Task<void> Flip::back_from(Place place) {
  Result<void> first;
  for (auto back = kOrder.rbegin(); back != kOrder.rend(); ++back) {
    if (*back > place) continue;
    const Place here = *back;
    auto undone = co_await visit(here, Way::kBack);
    if (!undone && first) first = std::move(undone);
  }
  co_return first;
}

Task<void> Flip::run() {
  for (const Place place : kOrder) {
    auto applied = co_await visit(place, Way::kThere);
    if (applied) continue;
    Error error = std::move(applied.error());
    const auto undone = co_await back_from(place);
    if (!undone) error.message += fmt::format("; and then {}", undone.error().message);
    co_return fail(std::move(error));
  }
  co_return Result<void>{};
}

Task<void> Flip::abort() {
  auto undone = co_await back_from(kOrder.back());
  co_return undone;
}

}  // namespace umbra::netswitch
