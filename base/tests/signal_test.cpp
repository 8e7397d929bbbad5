#include "base/signal.hpp"

#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>

namespace umbra {
namespace {
using namespace std::chrono_literals;

asio::awaitable<void> wait(Signal& signal, Signal::TimePoint deadline, int& woken) {
  co_await signal.wait_until(deadline);
  ++woken;
}

TEST(Signal, NotifyWakesAllThatWait) {
  asio::io_context io;
  FakeClock clock;
  Signal signal(io.get_executor(), clock);
  int woken = 0;
  for (int i = 0; i < 3; ++i) asio::co_spawn(io, wait(signal, clock.steady() + 1s, woken), asio::detached);
  io.poll();
  EXPECT_EQ(woken, 0);
  signal.notify();
  io.poll();
  EXPECT_EQ(woken, 3);
}

TEST(Signal, AFakeClockWakesThoseWhoseDeadlineItReaches) {
  asio::io_context io;
  FakeClock clock;
  Signal signal(io.get_executor(), clock);
  int early = 0, late = 0;
  asio::co_spawn(io, wait(signal, clock.steady() + 1s, early), asio::detached);
  asio::co_spawn(io, wait(signal, clock.steady() + 3s, late), asio::detached);
  io.poll();
  clock.advance(2s);
  io.poll();
  EXPECT_EQ(early, 1);
  EXPECT_EQ(late, 0);
}

TEST(Signal, ARealClockWakesAtTheDeadline) {
  asio::io_context io;
  SystemClock clock;
  Signal signal(io.get_executor(), clock);
  int woken = 0;
  asio::co_spawn(io, wait(signal, clock.steady() + 1ms, woken), asio::detached);
  io.run();
  EXPECT_EQ(woken, 1);
}

// A program that stops destroys its parts, and with its loop whatever still waited on one of them.
TEST(Signal, AWaitMayBeDestroyedAfterItsSignal) {
  FakeClock clock;
  int woken = 0;
  {
    asio::io_context io;
    auto signal = std::make_unique<Signal>(io.get_executor(), clock);
    for (int i = 0; i < 3; ++i) asio::co_spawn(io, wait(*signal, clock.steady() + 1s, woken), asio::detached);
    io.poll();
    signal.reset();
  }
  EXPECT_EQ(woken, 0);
}

}  // namespace
}  // namespace umbra
