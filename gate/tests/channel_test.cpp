// What goes through two gates, and how it ends.
#include <gtest/gtest.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>

#include <random>

#include "gate/tests/two_gates.hpp"

namespace umbra::gate {
namespace {

using test::TwoGates;
using namespace std::chrono_literals;

std::string noise(std::size_t size) {
  std::minstd_rand random(7);
  std::string bytes(size, '\0');
  for (auto& byte : bytes) byte = static_cast<char>(random());
  return bytes;
}

void set_loopback(bool up) {
  const Descriptor socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ifreq request{};
  std::snprintf(request.ifr_name, sizeof request.ifr_name, "lo");
  request.ifr_flags = static_cast<short>(up ? IFF_UP | IFF_RUNNING : 0);
  ASSERT_EQ(::ioctl(socket.get(), SIOCSIFFLAGS, &request), 0);
}

class Stream : public testing::TestWithParam<bool> {};

TEST_P(Stream, CarriesEveryByteInBothDirectionsAndEndsWhenBothSidesHave) {
  TwoGates gates;
  gates.begin(GetParam());
  auto ends = gates.connect();
  const auto bytes = noise(20'000'000);
  EXPECT_TRUE(gates.carry(ends.source, ends.standby, bytes) == bytes);
  EXPECT_TRUE(gates.carry(ends.standby, ends.source, bytes.substr(0, 1'000'000)) == bytes.substr(0, 1'000'000));
  ::shutdown(ends.source.get(), SHUT_WR);
  EXPECT_TRUE(gates.ended(ends.standby));
  if (!GetParam()) {
    EXPECT_EQ(gates.carry(ends.standby, ends.source, "a last word"), "a last word") << "one direction is still open";
  }
  ends.standby = Descriptor();
  EXPECT_TRUE(gates.until([&] { return gates.source_ends == 1 && gates.standby_ends == 1; }));
  EXPECT_EQ(gates.source.status().ended(), "it is over: both sides have ended it");
  EXPECT_GE(gates.source.status().bytes(), 21'000'000U);
}

TEST_P(Stream, OfSeveralChannelsEachIsItsOwn) {
  TwoGates gates;
  gates.begin(GetParam());
  std::vector<TwoGates::Ends> all;
  for (int i = 0; i < 5; ++i) all.push_back(gates.connect());
  for (std::size_t i = 0; i < all.size(); ++i) {
    const auto bytes = noise(300'000 + i);
    EXPECT_TRUE(gates.carry(all[i].source, all[i].standby, bytes) == bytes) << i;
  }
  EXPECT_EQ(gates.source.status().channels(), 5U);
  EXPECT_EQ(gates.standby.status().channels(), 5U);
}

TEST_P(Stream, ThatOneSideLosesIsLostOnTheOther) {
  TwoGates gates;
  gates.begin(GetParam());
  auto ends = gates.connect();
  EXPECT_EQ(gates.carry(ends.source, ends.standby, "some"), "some");
  gates.standby.end("killed");  // as by SIGKILL: no word of farewell
  EXPECT_TRUE(gates.ended(ends.source)) << "QEMU learns of it";
  EXPECT_TRUE(gates.ended(ends.standby));
  EXPECT_TRUE(gates.until([&] { return gates.source_ends == 1 && gates.standby_ends == 1; }));
}

INSTANTIATE_TEST_SUITE_P(By, Stream, testing::Values(false, true),
                         [](const auto& one) { return one.param ? "Plain" : "Tls"; });

TEST(Gate, OneLostChannelEndsAll) {
  TwoGates gates;
  gates.begin();
  auto main = gates.connect(), other = gates.connect();
  gates.standby.end("killed");
  EXPECT_TRUE(gates.ended(main.source));
  EXPECT_TRUE(gates.ended(other.source));
}

TEST(Gate, ShutItLetsNothingThroughAndWhatComesBackAlways) {
  TwoGates gates;
  gates.begin();
  auto ends = gates.connect();
  EXPECT_EQ(gates.carry(ends.source, ends.standby, "before"), "before");
  v1::GateSetting shut;
  shut.set_mode(v1::GATE_MODE_SHUT);
  shut.set_shut_ms(60'000);
  gates.source.set(shut);
  gates.until([] { return false; }, 50ms);
  ASSERT_EQ(::send(ends.source.get(), "held", 4, 0), 4);
  gates.until([] { return false; }, 300ms);
  char byte = 0;
  EXPECT_EQ(::recv(ends.standby.get(), &byte, 1, MSG_DONTWAIT), -1);
  EXPECT_EQ(gates.carry(ends.standby, ends.source, "the return path"), "the return path");
  v1::GateSetting open;
  open.set_mode(v1::GATE_MODE_OPEN);
  gates.source.set(open);
  std::string came;
  EXPECT_TRUE(gates.until([&] {
    while (::recv(ends.standby.get(), &byte, 1, MSG_DONTWAIT) == 1) came.push_back(byte);
    return came == "held";
  }));
}

TEST(Gate, PulsedItSeesTheEndsOfPasses) {
  TwoGates gates;
  gates.begin();
  auto ends = gates.connect();
  v1::GateSetting pulsed;
  pulsed.set_mode(v1::GATE_MODE_PULSED);
  pulsed.set_pause_us(1'000);
  gates.source.set(pulsed);
  const std::string pass = std::string(5'000, 'x') + std::string("\0\0\0\0\0\0\0\x10", 8);
  for (int i = 0; i < 10; ++i) EXPECT_EQ(gates.carry(ends.source, ends.standby, pass), pass);
  EXPECT_EQ(gates.source.status().passes(), 10U);
  EXPECT_EQ(gates.source.status().pulses(), 10U);
  EXPECT_EQ(gates.source.status().passes_before(), 0U);
  gates.source.set(pulsed);
  EXPECT_EQ(gates.source.status().passes_before(), 10U);
  EXPECT_TRUE(gates.until([&] { return gates.source.status().queued() == 0; })) << "the other side has it all";
}

TEST(Gate, ASlowReaderHoldsUpItsOwnStreamAndCountsAsAStall) {
  TwoGates gates;
  gates.begin();
  auto ends = gates.connect();
  const auto bytes = noise(32'000'000);
  std::size_t sent = 0;
  gates.until(
      [&] {
        const auto put = ::send(ends.source.get(), bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL);
        if (put > 0) sent += static_cast<std::size_t>(put);
        return false;
      },
      1s);
  EXPECT_LT(sent, bytes.size()) << "nobody reads";
  EXPECT_GT(gates.source.status().stalls() + gates.standby.status().stalls(), 0U);
  EXPECT_EQ(gates.source.status().channels(), 1U) << "it waits";
}

TEST(Gate, APeerThatVanishesEndsTheStreamWithinSomeSeconds) {
  std::thread([] {
    ASSERT_EQ(::unshare(CLONE_NEWNET), 0);
    set_loopback(true);
    for (const bool busy : {false, true}) {
      TwoGates gates;
      gates.begin();
      auto ends = gates.connect();
      EXPECT_EQ(gates.carry(ends.source, ends.standby, "before"), "before");
      set_loopback(false);
      if (busy) {
        EXPECT_GT(::send(ends.source.get(), "lost", 4, MSG_NOSIGNAL), 0);
      }
      EXPECT_TRUE(gates.ended(ends.source, 9s)) << (busy ? "with something under way" : "at rest");
      EXPECT_TRUE(gates.ended(ends.standby, 9s));
      set_loopback(true);
    }
  }).join();
}

}  // namespace
}  // namespace umbra::gate
