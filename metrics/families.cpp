#include "metrics/families.hpp"

namespace umbra::metrics {

prometheus::ClientMetric& Families::add(const std::string& name, const char* help, prometheus::MetricType type,
                                        Labels labels) {
  const auto [place, is_new] = places_.try_emplace(name, families_.size());
  if (is_new) families_.push_back({name, help, type, {}});
  auto& metric = families_[place->second].metric.emplace_back();
  for (const auto& [label, value] : labels) metric.label.push_back({std::string(label), std::string(value)});
  return metric;
}

Families& Families::gauge(const std::string& name, const char* help, double value, Labels labels) {
  add(name, help, prometheus::MetricType::Gauge, labels).gauge.value = value;
  return *this;
}

Families& Families::counter(const std::string& name, const char* help, double value, Labels labels) {
  add(name, help, prometheus::MetricType::Counter, labels).counter.value = value;
  return *this;
}

}  // namespace umbra::metrics
