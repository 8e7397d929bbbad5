#include "gate/valve.hpp"

#include <gtest/gtest.h>

namespace umbra::gate {
namespace {

using namespace std::chrono_literals;
using Time = Valve::Time;

v1::GateSetting setting(v1::GateMode mode, std::chrono::microseconds pause = 0us, std::uint64_t rate = 0,
                        std::chrono::milliseconds shut = 0ms) {
  v1::GateSetting setting;
  setting.set_mode(mode);
  setting.set_pause_us(static_cast<std::uint64_t>(pause.count()));
  setting.set_bytes_per_second(rate);
  setting.set_shut_ms(static_cast<std::uint64_t>(shut.count()));
  return setting;
}

TEST(Valve, IsOpenUntilItIsTold) {
  Valve valve;
  EXPECT_GT(valve.ask(Time(1s)).bytes, 0U);
  valve.passed(1000, true, Time(1s));
  EXPECT_GT(valve.ask(Time(1s)).bytes, 0U);
}

TEST(Valve, PulsedItIsShutForThePauseAfterEachPass) {
  Valve valve;
  valve.set(setting(v1::GATE_MODE_PULSED, 20ms), Time(0s));
  EXPECT_GT(valve.ask(Time(1ms)).bytes, 0U);
  valve.passed(4096, false, Time(1ms));
  EXPECT_GT(valve.ask(Time(2ms)).bytes, 0U) << "in the middle of a pass";
  valve.passed(4096, true, Time(2ms));
  const auto shut = valve.ask(Time(3ms));
  EXPECT_EQ(shut.bytes, 0U);
  EXPECT_EQ(shut.until, Time(22ms));
  EXPECT_GT(valve.ask(Time(22ms)).bytes, 0U);
  EXPECT_EQ(valve.pulses(), 1U);
}

TEST(Valve, PulsedAStreamWithoutAnyMarkIsShutNowAndThenAllTheSame) {
  Valve valve;
  valve.set(setting(v1::GATE_MODE_PULSED, 20ms), Time(0s));
  for (auto now = 0ms; now < 250ms; now += 10ms) {
    EXPECT_GT(valve.ask(Time(now)).bytes, 0U) << now.count();
    valve.passed(100'000, false, Time(now));
  }
  EXPECT_EQ(valve.ask(Time(251ms)).bytes, 0U);
}

TEST(Valve, AShorterPauseCountsAtOnce) {
  Valve valve;
  valve.set(setting(v1::GATE_MODE_PULSED, 200ms), Time(0s));
  valve.passed(10, true, Time(0s));
  EXPECT_EQ(valve.ask(Time(5ms)).bytes, 0U);
  valve.set(setting(v1::GATE_MODE_PULSED, 4ms), Time(5ms));
  EXPECT_EQ(valve.ask(Time(5ms)).until, Time(9ms));
}

TEST(Valve, NeverStaysShutForLongerThanItWasTold) {
  Valve valve;
  valve.set(setting(v1::GATE_MODE_SHUT), Time(0s));
  EXPECT_EQ(valve.ask(Time(249ms)).bytes, 0U);
  EXPECT_GT(valve.ask(Time(250ms)).bytes, 0U) << "a breath";
  valve.passed(10, true, Time(250ms));
  EXPECT_EQ(valve.ask(Time(251ms)).bytes, 0U);
  valve.set(setting(v1::GATE_MODE_SHUT, 0us, 0, 10s), Time(1s));
  EXPECT_EQ(valve.ask(Time(10s)).bytes, 0U);
  EXPECT_GT(valve.ask(Time(11s)).bytes, 0U);
  valve.set(setting(v1::GATE_MODE_PULSED, 10s), Time(12s));
  valve.passed(10, true, Time(12s));
  EXPECT_EQ(valve.ask(Time(12s)).until, Time(12s + kLongestShut)) << "no pause is longer";
}

TEST(Valve, PacesInSmallSteps) {
  Valve valve;
  valve.set(setting(v1::GATE_MODE_PACED, 0us, 10'000'000), Time(0s));
  std::uint64_t passed = 0;
  auto now = Time(0s);
  std::size_t most = 0;
  while (now < Time(1s)) {
    const auto leave = valve.ask(now);
    if (leave.bytes == 0) {
      EXPECT_LE(leave.until - now, 2ms);
      now = leave.until;
      continue;
    }
    most = std::max(most, leave.bytes);
    passed += leave.bytes;
    valve.passed(leave.bytes, false, now);
  }
  EXPECT_NEAR(static_cast<double>(passed), 1e7, 2e5);
  EXPECT_LE(most, 20'000U) << "what two milliseconds allow";
}

TEST(Valve, PacedToNothingItStillAsksNowAndThen) {
  Valve valve;
  valve.set(setting(v1::GATE_MODE_PACED, 0us, 0), Time(0s));
  const auto leave = valve.ask(Time(1s));
  EXPECT_EQ(leave.bytes, 0U);
  EXPECT_LE(leave.until, Time(1s) + kLongestShut);
}

TEST(Valve, LeftAloneItPulses) {
  Valve valve;
  valve.leave_alone(Time(0s));
  EXPECT_EQ(valve.setting().mode(), v1::GATE_MODE_PULSED);
  valve.set(setting(v1::GATE_MODE_PULSED, 7ms), Time(0s));
  valve.leave_alone(Time(1s));
  EXPECT_EQ(valve.setting().pause_us(), 7'000U) << "as it was told";
}

}  // namespace
}  // namespace umbra::gate
