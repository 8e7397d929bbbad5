#include "base/task_group.hpp"

#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace umbra {
namespace {

struct Count {
  int& alive;
  explicit Count(int& counter) : alive(++counter) {}
  ~Count() { --alive; }
};

asio::awaitable<void> wait_for_ever(int& alive) {
  const Count count(alive);
  asio::steady_timer never(co_await asio::this_coro::executor, asio::steady_timer::time_point::max());
  co_await never.async_wait(asio::use_awaitable);
}

asio::awaitable<void> end_at_once(int& alive) {
  const Count count(alive);
  co_return;
}

asio::awaitable<void> stop(TaskGroup& group, bool& stopped) {
  co_await group.stop();
  stopped = true;
}

TEST(TaskGroup, StopEndsAllThatRun) {
  asio::io_context io;
  TaskGroup group(io.get_executor());
  int alive = 0;
  for (int i = 0; i < 3; ++i) group.spawn(wait_for_ever(alive));
  group.spawn(end_at_once(alive));
  io.poll();
  EXPECT_EQ(alive, 3);
  bool stopped = false;
  asio::co_spawn(io, stop(group, stopped), asio::detached);
  io.restart();
  io.run();
  EXPECT_TRUE(stopped);
  EXPECT_EQ(alive, 0);
}

TEST(TaskGroup, StopOfAnEmptyGroupReturns) {
  asio::io_context io;
  TaskGroup group(io.get_executor());
  bool stopped = false;
  asio::co_spawn(io, stop(group, stopped), asio::detached);
  io.run();
  EXPECT_TRUE(stopped);
  int alive = 0;
  group.spawn(wait_for_ever(alive));
  EXPECT_EQ(alive, 0) << "nothing is started any more";
}

asio::awaitable<void> fail_badly() {
  throw std::logic_error("a bug");
  co_return;
}

TEST(TaskGroup, DoesNotSwallowABug) {
  asio::io_context io;
  TaskGroup group(io.get_executor());
  group.spawn(fail_badly());
  EXPECT_THROW(io.run(), std::logic_error);
}

}  // namespace
}  // namespace umbra
