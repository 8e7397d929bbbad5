// Runs a coroutine test to its end, within a limit of real time.
#pragma once

#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>

#include "base/task.hpp"

namespace umbra {

/// @return whether the coroutine ended in time and without an error; says why not in the test's result
inline bool run_task(asio::io_context& io, Task<void> task, std::chrono::seconds limit = std::chrono::seconds(30)) {
  std::optional<Result<void>> end;
  asio::co_spawn(io, std::move(task), [&](const std::exception_ptr& exception, Result<void> result) {
    if (exception) result = fail(Errc::kInternal, "an exception left the task");
    end = std::move(result);
    io.stop();
  });
  io.restart();
  io.run_for(limit);
  EXPECT_TRUE(end.has_value()) << "the test did not end in time";
  const bool good = end && end->has_value();
  if (end && !good) ADD_FAILURE() << end->error().text();
  return good;
}

}  // namespace umbra

/// ASSERT_TRUE for coroutines.
#define CO_ASSERT(condition)                \
  if (!(condition)) {                       \
    ADD_FAILURE() << "not so: " #condition; \
    co_return ::umbra::Result<void>{};      \
  }
