/// GET /metrics, in Prometheus' text format, on the daemon's own loop: a loop that hangs answers no scrape.
#pragma once

#include <prometheus/metric_family.h>
#include <prometheus/registry.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/task.hpp"

namespace umbra::metrics {

/// Plain HTTP without authentication: names of VMs and hosts, and figures. The executor's thread only.
class Endpoint {
 public:
  static constexpr std::size_t kMostAtOnce = 16;
  /// What is at this moment; what is counted is in the registry.
  using Snapshot = std::function<std::vector<prometheus::MetricFamily>()>;

  /// @param address "address:port" @error kInvalid; kUnavailable it cannot be listened on
  static Result<std::unique_ptr<Endpoint>> listen(asio::any_io_executor executor, const std::string& address,
                                                  std::shared_ptr<prometheus::Registry> counted, Snapshot snapshot);
  ~Endpoint();
  std::uint16_t port() const;

 private:
  struct State;
  explicit Endpoint(std::shared_ptr<State> state);
  std::shared_ptr<State> state_;
};

}  // namespace umbra::metrics
