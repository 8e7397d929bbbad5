/// Work that must not be cut short because whoever asked for it went away.
#pragma once

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <exception>
#include <memory>
#include <optional>

#include "base/task.hpp"

namespace umbra {

/// Runs `work` to its end on the caller's executor and gives its result. Cancelling the caller ends only the waiting.
template <class T>
Task<T> shielded(Task<T> work) {
  struct State {
    explicit State(asio::any_io_executor executor) : done(executor, asio::steady_timer::time_point::max()) {}
    asio::steady_timer done;
    std::optional<Result<T>> result;
    std::exception_ptr bug;
  };
  const auto executor = co_await asio::this_coro::executor;
  const auto state = std::make_shared<State>(executor);
  asio::co_spawn(executor, std::move(work), [state](std::exception_ptr bug, Result<T> result) {
    state->bug = bug;
    state->result = std::move(result);
    state->done.cancel();
  });
  boost::system::error_code woken;
  if (!state->result) co_await state->done.async_wait(asio::redirect_error(asio::use_awaitable, woken));
  if (state->bug) std::rethrow_exception(state->bug);
  if (!state->result) co_return fail(Errc::kCancelled, "the caller went away; the work goes on");
  co_return std::move(*state->result);
}

}  // namespace umbra
