#include "forecast_io/notices.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace umbra::forecast {

void Notice::add(std::uint64_t rows, std::uint64_t line) {
  if (rows == 0) return;
  line_ = series_ == 0 ? line : std::min(line_, line);
  rows_ += rows;
  ++series_;
}

void Notice::put(const std::string& file, std::vector<std::string>& notices) const {
  if (rows_ == 0) return;
  const auto of = series_ > 1 ? fmt::format(" of {} series", series_) : "";
  notices.push_back(
      fmt::format("{}:{}: {} {}{}{} {}", file, line_, rows_, rows_name_, rows_ == 1 ? "" : "s", of, what_));
}

}  // namespace umbra::forecast
