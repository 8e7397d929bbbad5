#include "agentd/telemetry/sampler.hpp"

#include <gtest/gtest.h>

namespace umbra::telemetry {
namespace {

using namespace std::chrono_literals;

constexpr std::chrono::steady_clock::time_point kStart{};

virt::DomainStats stats(std::string uuid, std::chrono::nanoseconds cpu, std::uint64_t bytes) {
  virt::DomainStats one;
  one.uuid = std::move(uuid);
  one.cpu_time = cpu;
  one.memory_used = mebibytes(100);
  one.net_rx = Bytes{bytes};
  one.net_tx = Bytes{2 * bytes};
  one.disk_read = Bytes{3 * bytes};
  one.disk_written = Bytes{4 * bytes};
  return one;
}

TEST(Sampler, GivesTheDifferenceOverTheTimeBetween) {
  Sampler sampler;
  EXPECT_TRUE(sampler.sample({stats("a", 10s, 1'000)}, kStart, 111).empty()) << "one look tells no rate";
  auto second = stats("a", 13s, 9'000);
  second.dirty_rate = BytesPerSecond{77};
  const auto samples = sampler.sample({second}, kStart + 4s, 222);
  ASSERT_EQ(samples.size(), 1U);
  const auto& sample = samples.front();
  EXPECT_EQ(sample.vm_uuid(), "a");
  EXPECT_EQ(sample.at_unix_ms(), 222);
  EXPECT_DOUBLE_EQ(sample.cpus_used(), 0.75);
  EXPECT_EQ(sample.memory_used_bytes(), mebibytes(100).count);
  EXPECT_DOUBLE_EQ(sample.net_rx_bytes_per_second(), 2'000);
  EXPECT_DOUBLE_EQ(sample.net_tx_bytes_per_second(), 4'000);
  EXPECT_DOUBLE_EQ(sample.disk_read_bytes_per_second(), 6'000);
  EXPECT_DOUBLE_EQ(sample.disk_write_bytes_per_second(), 8'000);
  EXPECT_DOUBLE_EQ(sample.dirty_bytes_per_second(), 77);
}

TEST(Sampler, LeavesOutADirtyRateThatNobodyMeasured) {
  Sampler sampler;
  sampler.sample({stats("a", 1s, 0)}, kStart, 0);
  EXPECT_FALSE(sampler.sample({stats("a", 2s, 0)}, kStart + 1s, 0).front().has_dirty_bytes_per_second());
}

TEST(Sampler, BeginsAnewWhenCountersRunBackwards) {
  Sampler sampler;
  sampler.sample({stats("a", 100s, 5'000)}, kStart, 0);
  EXPECT_TRUE(sampler.sample({stats("a", 1s, 0)}, kStart + 5s, 0).empty()) << "its QEMU was started again";
  const auto samples = sampler.sample({stats("a", 2s, 500)}, kStart + 10s, 0);
  ASSERT_EQ(samples.size(), 1U);
  EXPECT_DOUBLE_EQ(samples.front().cpus_used(), 0.2);
  EXPECT_DOUBLE_EQ(samples.front().net_rx_bytes_per_second(), 100);
}

TEST(Sampler, ForgetsWhoIsGone) {
  Sampler sampler;
  sampler.sample({stats("a", 1s, 0), stats("b", 1s, 0)}, kStart, 0);
  EXPECT_EQ(sampler.sample({stats("b", 2s, 0)}, kStart + 1s, 0).size(), 1U);
  EXPECT_EQ(sampler.sample({stats("a", 3s, 0), stats("b", 3s, 0)}, kStart + 2s, 0).size(), 1U)
      << "what it did while it was away is nobody's rate";
}

TEST(Sampler, GivesNoRateWithoutTime) {
  Sampler sampler;
  sampler.sample({stats("a", 1s, 0)}, kStart, 0);
  EXPECT_TRUE(sampler.sample({stats("a", 2s, 0)}, kStart, 0).empty());
}

}  // namespace
}  // namespace umbra::telemetry
