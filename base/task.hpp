/// Coroutines: every asynchronous operation of the project is a `Task`.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>

#include "base/result.hpp"

namespace umbra {

namespace asio = boost::asio;

/// An asynchronous operation that ends in a `Result`. Runs on the executor of the coroutine that awaits it.
/// Expected failures are values; an exception that leaves a Task is a bug and is caught at the coroutine's root.
/// GCC 12 miscompiles some temporaries inside a `co_await` expression: give arguments a name first, and pass
/// parameters of coroutines by value.
template <class T>
using Task = asio::awaitable<Result<T>>;

/// How long an operation may take, counted from the call.
using Deadline = std::chrono::milliseconds;

}  // namespace umbra
