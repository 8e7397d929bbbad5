/// What cutovers came to.
#pragma once

#include <prometheus/histogram.h>
#include <prometheus/registry.h>

#include "umbra/v1/fleet.pb.h"

namespace umbra::metrics {

class Cutovers {
 public:
  explicit Cutovers(prometheus::Registry& registry);
  void ended(const v1::CutoverResult& result);

 private:
  prometheus::Family<prometheus::Counter>& outcomes_;
  prometheus::Histogram& blackout_;
  prometheus::Histogram& reach_;
};

}  // namespace umbra::metrics
