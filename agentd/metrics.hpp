/// What Prometheus is told of an agent; docs/metrics.md lists it.
#pragma once

#include <prometheus/metric_family.h>

#include <vector>

#include "umbra/v1/controller.pb.h"

namespace umbra::agent {

/// What no report has.
struct Standing {
  bool connected = false;  ///< to the controller
  std::int64_t certificate_until_unix_ms = 0;
  std::int64_t now_unix_ms = 0;
  double route_repairs = 0;  ///< since the agent's start
  bool is_host = true;
};
std::vector<prometheus::MetricFamily> describe(const v1::ReportRequest& report, const Standing& standing);

}  // namespace umbra::agent
