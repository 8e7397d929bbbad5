// Through libvirt's own functions (virEventAddHandle …), as libvirt calls them.
#include "agentd/virt/event_loop.hpp"

#include <gtest/gtest.h>
#include <libvirt/libvirt.h>
#include <unistd.h>

#include <atomic>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <thread>

namespace umbra::virt {
namespace {
using namespace std::chrono_literals;

asio::io_context& io() {
  static auto* const context = new asio::io_context;  // libvirt keeps to one for the life of the process
  return *context;
}

struct EventLoopTest : testing::Test {
  EventLoopTest() {
    EXPECT_TRUE(install_event_loop(io().get_executor()));
    EXPECT_EQ(::pipe(ends), 0);
  }
  ~EventLoopTest() override {
    ::close(ends[0]);
    ::close(ends[1]);
    run(1ms);
  }
  static void run(std::chrono::milliseconds time) {
    const auto stay = asio::make_work_guard(io());
    io().restart();
    io().run_for(time);
  }
  /// Runs until the condition holds, for at most five seconds.
  static bool run_until(const std::function<bool()>& condition) {
    for (int tries = 0; tries < 1000 && !condition(); ++tries) run(5ms);
    return condition();
  }
  void put() { EXPECT_EQ(::write(ends[1], "x", 1), 1); }

  int ends[2] = {-1, -1};
};

struct Counter {
  std::atomic<int> calls{0};
  std::atomic<bool> freed{false};
  int events = 0;
  int stop_after = 0;  ///< a timer that stops itself

  static void on_handle(int, int fd, int events, void* opaque) {
    auto& self = *static_cast<Counter*>(opaque);
    char byte = 0;
    if ((events & VIR_EVENT_HANDLE_READABLE) != 0) {
      EXPECT_EQ(::read(fd, &byte, 1), 1);
    }
    self.events = events;
    ++self.calls;
  }
  static void on_timer(int timer, void* opaque) {
    auto& self = *static_cast<Counter*>(opaque);
    if (++self.calls == self.stop_after) virEventUpdateTimeout(timer, -1);
  }
  static void free(void* opaque) { static_cast<Counter*>(opaque)->freed = true; }
};

TEST_F(EventLoopTest, KeepsToOneExecutorForTheProcess) {
  asio::io_context other;
  EXPECT_TRUE(install_event_loop(io().get_executor()));
  EXPECT_EQ(install_event_loop(other.get_executor()).error().code, Errc::kInternal);
}

TEST_F(EventLoopTest, TellsOfWhatCanBeReadForAsLongAsItIsWanted) {
  Counter counter;
  const int watch = virEventAddHandle(ends[0], VIR_EVENT_HANDLE_READABLE, Counter::on_handle, &counter, Counter::free);
  put();
  put();
  ASSERT_TRUE(run_until([&] { return counter.calls == 2; }));
  virEventUpdateHandle(watch, 0);
  put();
  run(20ms);
  EXPECT_EQ(counter.calls, 2);
  virEventUpdateHandle(watch, VIR_EVENT_HANDLE_READABLE);  // what came meanwhile is told now
  ASSERT_TRUE(run_until([&] { return counter.calls == 3; }));
  EXPECT_EQ(virEventRemoveHandle(watch), 0);
  put();
  ASSERT_TRUE(run_until([&] { return counter.freed.load(); }));
  EXPECT_EQ(counter.calls, 3);
  EXPECT_EQ(virEventRemoveHandle(watch), -1);
}

TEST_F(EventLoopTest, TellsOfAPeerThatHungUp) {
  Counter counter;
  const int watch = virEventAddHandle(ends[0], VIR_EVENT_HANDLE_READABLE, Counter::on_handle, &counter, Counter::free);
  ::close(std::exchange(ends[1], ::dup(0)));
  ASSERT_TRUE(run_until([&] { return counter.calls > 0; }));
  EXPECT_NE(counter.events & VIR_EVENT_HANDLE_HANGUP, 0);
  virEventRemoveHandle(watch);
  ASSERT_TRUE(run_until([&] { return counter.freed.load(); }));
}

TEST_F(EventLoopTest, TimersRepeatUntilTheyAreStopped) {
  Counter counter;
  counter.stop_after = 3;
  const int timer = virEventAddTimeout(1, Counter::on_timer, &counter, Counter::free);
  ASSERT_TRUE(run_until([&] { return counter.calls == 3; }));
  run(20ms);
  EXPECT_EQ(counter.calls, 3);
  virEventUpdateTimeout(timer, 0);
  counter.stop_after = 6;
  ASSERT_TRUE(run_until([&] { return counter.calls == 6; }));
  virEventRemoveTimeout(timer);
  ASSERT_TRUE(run_until([&] { return counter.freed.load(); }));
  EXPECT_EQ(virEventRemoveTimeout(timer), -1);
}

// libvirt says "now" for each event that a thread of its own reads; a loop that began anew each time would tell of
// none.
TEST_F(EventLoopTest, ATimerThatIsMadeDueAgainAndAgainFiresAllTheSame) {
  Counter counter;
  const int timer = virEventAddTimeout(-1, Counter::on_timer, &counter, Counter::free);
  std::atomic<bool> enough = false;
  std::thread flood([&] {
    while (!enough) virEventUpdateTimeout(timer, 0);
  });
  const bool fired = run_until([&] { return counter.calls > 100; });
  enough = true;
  flood.join();
  EXPECT_TRUE(fired);
  virEventRemoveTimeout(timer);
  ASSERT_TRUE(run_until([&] { return counter.freed.load(); }));
}

}  // namespace
}  // namespace umbra::virt
