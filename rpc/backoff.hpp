/// How long to wait before trying again.
#pragma once

#include <algorithm>
#include <chrono>
#include <random>

namespace umbra::rpc {

/// Doubles from `least` to `most`, and takes a random half off each wait. Single thread.
class Backoff {
 public:
  explicit Backoff(std::uint64_t seed, std::chrono::milliseconds least = std::chrono::milliseconds(250),
                   std::chrono::milliseconds most = std::chrono::seconds(10))
      : least_(least), most_(most), step_(least), random_(seed) {}

  std::chrono::milliseconds next() {
    const auto step = std::exchange(step_, std::min(2 * step_, most_));
    std::uniform_int_distribution<std::chrono::milliseconds::rep> jitter(step.count() / 2, step.count());
    return std::chrono::milliseconds(jitter(random_));
  }
  void reset() { step_ = least_; }

 private:
  std::chrono::milliseconds least_;
  std::chrono::milliseconds most_;
  std::chrono::milliseconds step_;
  std::mt19937_64 random_;
};

}  // namespace umbra::rpc
