/// Values of a configuration that have a parser of their own.
#pragma once

#include "base/config.hpp"

namespace umbra {

/// Complains of what a parser refused. @return what it said
template <class T>
Result<T> checked(Config& config, std::string_view key, Result<T> parsed) {
  if (!parsed) config.complain(key, parsed.error().message, parsed.error().remedy);
  return parsed;
}

}  // namespace umbra
