/// What Prometheus is told of the controller; docs/metrics.md lists it.
#pragma once

#include <prometheus/metric_family.h>

#include <vector>

#include "controller/core.hpp"

namespace umbra::controller {

/// @param state_dir whose databases are measured
std::vector<prometheus::MetricFamily> describe(const Core& core, const std::filesystem::path& state_dir,
                                               UnixMillis certificate_until);

}  // namespace umbra::controller
