/// What the fuzzers do with their input; they abort where a promise is broken.
#pragma once

#include <string_view>

namespace umbra::forecast {

/// @param body of a stored SeriesForecaster, without its envelope, whose checksum would keep a fuzzer out
void fuzz_state(std::string_view body);

}  // namespace umbra::forecast
