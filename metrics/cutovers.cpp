#include "metrics/cutovers.hpp"

#include <prometheus/counter.h>
#include <prometheus/histogram.h>

#include "proto/words.hpp"

namespace umbra::metrics {
namespace {

/// Seconds: from a tenth of what one notices to what stock tools take.
const prometheus::Histogram::BucketBoundaries kBuckets{0.005, 0.01, 0.02, 0.035, 0.05, 0.1, 0.2, 0.5, 1, 2, 5};

}  // namespace

Cutovers::Cutovers(prometheus::Registry& registry)
    : outcomes_(prometheus::BuildCounter()
                    .Name("umbra_cutovers_total")
                    .Help("Cutovers that ended, by outcome; only moved ones left the guest on another host")
                    .Register(registry)),
      blackout_(prometheus::BuildHistogram()
                    .Name("umbra_cutover_blackout_seconds")
                    .Help("For how long the guest stood still, of cutovers that moved it")
                    .Register(registry)
                    .Add({}, kBuckets)),
      reach_(prometheus::BuildHistogram()
                 .Name("umbra_cutover_reach_seconds")
                 .Help("From the order's arrival until the guest ran on its new host, of cutovers that moved it")
                 .Register(registry)
                 .Add({}, kBuckets)) {
  for (const auto outcome : {v1::OUTCOME_MOVED, v1::OUTCOME_ABORTED, v1::OUTCOME_REFUSED, v1::OUTCOME_UNDECIDED})
    outcomes_.Add({{"outcome", std::string(outcome_name(
                                   outcome))}});  // 0 from the beginning, so that the first one is an increase
}

void Cutovers::ended(const v1::CutoverResult& result) {
  outcomes_.Add({{"outcome", std::string(outcome_name(result.outcome()))}}).Increment();
  if (result.outcome() != v1::OUTCOME_MOVED) return;
  blackout_.Observe(result.blackout_ms() / 1000);
  reach_.Observe(result.reach_ms() / 1000);
}

}  // namespace umbra::metrics
