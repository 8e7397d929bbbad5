/// How a process is at this moment, in Prometheus' words.
#pragma once

#include <prometheus/metric_family.h>

#include <initializer_list>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace umbra::metrics {

/// Collects values; those of one name become a family, in the order of their first. Names follow Prometheus'
/// conventions: base units, `_total` for what is counted.
class Families {
 public:
  using Labels = std::initializer_list<std::pair<std::string_view, std::string_view>>;
  Families& gauge(const std::string& name, const char* help, double value, Labels labels = {});
  Families& counter(const std::string& name, const char* help, double value, Labels labels = {});
  std::vector<prometheus::MetricFamily> take() { return std::move(families_); }

 private:
  prometheus::ClientMetric& add(const std::string& name, const char* help, prometheus::MetricType type, Labels labels);
  std::vector<prometheus::MetricFamily> families_;
  std::map<std::string, std::size_t> places_;
};

}  // namespace umbra::metrics
