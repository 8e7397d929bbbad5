#include "agentd/outbox.hpp"

#include <gtest/gtest.h>
#include <spdlog/spdlog.h>

namespace umbra::agent {
namespace {

struct OutboxTest : testing::Test {
  OutboxTest() { spdlog::set_level(spdlog::level::off); }  // each event is logged too
  FakeClock clock;
  Outbox outbox{clock, "host1"};

  void event(int number) { outbox.event(v1::EVENT_KIND_SHADOW, v1::SEVERITY_INFO, "web1", std::to_string(number)); }
  void sample(int number) {
    v1::VmSample one;
    one.set_at_unix_ms(number);
    outbox.sample(std::move(one));
  }
  v1::ReportRequest report() {
    v1::ReportRequest one;
    outbox.fill(one);
    return one;
  }
};

TEST_F(OutboxTest, SaysWhoSawWhatWhen) {
  clock.advance(Milliseconds(250));
  outbox.event(v1::EVENT_KIND_CUTOVER, v1::SEVERITY_ALERT, "web1", "look");
  const auto told = report();
  ASSERT_EQ(told.events_size(), 1);
  EXPECT_EQ(told.events(0).node(), "host1");
  EXPECT_EQ(told.events(0).actor(), "agent host1");
  EXPECT_EQ(told.events(0).vm(), "web1");
  EXPECT_EQ(told.events(0).text(), "look");
  EXPECT_EQ(told.events(0).kind(), v1::EVENT_KIND_CUTOVER);
  EXPECT_EQ(told.events(0).severity(), v1::SEVERITY_ALERT);
  EXPECT_EQ(told.events(0).at_unix_ms(), clock.unix_ms());
}

TEST_F(OutboxTest, TellsAgainWhatNobodyHeard) {
  event(1);
  EXPECT_EQ(report().events_size(), 1);
  EXPECT_EQ(report().events_size(), 1);
}

TEST_F(OutboxTest, ForgetsExactlyWhatWasDelivered) {
  event(1);
  sample(1);
  const auto first = report();
  event(2);
  v1::CutoverResult moved;
  moved.set_epoch(3);
  outbox.cutover(moved);
  outbox.delivered(first);
  const auto second = report();
  ASSERT_EQ(second.events_size(), 1) << "what came while the report was on its way";
  EXPECT_EQ(second.events(0).text(), "2");
  EXPECT_EQ(second.samples_size(), 0);
  ASSERT_EQ(second.cutovers_size(), 1);
  EXPECT_EQ(second.cutovers(0).epoch(), 3U);
  outbox.delivered(second);
  EXPECT_EQ(report().events_size(), 0);
  EXPECT_EQ(report().cutovers_size(), 0);
}

TEST_F(OutboxTest, SendsALongBacklogInPartsAndInOrder) {
  for (int i = 0; i < 4'500; ++i) event(i);
  int next = 0;
  for (const int size : {2'000, 2'000, 500, 0}) {
    const auto part = report();
    ASSERT_EQ(part.events_size(), size);
    for (const auto& one : part.events()) EXPECT_EQ(one.text(), std::to_string(next++));
    outbox.delivered(part);
  }
}

TEST_F(OutboxTest, KeepsTheNewestOfTooMany) {
  for (int i = 0; i < 10'050; ++i) {
    event(i);
    sample(i);
  }
  const auto told = report();
  EXPECT_EQ(told.events(0).text(), "50");
  EXPECT_EQ(told.samples(0).at_unix_ms(), 50);
}

TEST_F(OutboxTest, DoesNotForgetNewsInPlaceOfNewsThatWereDroppedMeanwhile) {
  for (int i = 0; i < 10'000; ++i) sample(i);
  const auto sent = report();                       // 0 … 1999
  for (int i = 10'000; i < 11'000; ++i) sample(i);  // pushes 0 … 999 out
  outbox.delivered(sent);
  EXPECT_EQ(report().samples(0).at_unix_ms(), 2'000) << "those that were not in the report stay";
}

}  // namespace
}  // namespace umbra::agent
