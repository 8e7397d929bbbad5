/// Reading rows that hold protobuf records.
#pragma once

#include <vector>

#include "base/sqlite.hpp"

namespace umbra::controller {

/// @error kCorrupt the bytes are no Message
template <class Message>
Result<Message> read_record(const sqlite::Statement& row, int column, std::string_view table) {
  Message message;
  if (message.ParseFromString(row.blob(column))) return message;
  return fail({Errc::kCorrupt, fmt::format("state.db: a record in table {} cannot be read", table),
               "restore state.db from a backup"});
}

/// All rows, each turned into a T by `read`.
template <class T, class Read>
Result<std::vector<T>> collect(sqlite::Statement& rows, Read read) {
  std::vector<T> values;
  while (true) {
    UMBRA_TRY(const bool row, rows.step());
    if (!row) return values;
    UMBRA_TRY(auto value, read(rows));
    values.push_back(std::move(value));
  }
}

}  // namespace umbra::controller
