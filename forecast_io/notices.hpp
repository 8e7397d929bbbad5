/// What a reader put right without being asked, for people.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace umbra::forecast {

/// The same thing noticed of many rows and series of a file makes one line.
class Notice {
 public:
  /// @param what "{rows} … ": follows the number of rows and what they are called
  Notice(std::string rows, std::string what) : rows_name_(std::move(rows)), what_(std::move(what)) {}

  /// @param line of the first of `rows`; nothing is noted for no rows
  void add(std::uint64_t rows, std::uint64_t line);
  /// "file:line: 3 rows of 2 series …", if there is anything to say.
  void put(const std::string& file, std::vector<std::string>& notices) const;

 private:
  std::string rows_name_, what_;
  std::uint64_t rows_ = 0, series_ = 0, line_ = 0;
};

}  // namespace umbra::forecast
